"""How often each code was used, and what that says about a codebook.

Dimension key: K codebooks, T frames, V entries of a codebook.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BARS = 64  # groups of entries that a usage picture is drawn from

# Fewer frames than this may well repeat one code: a short clip of silence does.
CONSTANT_AFTER_FRAMES = 1000


@dataclass(frozen=True)
class CodebookStatistics:
    """One codebook over a whole dataset."""

    frames: int
    used_entries: int
    codebook_size: int
    entropy_bits: float  # of the distribution of its codes; log2(codebook_size) at most
    usage: tuple[float, ...]  # share of frames in each of `BARS` groups, most used entries first

    @property
    def perplexity(self) -> float:
        """Entries that, used equally often, would carry as much."""
        return float(2**self.entropy_bits)

    @property
    def is_constant(self) -> bool:
        """Whether it says nothing although there was time to."""
        return self.used_entries == 1 and self.frames >= CONSTANT_AFTER_FRAMES


class CodeCounts:
    """Counts of every entry of every codebook.

    Args:
        num_codebooks: K.
        codebook_size: V.
    """

    def __init__(self, num_codebooks: int, codebook_size: int) -> None:
        self._counts_KV = np.zeros((num_codebooks, codebook_size), dtype=np.int64)
        self._first_of_codebook = np.arange(num_codebooks)[:, None] * codebook_size

    def add(self, codes_KT: NDArray[np.uint16]) -> None:
        """Count the codes of a row; all of them within range."""
        np.add.at(self._counts_KV.reshape(-1), self._first_of_codebook + codes_KT, 1)

    def statistics(self) -> list[CodebookStatistics]:
        """What the counts say, codebook by codebook."""
        return [_statistics(counts_V) for counts_V in self._counts_KV]


def _statistics(counts_V: NDArray[np.int64]) -> CodebookStatistics:
    frames = int(counts_V.sum())
    shares = np.sort(counts_V)[::-1] / max(1, frames)
    used = shares[shares > 0]
    groups = np.array_split(shares, min(BARS, len(shares)))
    return CodebookStatistics(
        frames=frames,
        used_entries=len(used),
        codebook_size=len(counts_V),
        entropy_bits=float(max(0.0, -(used * np.log2(used)).sum())),
        usage=tuple(float(group.sum()) for group in groups),
    )
