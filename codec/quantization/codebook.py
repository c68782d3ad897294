"""A codebook: vectors, and the search for the nearest one.

Dimension key: N vectors, D width, E entries.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class EuclideanCodebook(nn.Module):
    """`codebook_size` entries of width `dimension`, searched by Euclidean distance.

    Besides the entries it holds the running averages that training makes them from, under the names
    that published checkpoints use.
    """

    inited: Tensor
    cluster_size: Tensor
    embed: Tensor
    embed_avg: Tensor

    def __init__(self, dimension: int, codebook_size: int) -> None:
        super().__init__()
        self.codebook_size = codebook_size
        self.register_buffer("inited", torch.ones(1))
        self.register_buffer("cluster_size", torch.zeros(codebook_size))
        self.register_buffer("embed", torch.zeros(codebook_size, dimension))
        self.register_buffer("embed_avg", torch.zeros(codebook_size, dimension))

    def nearest(self, x_ND: Tensor) -> Tensor:
        """Index of the entry nearest to each vector: [N, D] to int64 [N].

        |x - e|^2 is |x|^2 - 2 x.e + |e|^2, and |x|^2 is the same for every entry.
        """
        squares_E = self.embed.square().sum(dim=1)
        return torch.addmm(squares_E, x_ND, self.embed.t(), alpha=-2).argmin(dim=1)

    def lookup(self, codes: Tensor) -> Tensor:
        """Entries at the given indices: [...] to [..., D]."""
        return functional.embedding(codes, self.embed)
