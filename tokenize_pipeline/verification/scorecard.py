"""The metrics of a round trip as one table, and what many recordings say together.

Adding a metric is one entry of `METRICS`: verify.json, the report and the limits follow from it.
"""

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from codec.base import CodecSpec
from tokenize_pipeline.metrics import (
    clipping,
    log_mel_distance,
    loudness_difference,
    seam_jump,
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
    measure: Callable[[Tensor, Tensor, CodecSpec], float | None]  # reference, decoded, codec

    def badness(self, value: float) -> float:
        """A number that grows as `value` gets worse."""
        return {"higher": -value, "lower": value, "near zero": abs(value)}[self.better]


METRICS = (
    Metric("si_sdr", "SI-SDR", "dB", "higher", lambda a, b, _: si_sdr(a, b)),
    Metric(
        "log_mel_distance",
        "log-mel distance",
        "dB",
        "lower",
        lambda a, b, spec: log_mel_distance(a, b, spec.sample_rate),
    ),
    Metric("stft_distance", "STFT distance", "", "lower", lambda a, b, _: stft_distance(a, b)),
    Metric(
        "loudness_difference",
        "loudness difference",
        "LU",
        "near zero",
        lambda a, b, spec: loudness_difference(a, b, spec.sample_rate),
    ),
    Metric("clipping", "clipping", "%", "lower", lambda a, b, _: clipping(a, b)),
    Metric(
        "seam_jump",
        "seam jump",
        "dB",
        "lower",
        lambda a, b, spec: seam_jump(a, b, seams(spec, a.shape[-1])),
    ),
    Metric("stoi", "STOI (speech)", "", "higher", lambda a, b, spec: stoi(a, b, spec.sample_rate)),
    Metric(
        "pesq",
        "PESQ (speech)",
        "",
        "higher",
        lambda a, b, spec: pesq_wideband(a, b, spec.sample_rate),
    ),
)

# Orders recordings from worst to best; has an answer for speech, music and silence alike.
RANKING_METRIC = "log_mel_distance"


def score(reference_CS: Tensor, decoded_CS: Tensor, spec: CodecSpec) -> dict[str, float | None]:
    """Every metric of one recording."""
    return {metric.name: metric.measure(reference_CS, decoded_CS, spec) for metric in METRICS}


def seams(spec: CodecSpec, num_samples: int) -> list[int]:
    """Samples at which chunks begin and end, each once."""
    if spec.chunk_samples is None or spec.stride_samples is None:
        return []
    starts = range(spec.stride_samples, num_samples, spec.stride_samples)
    ends = range(spec.chunk_samples, num_samples, spec.stride_samples)
    return sorted({*starts, *ends})


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
