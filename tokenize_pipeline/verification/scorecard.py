"""The metrics of a round trip as one table, and what many recordings say together.

Adding a metric is one entry of `METRICS`: verify.json, the report and the limits follow from it.
"""

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from tokenize_pipeline.metrics import (
    log_mel_distance,
    loudness_difference,
    si_sdr,
    stft_distance,
)
from tokenize_pipeline.speech_metrics import pesq_wideband, stoi

# By name of the metric; None where a metric has no answer.
Scores = Mapping[str, float | None]


@dataclass(frozen=True)
class Metric:
    """How to compute and to read one figure."""

    name: str  # key in verify.json
    title: str  # for people
    unit: str  # "" for a pure number
    better: Literal["higher", "lower", "near zero"]
    measure: Callable[[Tensor, Tensor, int], float | None]  # reference, decoded, sample rate

    def badness(self, value: float) -> float:
        """A number that grows as `value` gets worse."""
        return {"higher": -value, "lower": value, "near zero": abs(value)}[self.better]


METRICS = (
    Metric("si_sdr", "SI-SDR", "dB", "higher", lambda a, b, _: si_sdr(a, b)),
    Metric("log_mel_distance", "log-mel distance", "dB", "lower", log_mel_distance),
    Metric("stft_distance", "STFT distance", "", "lower", lambda a, b, _: stft_distance(a, b)),
    Metric(
        "loudness_difference",
        "loudness difference",
        "dB",
        "near zero",
        lambda a, b, _: loudness_difference(a, b),
    ),
    Metric("stoi", "STOI (speech)", "", "higher", stoi),
    Metric("pesq", "PESQ (speech)", "", "higher", pesq_wideband),
)

# Orders recordings from worst to best; has an answer for speech, music and silence alike.
RANKING_METRIC = "log_mel_distance"


def score(reference_CS: Tensor, decoded_CS: Tensor, sample_rate: int) -> dict[str, float | None]:
    """Every metric of one recording."""
    return {
        metric.name: metric.measure(reference_CS, decoded_CS, sample_rate) for metric in METRICS
    }


@dataclass(frozen=True)
class MetricStatistics:
    """One metric over the recordings where it has an answer."""

    count: int
    mean: float  # of magnitudes where near zero is better: signs must not cancel
    median: float  # likewise
    worst: float  # as measured, with its sign


def summarize(metric: Metric, scores: Iterable[Scores]) -> MetricStatistics | None:
    """Statistics of one metric; None if no recording has an answer."""
    values = [value for score in scores if (value := score[metric.name]) is not None]
    if not values:
        return None
    magnitudes = [abs(value) for value in values] if metric.better == "near zero" else values
    return MetricStatistics(
        count=len(values),
        mean=statistics.fmean(magnitudes),
        median=statistics.median(magnitudes),
        worst=max(values, key=metric.badness),
    )
