"""Real workers on a real cluster, which die, hang and fail in every way."""

import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.oracle import Output, assert_same, read_output
from tests.chaos.slow_worker import POISONS, PoisonedWorker, SlowMeanCodec, SlowWorker
from tests.chaos.table import FaultTable
from tests.pipeline.audio_files import write_noise
from tests.pipeline.processes import descendants, title
from tokenize_pipeline import cli, driver, pool
from tokenize_pipeline.schema import rejected_from_bytes


@pytest.fixture(autouse=True)
def _slow_workers(ray_cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "Worker", SlowWorker)
    monkeypatch.setattr(driver, "open_codec", lambda _: SlowMeanCodec())


def tokenize(source: Path, output: Path, *options: str) -> int:
    """The exit code of the command, on the cluster of this process."""
    arguments = [str(source), "--output", str(output), "--codec", "mean", "--max-rejected", "0.5"]
    before = signal.getsignal(signal.SIGTERM)
    try:
        return cli.main(["tokenize", *arguments, *options])
    finally:
        signal.signal(signal.SIGTERM, before)


class Killer:
    """Kills workers of this process at random moments.

    Args:
        kills: at most.
        seed: of the moments and the victims.
    """

    def __init__(self, kills: int, seed: int) -> None:
        self.killed = 0
        self._kills = kills
        self._chance = random.Random(seed)
        self._end = threading.Event()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        thread = threading.Thread(target=self._work)
        thread.start()
        try:
            yield
        finally:
            self._end.set()
            thread.join()

    def is_done(self) -> bool:
        return self.killed >= self._kills

    def _work(self) -> None:
        while not self.is_done() and not self._end.wait(self._chance.uniform(0.2, 2.5)):
            victims = [pid for pid in descendants() if title(pid).startswith("ray::SlowWorker")]
            if victims:
                os.kill(self._chance.choice(victims), signal.SIGKILL)
                self.killed += 1


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.chaos
def test_twenty_workers_killed_at_random_moments(
    seed: int, corpus: Path, undisturbed: Output, tmp_path: Path, table: FaultTable
) -> None:
    """Run after run, each until it is finished, until all kills are done."""
    killer, turn = Killer(20, seed), 0
    with killer.at_work():
        while not killer.is_done():
            output, before = tmp_path / f"out{turn}", killer.killed
            while (exit_code := tokenize(corpus, output, "--workers", "2")) != 0:
                assert exit_code in (1, 3)
            injected, turn = killer.killed - before, turn + 1
            table.check("worker killed", injected, read_output(str(output)), undisturbed)


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.chaos
def test_any_number_of_workers(
    workers: int, corpus: Path, undisturbed: Output, tmp_path: Path
) -> None:
    options = ("--workers", str(workers), "--cpus-per-worker", "0.5")
    assert tokenize(corpus, tmp_path / "out", *options) == 0
    assert_same(read_output(str(tmp_path / "out")), undisturbed)


@pytest.mark.chaos
def test_poisoned_shards_are_recorded_and_the_others_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pool, "Worker", PoisonedWorker)
    corpus, output = tmp_path / "corpus", tmp_path / "out"
    for poison in (*POISONS, "sound", "well"):
        for seed in range(8):  # as many as make a shard
            write_noise(corpus / poison / f"{seed}.wav", 0.1, seed)
    assert tokenize(corpus, output, "--workers", "2", "--shard-timeout", "15") == 3
    printed = capsys.readouterr()
    assert "64 of 80 recordings are in shards that were given up" in printed.err
    rejected = rejected_from_bytes((output / "_run" / "rejected.parquet").read_bytes())
    assert {item.id.partition("/")[0] for item in rejected} == set(POISONS)
    assert {item.code for item in rejected} == {"quarantined"}
    assert len(list((output / "_run" / "quarantine").iterdir())) == len(POISONS)
    assert len(list((output / "data").iterdir())) == 2
    causes = {item.id.partition("/")[0]: item.detail for item in rejected}
    assert "no progress for 15 s" in causes["hang"]
    assert "no progress for 15 s" in causes["hang-in-c"]
    assert "MemoryError" in causes["memory"]
    assert "RuntimeError" in causes["raise"]
    assert all("tried 3 times" in cause for cause in causes.values())

    monkeypatch.setattr(pool, "Worker", SlowWorker)
    assert tokenize(corpus, output, "--workers", "2") == 0
    assert tokenize(corpus, tmp_path / "healthy", "--workers", "2") == 0
    assert_same(read_output(str(output)), read_output(str(tmp_path / "healthy")))
