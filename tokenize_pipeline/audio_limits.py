"""What a recording may be: limits that only damaged and hostile files pass.

Dimension key: C channels, S samples.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenize_pipeline.errors import AudioError

MAX_SECONDS = 24 * 3600.0  # longest recording, whatever a run allows
MAX_CHANNELS = 64
MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 1_000, 768_000  # Hz
MAX_LEVEL = 100.0  # 40 dB over full scale
SEGMENT_TOLERANCE_SECONDS = 0.1  # manifests round: by how much a segment may outlast its file


@dataclass(frozen=True)
class AudioPolicy:
    """Which recordings a run takes.

    Args:
        min_seconds: of a recording; shorter ones are `too_short`.
        max_seconds: of a recording; longer ones are `too_long`.
        keep: codes of `KEEPABLE` that are flagged instead of rejected.
    """

    min_seconds: float = 0.0
    max_seconds: float = MAX_SECONDS
    keep: tuple[str, ...] = ()


# What can be kept: there is audio that a codec can encode, only not as it should be.
KEEPABLE = ("truncated", "damaged", "too_short", "too_long")


def check_format(sample_rate: int, channels: int) -> None:
    """Refuse what only a damaged or hostile header declares."""
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        wanted = f"{MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz"
        raise AudioError("unsupported", f"sample rate of {sample_rate} Hz; {wanted} is supported")
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError("unsupported", f"{channels} channels; 1 to {MAX_CHANNELS} are supported")


def check_length(seconds: float, longest_seconds: float) -> None:
    """Refuse recordings without end, and those that are longer than a run accepts."""
    if seconds > longest_seconds:
        raise AudioError("too_long", f"longer than {longest_seconds:g} s")


def check_not_short(seconds: float, shortest_seconds: float) -> None:
    """Refuse recordings that are shorter than a run accepts."""
    if seconds < shortest_seconds:
        raise AudioError("too_short", f"{seconds:g} s; {shortest_seconds:g} s are wanted")


def check_level(samples_SC: NDArray[np.float32]) -> None:
    """Refuse samples that no codec should see."""
    high, low = float(samples_SC.max()), float(samples_SC.min())  # NaN if any sample is
    if not (math.isfinite(high) and math.isfinite(low)):
        raise AudioError("non_finite", "it holds samples that are NaN or infinite")
    peak = max(high, -low)
    if peak > MAX_LEVEL:
        raise AudioError("absurd_level", f"peak of {peak:g}; full scale is 1")


def check_segment(end: int, start: int, stop: int | None, sample_rate: int) -> None:
    """Refuse segments that lie behind the end of their file, or reach well beyond it.

    Args:
        end: of the file, in samples.
        start: of the segment.
        stop: of the segment; None where it reaches to the end.
        sample_rate: Hz.
    """
    if 0 < start >= end:
        at = f"{start / sample_rate:g} s"
        raise AudioError("truncated", f"the segment begins at {at}, the audio ends before")
    if stop is not None and stop - end > SEGMENT_TOLERANCE_SECONDS * sample_rate:
        times = f"{stop / sample_rate:g} s, the audio at {end / sample_rate:g} s"
        raise AudioError("truncated", f"the segment ends at {times}")


def check_complete(num_samples: int, declared_samples: int | None) -> None:
    """Refuse recordings that end before the length their header declares."""
    if declared_samples is not None and num_samples < declared_samples:
        detail = f"{num_samples} samples decoded of {declared_samples} declared"
        raise AudioError("truncated", detail)
