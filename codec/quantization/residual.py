"""Residual vector quantization: each codebook quantizes what the ones before it left over.

Dimension key: B batch, D latent width, T frames, K codebooks.
"""

from typing import cast

import torch
from torch import Tensor, nn

from codec.quantization.codebook import EuclideanCodebook


class ResidualCodebooks(nn.Module):
    """A stack of codebooks.

    Source: "SoundStream" (Zeghidour et al., 2021), algorithm 1.
    """

    def __init__(self, dimension: int, codebook_size: int, num_codebooks: int) -> None:
        super().__init__()
        # The nesting is the one of published checkpoints: layers.K.codebook.embed
        self.layers = nn.ModuleList(
            nn.ModuleDict({"codebook": EuclideanCodebook(dimension, codebook_size)})
            for _ in range(num_codebooks)
        )

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int) -> EuclideanCodebook:
        return cast(EuclideanCodebook, cast(nn.ModuleDict, self.layers[index])["codebook"])

    def encode(self, z_BDT: Tensor, num_codebooks: int) -> Tensor:
        """Codes of a latent: int64 [B, K, T] from the first `num_codebooks` codebooks."""
        batch, width, frames = z_BDT.shape
        residual_ND = z_BDT.transpose(1, 2).reshape(-1, width)
        codes = []
        for k in range(num_codebooks):
            codes_N = self[k].nearest(residual_ND)
            residual_ND = residual_ND - self[k].lookup(codes_N)
            codes.append(codes_N.view(batch, frames))
        return torch.stack(codes, dim=1)

    def decode(self, codes_BKT: Tensor) -> Tensor:
        """The latent that codes stand for, float [B, D, T]; K may be fewer than the codebooks."""
        z_BTD = self[0].lookup(codes_BKT[:, 0])
        for k in range(1, codes_BKT.shape[1]):
            z_BTD = z_BTD + self[k].lookup(codes_BKT[:, k])
        return z_BTD.transpose(1, 2)
