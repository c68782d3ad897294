"""How a codebook learns: k-means to begin with, moving averages, and replacement of dead entries.

Dimension key: N vectors, D width, E entries.
"""

import torch
from torch import Tensor

from codec.quantization.codebook import EuclideanCodebook

EPSILON = 1e-5


def fit_kmeans(
    codebook: EuclideanCodebook, x_ND: Tensor, iterations: int, generator: torch.Generator
) -> None:
    """Sets the entries to the centroids of vectors; there should be several for each entry.

    An entry without vectors is moved onto a random vector, so that none is born dead.

    Raises:
        ValueError: there are fewer vectors than entries, or none for the codebook to spread over.
    """
    entries = codebook.codebook_size
    if len(x_ND) < entries:
        raise ValueError(f"{len(x_ND)} vectors for {entries} entries; gather more batches first")
    codebook.embed.copy_(x_ND[_random_rows(len(x_ND), entries, generator, x_ND)])
    for _ in range(iterations):
        counts_E, sums_ED = _gather(codebook.nearest(x_ND), x_ND, entries)
        codebook.embed.copy_(sums_ED / counts_E.clamp(min=1)[:, None])
        empty = counts_E == 0
        rows = _random_rows(len(x_ND), int(empty.sum()), generator, x_ND)
        codebook.embed[empty] = x_ND[rows]
    counts_E, _ = _gather(codebook.nearest(x_ND), x_ND, entries)
    expected = len(x_ND) / entries
    codebook.cluster_size.copy_((counts_E / expected).clamp(min=0.5))
    codebook.embed_avg.copy_(codebook.embed * codebook.cluster_size[:, None])
    codebook.inited.fill_(1)


def update_averages(
    codebook: EuclideanCodebook, x_ND: Tensor, codes_N: Tensor, decay: float
) -> None:
    """Moves each entry towards the mean of the vectors it was nearest to.

    `cluster_size` is kept relative to what a live entry expects: an entry used exactly its share of
    the time has 1, whatever the size of the batch.

    Source: "Neural Discrete Representation Learning" (van den Oord et al., 2017), appendix A.1,
        with Laplace smoothing of the sizes.
    """
    entries = codebook.codebook_size
    counts_E, sums_ED = _gather(codes_N, x_ND, entries)
    expected = len(x_ND) / entries
    codebook.cluster_size.lerp_(counts_E / expected, 1 - decay)
    codebook.embed_avg.lerp_(sums_ED / expected, 1 - decay)
    total = codebook.cluster_size.sum()
    smoothed_E = (codebook.cluster_size + EPSILON) / (total + entries * EPSILON) * total
    codebook.embed.copy_(codebook.embed_avg / smoothed_E[:, None])


def replace_dead(
    codebook: EuclideanCodebook, x_ND: Tensor, threshold: float, generator: torch.Generator
) -> int:
    """Moves entries used less than `threshold` of their share onto random vectors.

    The averages are reset with the entry, or the next update would put the dead one back.

    Returns:
        How many entries were moved.
    """
    dead = codebook.cluster_size < threshold
    count = int(dead.sum())
    if count:
        chosen_ED = x_ND[_random_rows(len(x_ND), count, generator, x_ND)]
        codebook.embed[dead] = chosen_ED
        codebook.cluster_size[dead] = 1.0
        codebook.embed_avg[dead] = chosen_ED
    return count


def _gather(codes_N: Tensor, x_ND: Tensor, entries: int) -> tuple[Tensor, Tensor]:
    """How many vectors each entry has, and their sum."""
    counts_E = torch.bincount(codes_N, minlength=entries).to(x_ND.dtype)
    sums_ED = x_ND.new_zeros(entries, x_ND.shape[1]).index_add_(0, codes_N, x_ND)
    return counts_E, sums_ED


def _random_rows(rows: int, count: int, generator: torch.Generator, like: Tensor) -> Tensor:
    """`count` different row numbers; some twice where there are too few rows."""
    order = torch.randperm(rows, generator=generator)
    repeats = -(-count // max(1, rows))
    return order.repeat(max(1, repeats))[:count].to(like.device)
