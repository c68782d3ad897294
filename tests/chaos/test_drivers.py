"""Drivers with clusters of their own, killed: nothing of them stays, and the next one finishes."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.oracle import Output, read_output
from tests.chaos.table import FaultTable
from tests.conftest import REPOSITORY
from tests.pipeline.processes import descendants, title

pytestmark = pytest.mark.chaos

ENVIRONMENT = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


@dataclass(frozen=True)
class Command:
    """`jobs/tokenize.py` on the corpus."""

    corpus: Path
    codec: Path
    output: Path

    def start(self, workers: int = 2) -> "subprocess.Popen[str]":
        script = str(REPOSITORY / "jobs" / "tokenize.py")
        options = ["--codec", str(self.codec), "--workers", str(workers), "--max-rejected", "0.5"]
        command = [sys.executable, script, str(self.corpus), "--output", str(self.output), *options]
        return subprocess.Popen(
            command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def finish(self, workers: int = 2) -> None:
        process = self.start(workers)
        text, _ = process.communicate()
        assert process.returncode == 0, text


@pytest.fixture
def command(corpus: Path, codec_folder: Path, tmp_path: Path) -> Command:
    return Command(corpus, codec_folder, tmp_path / "out")


@pytest.fixture(scope="module")
def by_small_codec(
    corpus: Path, codec_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Output:
    """The undisturbed output, by the codec that these tests use."""
    output = tmp_path_factory.mktemp("small") / "out"
    Command(corpus, codec_folder, output).finish()
    return read_output(str(output))


def wait_until_gone(pids: list[int], seconds: float) -> list[str]:
    """Titles of those processes that are still there after a while."""
    end = time.monotonic() + seconds
    while (left := [pid for pid in pids if title(pid)]) and time.monotonic() < end:
        time.sleep(0.1)
    return [title(pid) for pid in left]


def moments(seed: int, count: int) -> Iterator[float]:
    """Seconds after the start of a driver: while it starts, works and ends."""
    chance = random.Random(seed)
    return (chance.uniform(2, 16) for _ in range(count))


@pytest.mark.parametrize("seed", range(3))
def test_drivers_killed_at_random_moments(
    seed: int, command: Command, by_small_codec: Output, table: FaultTable
) -> None:
    """Three times, with another number of workers each, and then left alone."""
    injected = 0
    for workers, moment in zip((1, 2, 4), moments(seed, 3), strict=True):
        process = command.start(workers)
        time.sleep(moment)
        below = list(descendants(process.pid))
        injected += process.poll() is None
        process.kill()
        process.communicate()
        assert wait_until_gone(below, 20) == []
    before = set(Path(tempfile.gettempdir()).glob("ray-*/owner"))
    command.finish()
    stale = [path for path in before if path.exists()]
    table.check("driver killed", injected, read_output(str(command.output)), by_small_codec)
    assert not [path for path in stale if _is_abandoned(path)]


def _is_abandoned(path: Path) -> bool:
    """Whether nobody holds the lock any more."""
    done = subprocess.run(["flock", "--nonblock", str(path), "true"], check=False)
    return done.returncode == 0 and path.exists()


def test_raylets_killed(command: Command, by_small_codec: Output, table: FaultTable) -> None:
    """That of the driver's own node: the run ends, and the next one finishes."""
    process = command.start()
    raylets: list[int] = []
    while not raylets or not list(command.output.glob("_run/commits/*")):
        raylets = [pid for pid in descendants(process.pid) if "raylet/raylet" in title(pid)[:300]]
        assert process.poll() is None
        time.sleep(0.1)
    os.kill(raylets[0], signal.SIGKILL)
    below = list(descendants(process.pid))
    process.communicate(timeout=60)
    assert wait_until_gone(below, 20) == []
    command.finish()
    table.check("raylet killed", 1, read_output(str(command.output)), by_small_codec)


def test_a_driver_that_is_stopped_ends_within_three_seconds(
    command: Command, by_small_codec: Output, table: FaultTable
) -> None:
    for moment in moments(9, 3):
        process = command.start()
        time.sleep(moment)
        below = list(descendants(process.pid))
        start = time.monotonic()
        process.terminate()
        text, _ = process.communicate()
        seconds = time.monotonic() - start
        if process.returncode == 0:
            continue
        assert process.returncode in (1, -signal.SIGTERM), text
        assert seconds < 3.3
        assert wait_until_gone(below, 20) == []
        assert not list(command.output.glob("_run/lock/*"))
    command.finish()
    table.check("driver stopped", 3, read_output(str(command.output)), by_small_codec)
