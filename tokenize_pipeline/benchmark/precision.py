"""Number formats of a benchmark, and the switches that choose them on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

FLOAT32 = "float32"
TF32 = "tf32"
BFLOAT16 = "bfloat16"


def precisions(device: str) -> tuple[str, ...]:
    """The formats there are on a device: TF32 exists on GPUs alone."""
    return (FLOAT32, TF32, BFLOAT16) if device == "cuda" else (FLOAT32, BFLOAT16)


def dtype_of(precision: str) -> torch.dtype:
    """The type of tensors: TF32 is a way of multiplying float32."""
    return torch.bfloat16 if precision == BFLOAT16 else torch.float32


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Allow or forbid TF32 in products and convolutions on a GPU inside the block."""
    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, allowed
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=False, allow_tf32=allowed
        ):
            yield
    finally:
        matmul.allow_tf32 = before
