"""Number formats of a benchmark, and the switches that choose them on a GPU."""

from contextlib import AbstractContextManager

import torch

from codec.exact import cuda_kernels

FLOAT32 = "float32"
TF32 = "tf32"
BFLOAT16 = "bfloat16"


def precisions(device: str) -> tuple[str, ...]:
    """The formats there are on a device: TF32 exists on GPUs alone."""
    return (FLOAT32, TF32, BFLOAT16) if device == "cuda" else (FLOAT32, BFLOAT16)


def dtype_of(precision: str) -> torch.dtype:
    """The type of tensors: TF32 is a way of multiplying float32."""
    return torch.bfloat16 if precision == BFLOAT16 else torch.float32


def tf32(allowed: bool) -> AbstractContextManager[None]:
    """Allow or forbid TF32 in products and convolutions on a GPU inside the block."""
    return cuda_kernels(allow_tf32=allowed, deterministic=False)
