"""Line drawings for the report, as SVG that follows the colours of the page.

Dimension key: C channels, S samples.
"""

from collections.abc import Sequence
from html import escape

import numpy as np
import torch
from torch import Tensor

from tokenize_pipeline.verification.code_statistics import CodebookStatistics

WAVEFORM_COLUMNS = 240
HISTOGRAM_BARS = 24
_HEIGHT = 40.0  # of every drawing, in its own units; 100 wide, stretched by the page


def waveform(audio_CS: Tensor, loudest: float, title: str) -> str:
    """The envelope of a signal: from its lowest to its highest sample, column by column.

    Args:
        audio_CS: any signal.
        loudest: magnitude that fills the height, so that drawings can be compared.
        title: for those who cannot see it.
    """
    columns = audio_CS.float().mean(dim=0).tensor_split(min(WAVEFORM_COLUMNS, audio_CS.shape[1]))
    high = _heights(torch.stack([column.max() for column in columns]), loudest)
    low = _heights(torch.stack([column.min() for column in columns]), loudest)
    step = 100 / max(1, len(high) - 1)
    there = [f"{i * step:.1f},{_HEIGHT / 2 - y:.1f}" for i, y in enumerate(high)]
    back = [f"{i * step:.1f},{_HEIGHT / 2 - y:.1f}" for i, y in reversed(list(enumerate(low)))]
    return _svg(f'<polygon points="{" ".join([*there, *back])}"/>', title, "wave")


def histogram(values: Sequence[float], limit: float | None, title: str) -> str:
    """How often values occur, from the smallest to the largest; the limit as a line.

    Args:
        values: at least one.
        limit: drawn where it lies among the values; None for no line.
        title: for those who cannot see it.
    """
    low, high = min(values), max(values)
    span = high - low or 1.0
    counts, _ = np.histogram(values, bins=HISTOGRAM_BARS, range=(low, low + span))
    width = 100 / HISTOGRAM_BARS
    bars = _bars([float(count) for count in counts], width)
    line = ""
    if limit is not None and low <= limit <= high:
        x = 100 * (limit - low) / span
        line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{_HEIGHT:.0f}"/>'
    return _svg(bars + line, title, "bars")


def usage_bars(statistics: CodebookStatistics, title: str) -> str:
    """How often the entries of a codebook are used, most used ones on the left."""
    return _svg(_bars(statistics.usage, 100 / len(statistics.usage)), title, "bars")


def drift_bars(drifts: Sequence[float], title: str) -> str:
    """The drift of each shard, in the order of the shards; neighbours share a bar if many."""
    groups = np.array_split(np.asarray(drifts), min(len(drifts), 200))
    return _svg(_bars([float(group.max()) for group in groups], 100 / len(groups)), title, "bars")


def _bars(heights: Sequence[float], width: float) -> str:
    highest = max(heights)
    return "".join(
        f'<rect x="{index * width:.2f}" y="{_HEIGHT - height:.2f}" width="{width * 0.82:.2f}" '
        f'height="{height:.2f}"/>'
        for index, share in enumerate(heights)
        if (height := _HEIGHT * share / highest if highest else 0.0) > 0
    )


def _heights(values: Tensor, loudest: float) -> list[float]:
    """At least a hair line, so that silence is seen too."""
    scaled = values / max(loudest, 1e-9) * (_HEIGHT / 2)
    return [float(value) for value in scaled.clamp(-_HEIGHT / 2, _HEIGHT / 2)]


def _svg(content: str, title: str, kind: str) -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 100 {_HEIGHT:.0f}" preserveAspectRatio="none" '
        f'role="img" aria-label="{escape(title)}">{content}</svg>'
    )
