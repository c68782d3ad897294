"""The whole program in one process without Ray, made to die at any of its steps.

Runs are forked off a server that has imported everything, so that hundreds of them take little
time. Only Ray is left out: the pool below takes one shard after another, by the same rules.
"""

import contextlib
import io
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import fsspec

from tests.fakes import MeanCodec
from tokenize_pipeline import cli, driver, local_storage, remote_storage, storage, worker
from tokenize_pipeline.attempts import Attempts
from tokenize_pipeline.audio_limits import AudioPolicy
from tokenize_pipeline.cluster import Room
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.decoders import DecodedFile
from tokenize_pipeline.errors import RunFailedError
from tokenize_pipeline.progress import Tally
from tokenize_pipeline.records import CommitRecord, FailedShard, Segment, Shard
from tokenize_pipeline.worker import Worker

# What changes a disk, and what changes a bucket.
_LOCAL_STEPS = frozenset({"fsync", "makedirs", "replace", "rmdir", "unlink"})
_REMOTE_STEPS = frozenset({"pipe_file", "put_file", "rm_file"})


@dataclass(frozen=True)
class Orders:
    """What shall happen to a run.

    Args:
        die_at: step at which it kills itself; steps are counted before and after each write.
        seed: of the order in which shards are done; None for the usual one.
        wait_for: file without which no shard is done.
        environment: variables to set.
        s3_options: of botocore.
    """

    die_at: int | None = None
    seed: int | None = None
    wait_for: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    s3_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ending:
    """How a run ended."""

    exit_code: int  # -9 when it was killed
    text: str  # what it printed
    steps: int  # that it took, if it came to its end


class RunningRun:
    """A run in a process of its own."""

    def __init__(self, arguments: Sequence[str], orders: Orders, report: Path) -> None:
        self._report = report
        report.unlink(missing_ok=True)
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self.process = context.Process(target=_main, args=(list(arguments), orders, str(report)))
        self.process.start()

    def wait(self) -> Ending:
        """Wait for its end."""
        self.process.join()
        exit_code = self.process.exitcode
        assert exit_code is not None
        found = json.loads(self._report.read_text()) if self._report.exists() else {}
        self.process.close()
        return Ending(exit_code, found.get("text", ""), found.get("steps", 0))


def run_here(
    source: str, output: str, report: Path, orders: Orders = Orders(), *options: str
) -> Ending:
    """Run `tokenize` to its end, whatever that is."""
    return start_here(source, output, report, orders, *options).wait()


def start_here(
    source: str, output: str, report: Path, orders: Orders = Orders(), *options: str
) -> RunningRun:
    """Start `tokenize`."""
    arguments = ["tokenize", source, "--output", output, "--codec", "mean", *options]
    return RunningRun([*arguments, "--max-rejected", "0.5"], orders, report)


def _main(arguments: list[str], orders: Orders, report: str) -> None:
    """In the new process: do as ordered, run the program, tell how it went."""
    os.environ.update(orders.environment)
    tempfile.tempdir = None  # TMPDIR may be another one now
    if orders.s3_options:
        fsspec.config.conf["s3"] = {"config_kwargs": dict(orders.s3_options)}
    steps = _Steps(orders.die_at)
    for module in (storage, local_storage):
        module.os = _Watched(os, _LOCAL_STEPS, steps)  # type: ignore[attr-defined]
    real_filesystem = remote_storage.filesystem

    def filesystem(url: str) -> tuple[Any, str]:
        fs, path = real_filesystem(url)
        return _Watched(fs, _REMOTE_STEPS, steps), path

    for module in (storage, remote_storage):
        module.filesystem = filesystem  # type: ignore[attr-defined]
    worker.DecoderPool = _DecodersHere  # type: ignore[attr-defined,assignment]
    worker.load_codec = lambda *_, **__: MeanCodec()  # type: ignore[attr-defined]
    driver.cluster = _no_cluster  # type: ignore[attr-defined,assignment]
    driver.ShardPool = partial(_PoolHere, orders)  # type: ignore[attr-defined,assignment]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        exit_code = cli.main(arguments)
    Path(report).write_text(json.dumps({"text": printed.getvalue(), "steps": steps.count}))
    sys.exit(exit_code)


class _Steps:
    """Counts steps and dies at one of them."""

    def __init__(self, die_at: int | None) -> None:
        self.count = 0
        self._die_at = die_at

    def __call__(self) -> None:
        if self.count == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)  # until the signal arrives
        self.count += 1


class _Watched:
    """A module or filesystem, with steps before and after some of its functions."""

    def __init__(self, inner: Any, names: frozenset[str], step: Callable[[], None]) -> None:
        self._inner = inner
        self._names = names
        self._step = step

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in self._names:
            return found

        def watched(*args: Any, **kwargs: Any) -> Any:
            self._step()
            result = found(*args, **kwargs)
            self._step()
            return result

        return watched


@contextmanager
def _no_cluster(_config: TokenizeConfig) -> Iterator[Room]:
    yield Room(1, 0)


class _OpenedHere(DecodedFile):
    """A file that is decoded in this process."""

    def close(self) -> None:
        """Nothing to end; whoever opened the file closes it."""


class _DecodersHere:
    """Takes the place of `DecoderPool`: no processes, which would take longer than all the rest."""

    def __init__(self, policy: AudioPolicy) -> None:
        self.policy = policy

    def open(self, file: BinaryIO, name: str, segment: Segment | None) -> _OpenedHere:
        return _OpenedHere(file, name, segment, self.policy)


class _PoolHere:
    """Takes the place of `ShardPool`."""

    def __init__(
        self, orders: Orders, config: TokenizeConfig, shards: Sequence[Shard], room: Room
    ) -> None:
        self._orders = orders
        self._worker = Worker(config, use_gpu=False)
        self._attempts = Attempts(self._ordered(shards), room.workers)

    def run(
        self, on_tick: Callable[[Tally], None], on_start: Callable[[], None]
    ) -> Iterator[CommitRecord | FailedShard]:
        assert self._worker.start() is None
        on_start()
        while self._attempts:
            self._wait(on_tick)
            attempt = self._attempts.take()
            outcome = self._worker.work(attempt.shard, attempt.number)
            on_tick(Tally())
            if isinstance(outcome, CommitRecord):
                self._attempts.done()
                yield outcome
                continue
            if failed := self._attempts.failed(attempt, outcome):
                yield failed
            if self._attempts.storage_is_broken:
                raise RunFailedError(outcome.cause)

    def _wait(self, on_tick: Callable[[Tally], None]) -> None:
        while self._orders.wait_for and not Path(self._orders.wait_for).exists():
            on_tick(Tally())
            time.sleep(0.02)

    def _ordered(self, shards: Sequence[Shard]) -> Sequence[Shard]:
        """The largest come first, so all are made to look as large as their place says."""
        if self._orders.seed is None:
            return shards
        shuffled = random.Random(self._orders.seed).sample(list(shards), len(shards))
        return [_Placed(**vars(s), pretended_bytes=-n) for n, s in enumerate(shuffled)]


@dataclass(frozen=True)
class _Placed(Shard):
    """A shard that pretends to have a size."""

    pretended_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        return self.pretended_bytes
