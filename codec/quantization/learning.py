"""How a codebook follows its vectors: moving averages, and replacement of dead entries.

With several processes all of them see the sums over all their vectors and do the same.

Dimension key: N vectors, D width, E entries.
"""

import torch
from torch import Tensor

from codec import processes
from codec.quantization.codebook import EuclideanCodebook

EPSILON = 1e-5  # of Laplace smoothing
LEAST_WEIGHT = 1e-3  # below this share of its due usage an entry stays where it is

# Usage is judged once an entry of average use has had this many vectors: over fewer, a live entry
# may well have none by chance, and whoever replaces those starves them all.
USES_UNTIL_JUDGED = 100
# The threshold counts uses of an entry in the time in which one of average use has this many.
USES_OF_THRESHOLD = 20


def sums_by_entry(codes_N: Tensor, x_ND: Tensor, entries: int) -> Tensor:
    """The sum of each entry's vectors and, in a last column, how many there are: [E, D + 1].

    They are float64: rounded to float32 afterwards, they are nearly always the same whatever the
    order of the vectors was.
    """
    counted_ND1 = torch.cat([x_ND.double(), x_ND.new_ones(len(x_ND), 1).double()], dim=1)
    return counted_ND1.new_zeros(entries, counted_ND1.shape[1]).index_add_(0, codes_N, counted_ND1)


def update_averages(codebook: EuclideanCodebook, sums_ED1: Tensor, decay: float) -> None:
    """Moves each entry towards the mean of the vectors it was nearest to.

    `cluster_size` is kept relative to what a live entry expects: an entry used exactly its share of
    the time has 1, whatever the size of the batch.

    Args:
        codebook: to move.
        sums_ED1: of `sums_by_entry`, over all processes.
        decay: what is kept of the averages.

    Source: "Neural Discrete Representation Learning" (van den Oord et al., 2017), appendix A.1,
        with Laplace smoothing of the sizes.
    """
    sums_ED, counts_E = sums_ED1[:, :-1], sums_ED1[:, -1]
    expected = counts_E.mean()
    codebook.uses += counts_E.long()
    codebook.cluster_size.lerp_((counts_E / expected).float(), 1 - decay)
    codebook.embed_avg.lerp_((sums_ED / expected).float(), 1 - decay)
    total = codebook.cluster_size.sum()
    entries = codebook.codebook_size
    smoothed_E = (codebook.cluster_size + EPSILON) / (total + entries * EPSILON) * total
    moved_ED = codebook.embed_avg / smoothed_E[:, None]
    has_weight_E1 = (codebook.cluster_size > LEAST_WEIGHT)[:, None]
    codebook.embed.copy_(torch.where(has_weight_E1, moved_ED, codebook.embed))


def expire(codebook: EuclideanCodebook, threshold: float) -> None:
    """Judges how entries were used, once `USES_UNTIL_JUDGED` is reached; earlier it does nothing.

    Args:
        codebook: whose `uses` say how often each entry was used since the last judgement.
        threshold: uses below which an entry is dead, in the time in which one of average use has
            `USES_OF_THRESHOLD`; 0 lets all live.
    """
    average = average_uses(codebook)
    if average >= USES_UNTIL_JUDGED:
        codebook.is_expired |= codebook.uses < threshold / USES_OF_THRESHOLD * average
        codebook.uses.zero_()


def replace_expired(codebook: EuclideanCodebook, x_ND: Tensor, generator: torch.Generator) -> int:
    """Moves expired entries onto random vectors of all processes.

    The averages are reset with the entry, or the next update would put the dead one back. Where a
    batch has too few vectors for all, the other entries wait for the next: no two go to one place.

    Args:
        codebook: of which entries may have expired.
        x_ND: what the codebook quantizes, [N, D]; the vectors of this process.
        generator: in the same state in all processes.

    Returns:
        How many entries were moved.
    """
    waiting = codebook.is_expired.nonzero()[:, 0]
    if len(waiting) == 0:
        return 0
    joined_ND = processes.joined_rows(x_ND)
    rows = torch.randperm(len(joined_ND), generator=generator)[: len(waiting)].to(x_ND.device)
    moved = waiting[: len(rows)]
    codebook.embed[moved] = joined_ND[rows]
    codebook.embed_avg[moved] = joined_ND[rows]
    codebook.cluster_size[moved] = 1.0
    codebook.uses[moved] = round(average_uses(codebook))  # as if it had its share all along
    codebook.is_expired[moved] = False
    return len(moved)


def average_uses(codebook: EuclideanCodebook) -> float:
    """Uses of an entry of average use since usage was last judged."""
    return float(codebook.uses.sum()) / codebook.codebook_size
