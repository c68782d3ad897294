"""A stack of codebooks: each quantizes what the ones before it left over.

Dimension key: B batch, D latent width, T frames, K codebooks, N vectors (B times T).
"""

from typing import cast

import torch
from torch import Tensor, nn

from codec.quantization.codebook import EuclideanCodebook
from codec.quantization.layer import QuantizerLayer


class CodebookStack(nn.Module):
    """Codebooks as they are used: searched, and looked up. Begins with random entries.

    Source: "SoundStream" (Zeghidour et al., 2021), algorithm 1.
    """

    def __init__(
        self, dimension: int, codebook_dim: int, num_codebooks: int, codebook_size: int
    ) -> None:
        super().__init__()
        # The nesting is the one of published checkpoints: layers.K.codebook.embed
        self.layers = nn.ModuleList(
            QuantizerLayer(dimension, codebook_dim, codebook_size) for _ in range(num_codebooks)
        )
        for k in range(num_codebooks):
            nn.init.kaiming_uniform_(self[k].embed)
        self.forget_usage()

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int) -> EuclideanCodebook:
        return self.layer(index).codebook

    @property
    def is_fitted(self) -> bool:
        """Whether all codebooks have entries that mean something."""
        return bool(torch.cat([self[k].inited for k in range(len(self))]).all())

    def layer(self, index: int) -> QuantizerLayer:
        """A codebook with its projections."""
        return cast(QuantizerLayer, self.layers[index])

    def search(self, z_BDT: Tensor, num_codebooks: int, first: int = 0) -> Tensor:
        """Codes of a latent, int64 [B, K, T], from codebooks `first` to `num_codebooks`.

        This and `lookup` check nothing: they are what codecs run.
        """
        batch, width, frames = z_BDT.shape
        residual_ND = z_BDT.transpose(1, 2).reshape(-1, width)
        codes = []
        for k in range(first, num_codebooks):
            codes_N = self.layer(k).search(residual_ND)
            residual_ND = residual_ND - self.layer(k).lookup(codes_N)
            codes.append(codes_N.view(batch, frames))
        return torch.stack(codes, dim=1)

    def lookup(self, codes_BKT: Tensor) -> Tensor:
        """The latent that codes stand for, float [B, D, T]; K may be fewer than the codebooks."""
        z_BTD = self.layer(0).lookup(codes_BKT[:, 0])
        for k in range(1, codes_BKT.shape[1]):
            z_BTD = z_BTD + self.layer(k).lookup(codes_BKT[:, k])
        return z_BTD.transpose(1, 2)

    def forget_usage(self) -> None:
        """Sets the averages that training goes on from to an even usage of the present entries."""
        for k in range(len(self)):
            self[k].set_entries(self[k].embed.clone())
