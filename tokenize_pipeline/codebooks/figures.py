"""What there is to say of a codebook.

Dimension key: K codebooks, T frames, E entries, D width.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from codec.base import CodecSpec

_ROWS_AT_ONCE = 1024  # of the distances between entries

_ROW = "{:>8}  {:>15}  {:>14}  {:>6}  {:>9}  {:>16}  {:>8}  {:>8}"
_TITLES = (
    "codebook",
    "entries x width",
    "used",
    "dead",
    "entropy",
    "perplexity",
    "least",
    "median",
)


@dataclass(frozen=True)
class CodebookFigures:
    """One codebook: its entries, and how often audio used each."""

    entries: Tensor  # [E, D]
    uses: Tensor  # int64 [E], frames of each entry
    nearest: Tensor  # [E], distance of each entry to the one next to it

    @property
    def frames(self) -> int:
        """Frames of all entries."""
        return int(self.uses.sum())

    @property
    def used(self) -> int:
        """Entries that some frame used."""
        return int((self.uses > 0).sum())

    @property
    def entropy_bits(self) -> float:
        """Of the distribution of the codes; log2 of the number of entries at most."""
        shares_E = self.uses.double() / self.uses.sum().clamp(min=1)
        return float(torch.special.entr(shares_E).sum()) / math.log(2)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        entries, width = self.entries.shape
        perplexity = 2**self.entropy_bits  # entries that, used equally often, would carry as much
        return {
            "entries": entries,
            "width": width,
            "frames": self.frames,
            "used": self.used,
            "used_share": self.used / entries,
            "dead": entries - self.used,
            "entropy_bits": self.entropy_bits,
            "perplexity": perplexity,
            "perplexity_share": perplexity / entries,
            "nearest_least": float(self.nearest.min()),
            "nearest_median": float(self.nearest.median()),
        }


@dataclass(frozen=True)
class CodebooksReport:
    """All codebooks of a codec over some audio."""

    spec: CodecSpec
    recordings: int  # that were encoded
    rejected: int
    seconds: float
    codebooks: tuple[CodebookFigures, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "codec": self.spec.name,
            "fingerprint": self.spec.fingerprint,
            "recordings": self.recordings,
            "rejected": self.rejected,
            "seconds": self.seconds,
            "codebooks": [codebook.to_dict() for codebook in self.codebooks],
        }

    def lines(self) -> list[str]:
        """A table for people."""
        return [
            f"{self.spec.name}: {len(self.codebooks)} codebooks over {self.seconds / 60:.1f} "
            f"minutes of audio, {self.recordings} recordings ({self.rejected} rejected)",
            "",
            f"{'distance to the nearest other entry':>98}",
            _ROW.format(*_TITLES),
            *(_line(index + 1, codebook) for index, codebook in enumerate(self.codebooks)),
        ]


def codebook_figures(entries_ED: Tensor, uses_E: Tensor) -> CodebookFigures:
    """What there is to say of entries that were used so often."""
    return CodebookFigures(entries_ED, uses_E, nearest_distances(entries_ED))


def nearest_distances(entries_ED: Tensor) -> Tensor:
    """Euclidean distance of each entry to the nearest other one; 0 where two are the same."""
    exact = "donot_use_mm_for_euclid_dist"
    nearest = []
    for first in range(0, len(entries_ED), _ROWS_AT_ONCE):
        some_ND = entries_ED[first : first + _ROWS_AT_ONCE]
        distances_NE = torch.cdist(some_ND, entries_ED, compute_mode=exact)
        rows = torch.arange(len(some_ND))
        distances_NE[rows, first + rows] = torch.inf
        nearest.append(distances_NE.min(dim=1).values)
    return torch.cat(nearest)


def _line(number: int, codebook: CodebookFigures) -> str:
    values = codebook.to_dict()
    shape = f"{values['entries']} x {values['width']}"
    used = f"{values['used']} ({values['used_share']:.1%})"
    perplexity = f"{values['perplexity']:.1f} ({values['perplexity_share']:.1%})"
    nearest = (f"{values[f'nearest_{which}']:.3g}" for which in ("least", "median"))
    entropy = f"{values['entropy_bits']:.2f} bit"
    return _ROW.format(number, shape, used, values["dead"], entropy, perplexity, *nearest)
