"""What a healthy sample of recordings scores at least, for codecs that were calibrated.

A limit is far below what the codec does on any kind of audio and far above what broken tokens do
(codebooks swapped, scales dropped, other weights, audio shifted): it finds faults, it does not
grade. A codec without an entry is held to the integrity of its rows alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from codec.base import CodecSpec
from tokenize_pipeline.verification.scorecard import METRICS, MetricStatistics

# Codes that may differ when a recording is encoded again. None do on the same kind of machine;
# elsewhere rounding flips a code where two entries are nearly equally near, and what follows it.
LARGEST_REENCODE_MISMATCH = 0.05
LARGEST_SCALE_ERROR = 0.001  # of a scale, when a recording is encoded again


@dataclass(frozen=True)
class QualityLimits:
    """Bounds for the mean of a metric over the sample, and where they come from."""

    bounds: Mapping[str, float]  # by name of a metric; the bad side of it is past the limit
    source: str  # data, command and figures behind the bounds


# By codec. One set serves every number of codebooks: what finds faults at eight is not reached by
# sound tokens at one. STOI has no bound, because nothing says which recordings are speech.
CALIBRATED: Mapping[str, QualityLimits] = MappingProxyType(
    {
        "tiny_24khz": QualityLimits(
            bounds={"si_sdr": -15.0, "log_mel_distance": 14.0},
            source=(
                "means over 31 recordings of speech and 23 of music, in dB of SI-SDR and log-mel "
                "distance: sound tokens 5 and 6 (speech) or 0 and 6 (music), with one codebook "
                "-2 and 8 or -8 and 9; two codebooks swapped -23 and 16 or -26 and 16; shifted "
                "by one frame -23 and 7 or -32 and 7"
            ),
        )
    }
)


def limits_for(spec: CodecSpec) -> QualityLimits | None:
    """The limits of a codec; None if it was not calibrated."""
    return CALIBRATED.get(spec.name)


def exceeded(
    limits: QualityLimits, statistics: Mapping[str, MetricStatistics | None]
) -> dict[str, str]:
    """Metrics past their limit: name of the metric, and what was measured, for people."""
    found = {}
    for metric in METRICS:
        bound, measured = limits.bounds.get(metric.name), statistics.get(metric.name)
        if bound is None or measured is None:
            continue
        if metric.badness(measured.mean) > metric.badness(bound):
            figures = f"mean {measured.mean:.3g}, limit {bound:.3g}"
            found[metric.name] = f"{figures} {metric.unit}".rstrip()
    return found
