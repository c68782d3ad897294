"""How often each code was used, what follows what, and what that says about a codebook.

Counts of shards add up to those of a dataset.

Dimension key: K codebooks, T frames, V entries of a codebook, N pairs of codes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BARS = 64  # groups of entries that a usage picture is drawn from

# Fewer frames than this may well repeat one code: a short clip of silence does.
CONSTANT_AFTER_FRAMES = 1000

# Of each shard, from its first rows. Distinct pairs are few enough to hold; all pairs are not.
PAIRS_PER_SHARD = 1 << 13
_PAIRS_WAITING = 1 << 20


@dataclass(frozen=True)
class CodebookStatistics:
    """One codebook over a whole dataset."""

    frames: int
    used_entries: int
    codebook_size: int
    entropy_bits: float  # of the distribution of its codes; log2(codebook_size) at most
    # Entropy of pairs of codes that follow one another, and how many pairs that is told from. Too
    # low where they are few beside the square of the used entries.
    bigram_entropy_bits: float
    bigrams: int
    usage: tuple[float, ...]  # share of frames in each of `BARS` groups, most used entries first

    @property
    def perplexity(self) -> float:
        """Entries that, used equally often, would carry as much."""
        return float(2**self.entropy_bits)

    @property
    def dead_entries(self) -> int:
        """Entries that never occur."""
        return self.codebook_size - self.used_entries

    @property
    def is_constant(self) -> bool:
        """Whether it says nothing although there was time to."""
        return self.used_entries == 1 and self.frames >= CONSTANT_AFTER_FRAMES


class CodeCounts:
    """Counts of every entry of every codebook, and of some pairs.

    Args:
        num_codebooks: K.
        codebook_size: V.
    """

    def __init__(self, num_codebooks: int, codebook_size: int) -> None:
        self.counts_KV = np.zeros((num_codebooks, codebook_size), dtype=np.int64)
        self._first_of_codebook = np.arange(num_codebooks)[:, None] * codebook_size
        self._pairs = np.zeros(0, dtype=np.uint64)  # see `pairs`
        self._pair_counts = np.zeros(0, dtype=np.int64)
        self._waiting: list[tuple[NDArray[np.uint64], NDArray[np.int64]]] = []  # to be added

    def add(self, codes_KT: NDArray[np.uint16]) -> None:
        """Count the codes of a row, all of them within range, and pairs while there is room."""
        places_KT = self._first_of_codebook + codes_KT
        size = self.counts_KV.size
        counts = np.bincount(places_KT.reshape(-1), minlength=size)
        self.counts_KV += counts.reshape(self.counts_KV.shape)
        room = PAIRS_PER_SHARD - (int(self.counts_KV[0].sum()) - codes_KT.shape[1])
        if room > 0 and codes_KT.shape[1] > 1:
            first_KN, second_KN = places_KT[:, :-1][:, :room], codes_KT[:, 1:][:, :room]
            pairs = first_KN.astype(np.uint64) * self.counts_KV.shape[1] + second_KN
            self._wait(*np.unique(pairs, return_counts=True))

    def merge(self, other: "CodeCounts") -> None:
        """Add the counts of other rows."""
        self.counts_KV += other.counts_KV
        self._wait(*other.pairs())

    def statistics(self) -> list[CodebookStatistics]:
        """What the counts say, codebook by codebook."""
        size = self.counts_KV.shape[1]
        pairs, pair_counts = self.pairs()
        owners = pairs // np.uint64(size * size)
        return [
            _statistics(counts_V, pair_counts[owners == k])
            for k, counts_V in enumerate(self.counts_KV)
        ]

    def entropies_bits(self) -> list[float]:
        """Entropy of each codebook."""
        return [_entropy(counts_V) for counts_V in self.counts_KV]

    def drift_bits(self, whole: "CodeCounts") -> float:
        """How differently these codes are spread than those of a dataset they are part of.

        Jensen-Shannon divergence, 0 to 1 bit, mean over codebooks, less what so few frames differ
        by chance.

        Source: Lin 1991, "Divergence measures based on the Shannon entropy", equation 4.1.
        """
        pairs = zip(self.counts_KV, whole.counts_KV, strict=True)
        return float(np.mean([_divergence(own_V, all_V) for own_V, all_V in pairs]))

    def pairs(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Each pair that was seen, as (k V + code) V + next code, and how often; sorted."""
        if self._waiting:
            both = np.concatenate([self._pairs, *(pairs for pairs, _ in self._waiting)])
            weights = np.concatenate([self._pair_counts, *(counts for _, counts in self._waiting)])
            self._pairs, places = np.unique(both, return_inverse=True)
            summed = np.bincount(places, weights=weights, minlength=len(self._pairs))
            self._pair_counts = summed.astype(np.int64)
            self._waiting.clear()
        return self._pairs, self._pair_counts

    def _wait(self, pairs: NDArray[np.uint64], counts: NDArray[np.int64]) -> None:
        """Add pairs, when enough of them have gathered for the sorting to pay."""
        self._waiting.append((pairs, counts))
        if sum(len(one) for one, _ in self._waiting) > max(_PAIRS_WAITING, len(self._pairs)):
            self.pairs()


def outliers(drifts: Sequence[float]) -> list[int]:
    """Shards whose codes are spread otherwise than those of most others, farthest first."""
    if len(drifts) < 4:
        return []
    values = np.asarray(drifts)
    median = float(np.median(values))
    spread = float(np.median(np.abs(values - median)))
    bound = max(0.1, median + 6 * spread)
    return [int(i) for i in np.argsort(-values, kind="stable") if values[i] > bound]


def _statistics(counts_V: NDArray[np.int64], pair_counts: NDArray[np.int64]) -> CodebookStatistics:
    frames = int(counts_V.sum())
    shares = np.sort(counts_V)[::-1] / max(1, frames)
    groups = np.array_split(shares, min(BARS, len(shares)))
    return CodebookStatistics(
        frames=frames,
        used_entries=int((counts_V > 0).sum()),
        codebook_size=len(counts_V),
        entropy_bits=_entropy(counts_V),
        bigram_entropy_bits=_entropy(pair_counts),
        bigrams=int(pair_counts.sum()),
        usage=tuple(float(group.sum()) for group in groups),
    )


def _entropy(counts: NDArray[np.int64]) -> float:
    shares = counts[counts > 0] / max(1, int(counts.sum()))
    return float(max(0.0, -(shares * np.log2(shares)).sum()))


def _divergence(own_V: NDArray[np.int64], all_V: NDArray[np.int64]) -> float:
    own, everything = int(own_V.sum()), int(all_V.sum())
    if own == 0 or everything == 0:
        return 0.0
    p, q = own_V / own, all_V / everything
    mean = (p + q) / 2
    bits = _entropy_of(mean) - (_entropy_of(p) + _entropy_of(q)) / 2
    # Expected of `own` draws from q: (entries - 1) / (8 own), in natural units.
    by_chance = (int((all_V > 0).sum()) - 1) / (8 * own * np.log(2)) * (1 - own / everything)
    return float(max(0.0, bits - by_chance))


def _entropy_of(shares: NDArray[np.float64]) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log2(positive)).sum())
