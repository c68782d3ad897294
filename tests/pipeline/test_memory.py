"""Memory does not grow with the length of a recording."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import REPOSITORY
from tests.pipeline.processes import descendants, peak_bytes, title

# Encodes one shard in this process and prints the peak of its memory in KiB.
_ONE_SHARD = """
import resource, sys
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.plan import plan_items
from tokenize_pipeline.records import Shard
from tokenize_pipeline.shard import tokenize_shard
from tokenize_pipeline.worker import open_codec

source, codec, output = sys.argv[1:]
config = TokenizeConfig((source,), output, codec=codec)
shard = Shard(0, "0123456789", tuple(plan_items(config.sources)))
record = tokenize_shard(shard, open_codec(config), config)
print(record.seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def write_long(path: Path, seconds: int) -> Path:
    """A FLAC of many hours in a moment: one minute of noise over and over."""
    minute = np.random.default_rng(0).integers(-9000, 9000, 60 * 16000).astype(np.int16)
    with soundfile.SoundFile(path, "w", 16000, 1, format="FLAC") as file:
        for start in range(0, seconds, 60):
            file.write(minute[: (seconds - start) * 16000])
    return path


def test_a_long_recording_takes_little_more_memory_than_a_short_one(
    tmp_path: Path, codec_folder: Path
) -> None:
    peaks = []
    for seconds in (20, 900):
        path = write_long(tmp_path / f"{seconds}.flac", seconds)
        arguments = [str(path), str(codec_folder), str(tmp_path / "out")]
        command = [sys.executable, "-c", _ONE_SHARD, *arguments]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
        encoded_seconds, peak_kib = done.stdout.split()
        assert float(encoded_seconds) == seconds
        peaks.append(int(peak_kib) << 10)
    # As float32 at 24 kHz the longer one is 84 MB more.
    assert peaks[1] - peaks[0] < 40e6


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_three_hours_keep_driver_and_worker_below_two_gigabytes(
    tmp_path: Path, codec_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    path = write_long(tmp_path / "long.flac", 3 * 3600)
    command = [
        *(sys.executable, str(REPOSITORY / "jobs" / "tokenize.py"), str(path), "--output"),
        *(str(tmp_path / "out"), "--codec", str(codec_folder), "--address", "local"),
    ]
    peaks: dict[str, int] = {}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            for pid in (process.pid, *descendants(process.pid)):
                name = "driver" if pid == process.pid else title(pid).partition(".")[0]
                peaks[name] = max(peaks.get(name, 0), peak_bytes(pid))
            time.sleep(0.5)
    assert process.returncode == 0
    assert 100e6 < peaks["driver"] < 2e9
    assert 100e6 < peaks["ray::Worker"] < 2e9
