"""Kernels that give the same bits every time: codes are argmins, and a last bit can flip one."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Run operators on one thread inside the block.

    Sums are added up in another order with another number of threads. Short tensors also lose more
    to handing out work than they gain.
    """
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def exact_kernels(device: torch.device) -> Iterator[None]:
    """Run operators in full float32 and always by the same algorithm inside the block.

    On a CPU that means one thread. On a GPU it means no TF32, which torch allows convolutions by
    default, and no choice of algorithm by timing.
    """
    if device.type != "cuda":
        with one_thread():
            yield
        return
    with cuda_kernels(allow_tf32=False, deterministic=True):
        yield


@contextmanager
def cuda_kernels(*, allow_tf32: bool, deterministic: bool) -> Iterator[None]:
    """Choose what products and convolutions on a GPU may do inside the block; none are timed."""
    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, allow_tf32
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=deterministic, allow_tf32=allow_tf32
        ):
            yield
    finally:
        matmul.allow_tf32 = before
