"""One layer of a residual quantizer: a codebook, seen through projections where widths differ.

Dimension key: N vectors, D width of the latent, C width of the codebook.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from codec.quantization.codebook import EuclideanCodebook


class StraightThrough(torch.autograd.Function):
    """Gives its second argument forwards, and sends gradients back to its first.

    Unlike the usual `x + (q - x).detach()`, what it gives has exactly the bits of `q`.

    Source: "Estimating or Propagating Gradients Through Stochastic Neurons" (Bengio et al., 2013).
    """

    @staticmethod
    def forward(_ctx: FunctionCtx, _x: Tensor, quantized: Tensor) -> Tensor:
        """The quantized values."""
        return quantized.view_as(quantized)

    @staticmethod
    def backward(_ctx: FunctionCtx, *gradients: Any) -> tuple[Any, None]:
        """The gradient, as if nothing had been quantized."""
        return gradients[0], None


class QuantizerLayer(nn.Module):
    """A codebook of width `codebook_dim` for vectors of width `dimension`.

    Its submodules are named as in published checkpoints.
    """

    def __init__(self, dimension: int, codebook_dim: int, codebook_size: int) -> None:
        super().__init__()
        projects = codebook_dim != dimension
        self.project_in = nn.Linear(dimension, codebook_dim) if projects else nn.Identity()
        self.project_out = nn.Linear(codebook_dim, dimension) if projects else nn.Identity()
        self.codebook = EuclideanCodebook(codebook_dim, codebook_size)

    def search(self, x_ND: Tensor) -> Tensor:
        """The nearest entry of each vector: int64 [N]."""
        return self.codebook.nearest(self.project_in(x_ND))

    def lookup(self, codes: Tensor) -> Tensor:
        """What codes stand for: [...] to [..., D]."""
        looked_up: Tensor = self.project_out(self.codebook.lookup(codes))
        return looked_up
