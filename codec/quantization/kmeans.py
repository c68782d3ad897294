"""k-means: where the entries of a codebook begin.

Dimension key: N vectors, D width, E entries.
"""

import torch
from torch import Tensor

from codec import processes
from codec.errors import CodebookError
from codec.quantization.codebook import EuclideanCodebook
from codec.quantization.learning import sums_by_entry

_ROWS_AT_ONCE = 16_384  # distances to every entry take memory


def fit_kmeans(
    codebook: EuclideanCodebook, x_ND: Tensor, iterations: int, generator: torch.Generator
) -> None:
    """Sets the entries to centroids of vectors; there should be several for each entry.

    Begins with random vectors. An entry that has none nearest to it is moved onto a random one, so
    that none is born dead. All processes get the entries of process 0.

    Args:
        codebook: to set.
        x_ND: the same vectors in the same order in all processes.
        iterations: of assigning vectors and moving entries.
        generator: the same vectors and the same state give the same entries.

    Raises:
        CodebookError: there are fewer vectors than entries.
    """
    entries = codebook.codebook_size
    if len(x_ND) < entries:
        raise CodebookError(
            f"k-means got {len(x_ND)} frames for a codebook of {entries} entries; gather at least "
            f"{entries} frames, better several for each entry, or take a smaller codebook"
        )
    codebook.embed.copy_(x_ND[_random_rows(x_ND, entries, generator)])
    for _ in range(iterations):
        sums_ED1 = sums_by_entry(_nearest(codebook, x_ND), x_ND, entries)
        counts_E = sums_ED1[:, -1]
        codebook.embed.copy_(sums_ED1[:, :-1] / counts_E.clamp(min=1)[:, None])
        empty = counts_E == 0
        codebook.embed[empty] = x_ND[_random_rows(x_ND, int(empty.sum()), generator)]
    processes.copied_from_first([codebook.embed])
    counts_E = torch.bincount(_nearest(codebook, x_ND), minlength=entries)
    codebook.set_entries(codebook.embed, (counts_E * entries / len(x_ND)).clamp(min=0.5))
    processes.copied_from_first([codebook.cluster_size, codebook.embed_avg])


def _nearest(codebook: EuclideanCodebook, x_ND: Tensor) -> Tensor:
    return torch.cat([codebook.nearest(part_ND) for part_ND in x_ND.split(_ROWS_AT_ONCE)])


def _random_rows(x_ND: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` different row numbers."""
    return torch.randperm(len(x_ND), generator=generator)[:count].to(x_ND.device)
