"""How bad the mean of a sample may be, for each codec and number of codebooks.

The table is `calibration.json`; `jobs/calibrate.py` measures it anew and says in it where the
numbers come from. A limit lies four standard errors of five recordings beyond the mean of the worst
kind of audio it was measured on: sound tokens of other recordings stay within it, tokens that carry
nothing of their audio do not. It finds faults, it does not grade. Fewer recordings than five say
too little to be held to it. A codec that was not measured is held to what any codec must do.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from codec.base import PRECISIONS, CodecSpec
from tokenize_pipeline.verification.scorecard import METRICS, MetricStatistics

CALIBRATION_FILE = Path(__file__).parent / "calibration.json"
FEWEST_ROWS = 5  # whose mean is held to a limit

# Codes that may differ when a recording is encoded again. None do on the same kind of machine;
# elsewhere rounding flips a code where two entries are nearly equally near, and what follows it.
LARGEST_REENCODE_MISMATCH = 0.05
LARGEST_SCALE_ERROR = 0.001  # of a scale, when a recording is encoded again


@dataclass(frozen=True)
class QualityLimits:
    """Bounds for the mean of a metric over the sample, and where they come from."""

    bounds: Mapping[str, float]  # by name of a metric; the bad side of it is past the limit
    source: str  # data, codec and date behind the bounds


@cache
def calibration() -> Mapping[str, Any]:
    """The table, as it is on disk."""
    table: Mapping[str, Any] = json.loads(CALIBRATION_FILE.read_text("utf-8"))
    return table


def limits_for(spec: CodecSpec, num_codebooks: int) -> QualityLimits:
    """The limits of a codec at a number of codebooks; the generic ones if it was not measured."""
    table = calibration()
    codec = table["codecs"].get(spec.name)
    generic = QualityLimits(table["generic"]["bounds"], table["generic"]["source"])
    if codec is None:
        return generic
    if spec.precision == PRECISIONS[0] and codec["fingerprint"] != spec.fingerprint:
        return replace(
            generic, source=f"{generic.source}; {spec.name} was measured with other weights"
        )
    entry = codec["num_codebooks"].get(str(num_codebooks))
    if entry is None:
        return generic
    bounds = {**generic.bounds, **entry["bounds"]}
    return QualityLimits(bounds, f"{codec['source']}, {num_codebooks} codebooks")


def exceeded(
    limits: QualityLimits, statistics: Mapping[str, MetricStatistics | None]
) -> dict[str, str]:
    """Metrics past their limit: name of the metric, and what was measured, for people."""
    found = {}
    for metric in METRICS:
        bound, measured = limits.bounds.get(metric.name), statistics.get(metric.name)
        if bound is None or measured is None or measured.count < FEWEST_ROWS:
            continue
        if metric.badness(measured.mean) > metric.badness(bound):
            figures = f"mean {measured.mean:.3g}, limit {bound:.3g}"
            found[metric.name] = f"{figures} {metric.unit}".rstrip()
    return found
