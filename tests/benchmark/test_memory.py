"""Peak memory, in this process and in a new one."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.benchmark.tasks import small_task
from tokenize_pipeline.benchmark.memory import measure_here, peak_memory
from tokenize_pipeline.benchmark.ours import our_contestant
from tokenize_pipeline.benchmark.task import Contestant

MEGABYTE = 1_000_000


def peak_can_be_reset() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return "VmHWM" in Path("/proc/self/status").read_text(encoding="ascii", errors="replace")


def greedy(encode_megabytes: int, decode_megabytes: int) -> Contestant:
    """Touches so much memory, and gives it back."""

    def take(megabytes: int) -> int:
        return int(np.ones(megabytes * MEGABYTE, dtype=np.uint8)[-1])

    return Contestant(
        "greedy",
        "float32",
        encode=lambda: take(encode_megabytes),
        prepare=lambda: None,
        decode=lambda: take(decode_megabytes),
        is_reference=False,
    )


@pytest.mark.skipif(not peak_can_be_reset(), reason="this system cannot reset a peak")
def test_a_new_process_counts_what_the_work_takes() -> None:
    here = np.ones(400 * MEGABYTE, dtype=np.uint8)  # what this process holds must not count
    peak = peak_memory(partial(greedy, 150, 250), "cpu", threads=1)
    assert here[-1] == 1
    assert peak.name == "greedy"
    assert peak.device_bytes is None
    assert 50 * MEGABYTE < peak.start_bytes < 800 * MEGABYTE
    assert 140 * MEGABYTE < peak.encode_bytes - peak.start_bytes < 180 * MEGABYTE
    assert 240 * MEGABYTE < peak.decode_bytes - peak.start_bytes < 280 * MEGABYTE


@pytest.mark.skipif(not peak_can_be_reset(), reason="this system cannot reset a peak")
def test_peaks_never_fall() -> None:
    peak = measure_here(partial(greedy, 200, 10), "cpu", threads=1)
    assert peak.start_bytes + 150 * MEGABYTE < peak.encode_bytes <= peak.decode_bytes


def test_a_codec_is_measured_in_a_new_process() -> None:
    make = partial(our_contestant, small_task("24khz", 1.0), "float32")
    peak = peak_memory(make, "cpu", threads=1)
    assert peak.name == "ours, float32"
    assert 0 < peak.start_bytes <= peak.encode_bytes <= peak.decode_bytes
