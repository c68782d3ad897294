"""Shards on a Ray cluster: the only place that knows of Ray.

The driver owns the loop. An actor holds one codec and works on one shard at a time. Ray restarts
and retries nothing by itself: here a dead actor is replaced and its shard tried again, and a shard
that has failed `MAX_ATTEMPTS` times is given up while the others go on. An actor that has become
unavailable may still be working; it is killed before its shard is given to another.

    starting --codec loaded--> idle --shard--> busy --commit record or failure--> idle
        any of them --dead or unavailable--> killed; its shard goes back into the queue
"""

import logging
import math
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.errors import ConfigurationError, RunFailedError
from tokenize_pipeline.progress import Tally
from tokenize_pipeline.records import CommitRecord, Shard
from tokenize_pipeline.worker import Failure, Worker

MAX_ATTEMPTS = 3  # for a shard, and for starting a worker
_TICK_SECONDS = 1.0
_KNOCK_SECONDS = 10.0
_LONGEST_CAUSE = 500  # characters
_OBJECT_STORE_BYTES = 100 << 20  # of a local cluster; only small values travel
_OUR_PACKAGES = [str(Path(__file__).parents[1] / name) for name in ("codec", "tokenize_pipeline")]
_SHORT_FOLDER = "/tmp" if Path("/tmp").is_dir() else None  # noqa: S108  socket paths are short


@dataclass(frozen=True)
class FailedShard:
    """A shard that was given up."""

    shard: Shard
    attempts: int
    cause: str  # of the last attempt


@dataclass(eq=False)
class _Hand:
    """One worker as the driver sees it."""

    actor: Any
    reply: Any  # to what it was asked last; None while idle
    shard: Shard | None = None  # None while starting or idle
    attempt: int = 0
    tally: Tally = field(default_factory=Tally)
    tally_reply: Any = None


class ShardPool:
    """Works on shards with as many workers as there is room for.

    Args:
        config: what the run was asked to do.
        shards: to work on, the largest first.

    Raises:
        ConfigurationError: the cluster has no room for a worker.
    """

    def __init__(self, config: TokenizeConfig, shards: Sequence[Shard]) -> None:
        ordered = sorted(shards, key=lambda shard: (-shard.size_bytes, shard.index))
        self._queue = deque((shard, 1) for shard in ordered)  # with the number of the attempt
        self._config = config
        self._hands: list[_Hand] = []
        self._failed_starts: list[str] = []  # causes, since the last good one
        self._gpus, self._size = _room(config, len(self._queue))

    def run(self, on_tick: Callable[[Tally], None]) -> Iterator[CommitRecord | FailedShard]:
        """What became of each shard, as it comes.

        Args:
            on_tick: called about once a second with what the busy workers have done so far.

        Raises:
            RunFailedError: no worker can be started, or the cluster is lost.
        """
        try:
            while self._queue or self._busy():
                self._hire()
                self._assign()
                yield from self._collect()
                on_tick(self._running_tally())
        except (RayError, ConnectionError) as error:
            raise RunFailedError(f"lost the Ray cluster: {_one_line(error)}") from error
        finally:
            for hand in self._hands:
                _kill(hand)

    def _busy(self) -> list[_Hand]:
        return [hand for hand in self._hands if hand.shard is not None]

    def _hire(self) -> None:
        """Start workers up to what the remaining shards can use."""
        if len(self._failed_starts) >= MAX_ATTEMPTS:
            if not self._hands:
                raise RunFailedError(f"no worker can be started: {self._failed_starts[-1]}")
            return
        wanted = min(self._size, len(self._queue) + len(self._busy()))
        while len(self._hands) < wanted:
            actor = _new_actor(self._config, self._gpus)
            self._hands.append(_Hand(actor, actor.start.remote()))

    def _assign(self) -> None:
        for hand in self._hands:
            if self._queue and hand.reply is None:
                hand.shard, hand.attempt = self._queue.popleft()
                hand.tally, hand.tally_reply = Tally(), None
                hand.reply = hand.actor.tokenize.remote(hand.shard, hand.attempt)

    def _collect(self) -> Iterator[CommitRecord | FailedShard]:
        """Take the replies that are there, waiting a moment for the first."""
        waiting = {hand.reply: hand for hand in self._hands if hand.reply is not None}
        done, _ = ray.wait(list(waiting), num_returns=1, timeout=_TICK_SECONDS)
        for reply in done:
            hand = waiting[reply]
            try:
                outcome = ray.get(reply)
            except RayError as error:
                self._dismiss(hand)
                outcome = Failure(_one_line(error))
            yield from self._settle(hand, outcome)

    def _settle(
        self, hand: _Hand, outcome: CommitRecord | Failure | None
    ) -> Iterator[CommitRecord | FailedShard]:
        """Act on a reply: None or a failure to `start`, a record or a failure to `tokenize`."""
        shard, hand.shard, hand.reply = hand.shard, None, None
        if isinstance(outcome, CommitRecord):
            yield outcome
        elif outcome is None:
            self._failed_starts.clear()
        elif shard is None:
            self._failed_starts.append(outcome.cause)
            self._dismiss(hand)
        elif hand.attempt < MAX_ATTEMPTS:
            self._queue.append((shard, hand.attempt + 1))
        else:
            yield FailedShard(shard, hand.attempt, outcome.cause)

    def _dismiss(self, hand: _Hand) -> None:
        """Make sure that a worker does nothing any more."""
        if hand in self._hands:
            self._hands.remove(hand)
            _kill(hand)

    def _running_tally(self) -> Tally:
        """What the busy workers last said of their shards. Never waits for them."""
        busy = self._busy()
        for hand in busy:
            if hand.tally_reply is None:
                hand.tally_reply = hand.actor.tally.remote()
            done, _ = ray.wait([hand.tally_reply], timeout=0)
            if done:
                hand.tally_reply = None
                try:
                    hand.tally = ray.get(done[0])
                except RayError:
                    hand.tally = Tally()  # the reply to its shard will tell what happened
        return sum((hand.tally for hand in busy), Tally())


@contextmanager
def cluster(config: TokenizeConfig) -> Iterator[None]:
    """A connection to a Ray cluster for as long as the block runs.

    Without an address it is the cluster of the Ray job that we run in, or else a local one of our
    own that ends with the block and leaves nothing behind.

    Raises:
        ConfigurationError: the cluster cannot be reached.
    """
    if ray.is_initialized():  # by whoever called us, who also ends it
        yield
        return
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir=_SHORT_FOLDER))
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        _connect(config, folder)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray's own aborts after three seconds
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _connect(config: TokenizeConfig, folder: Path) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if config.address in (None, "local"):
        try:
            ray.init(address=config.address, **quiet, **_local_options(config, folder))
            return
        except ValueError:  # Ray's answer to these options inside a job, which has a cluster
            if config.address == "local":
                raise
    try:
        _knock(config.address)
        # Inside a job the packages come with its working directory.
        packages = None if config.address is None else {"py_modules": _OUR_PACKAGES}
        ray.init(address=config.address, runtime_env=packages, **quiet)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"cannot reach a Ray cluster at {config.address}: {_one_line(error)}"
        ) from error


def _knock(address: str | None) -> None:
    """See whether anybody listens at host:port; Ray itself would wait for many minutes.

    Raises:
        OSError: nobody does.
    """
    host, _, port = (address or "").rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_SECONDS).close()


def _local_options(config: TokenizeConfig, folder: Path) -> dict[str, Any]:
    """A cluster on this machine with room for the workers asked for and nothing to spare."""
    cpus = max(os.cpu_count() or 1, math.ceil((config.workers or 1) * config.cpus_per_worker))
    return {
        "num_cpus": cpus,
        "include_dashboard": False,
        "object_store_memory": _OBJECT_STORE_BYTES,
        "runtime_env": {"py_modules": _OUR_PACKAGES},
        "_temp_dir": str(folder),
    }


def _room(config: TokenizeConfig, num_shards: int) -> tuple[float, int]:
    """GPUs for each worker, and how many workers to have."""
    total = ray.cluster_resources()
    gpus = config.gpus_per_worker
    if gpus is None:
        gpus = 1.0 if total.get("GPU", 0) >= 1 else 0.0
    fitting = total.get("CPU", 0) / config.cpus_per_worker
    if gpus > 0:
        fitting = min(fitting, total.get("GPU", 0) / gpus)
    if fitting < 1:
        raise ConfigurationError(
            f"a worker needs {config.cpus_per_worker:g} CPUs and {gpus:g} GPUs; the cluster has "
            f"{total.get('CPU', 0):g} and {total.get('GPU', 0):g}"
        )
    return gpus, min(config.workers or int(fitting), num_shards)


def _new_actor(config: TokenizeConfig, gpus: float) -> Any:
    options: dict[str, Any] = {
        "num_cpus": config.cpus_per_worker,
        "num_gpus": gpus,
        "max_restarts": 0,
        "max_task_retries": 0,
        "max_concurrency": 2,  # `tally` answers while `tokenize` runs
    }
    return ray.remote(Worker).options(**options).remote(config, gpus > 0)


def _kill(hand: _Hand) -> None:
    ray.kill(hand.actor, no_restart=True)


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:_LONGEST_CAUSE]}"
