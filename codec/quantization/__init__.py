"""Vector quantization: codebooks and the residual stack of them."""

from codec.quantization.codebook import EuclideanCodebook
from codec.quantization.residual import ResidualCodebooks

__all__ = ["EuclideanCodebook", "ResidualCodebooks"]
