"""Vector quantization: codebooks, the residual stack of them, and how they learn."""

from codec.quantization.codebook import EuclideanCodebook
from codec.quantization.residual import QuantizedResult, ResidualVectorQuantizer

__all__ = ["EuclideanCodebook", "QuantizedResult", "ResidualVectorQuantizer"]
