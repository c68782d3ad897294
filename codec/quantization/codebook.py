"""A codebook: vectors, and the search for the nearest one.

Dimension key: N vectors, D width, E entries.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class EuclideanCodebook(nn.Module):
    """`codebook_size` entries of width `dimension`, searched by Euclidean distance.

    Besides the entries it holds what training makes them from. The first four buffers have the
    names that published checkpoints use; `uses` and `is_expired` are in no state dict, so that it
    has no name that those lack.
    """

    inited: Tensor  # 1 where the entries mean something
    cluster_size: Tensor  # running average of the usage; 1 is an even share of all vectors
    embed: Tensor  # the entries
    embed_avg: Tensor  # running average of the sum of an entry's vectors, in the same unit
    uses: Tensor  # vectors of each entry since usage was last judged
    is_expired: Tensor  # judged dead, and not replaced yet

    def __init__(self, dimension: int, codebook_size: int) -> None:
        super().__init__()
        self.codebook_size = codebook_size
        self.register_buffer("inited", torch.ones(1))
        self.register_buffer("cluster_size", torch.ones(codebook_size))
        self.register_buffer("embed", torch.zeros(codebook_size, dimension))
        self.register_buffer("embed_avg", torch.zeros(codebook_size, dimension))
        uses = torch.zeros(codebook_size, dtype=torch.int64)
        self.register_buffer("uses", uses, persistent=False)
        self.register_buffer("is_expired", uses.bool(), persistent=False)

    def nearest(self, x_ND: Tensor) -> Tensor:
        """Index of the entry nearest to each vector: [N, D] to int64 [N].

        |x - e|^2 is |x|^2 - 2 x.e + |e|^2, and |x|^2 is the same for every entry.
        """
        squares_E = self.embed.square().sum(dim=1)
        return torch.addmm(squares_E, x_ND, self.embed.t(), alpha=-2).argmin(dim=1)

    def lookup(self, codes: Tensor) -> Tensor:
        """Entries at the given indices: [...] to [..., D]."""
        return functional.embedding(codes, self.embed)

    def set_entries(self, embed_ED: Tensor, cluster_size_E: Tensor | None = None) -> None:
        """Replaces all entries, with averages that agree with them.

        Args:
            embed_ED: the entries.
            cluster_size_E: usage of each relative to an even share; None: all the same.
        """
        self.embed.copy_(embed_ED)
        if cluster_size_E is None:
            self.cluster_size.fill_(1)
        else:
            self.cluster_size.copy_(cluster_size_E)
        self.embed_avg.copy_(self.embed * self.cluster_size[:, None])
        self.uses.zero_()
        self.is_expired.fill_(False)
        self.inited.fill_(1)
