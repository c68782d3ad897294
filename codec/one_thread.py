"""Torch on one thread, where several are slower or give other last bits."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Run operators on one thread inside the block.

    Sums are added up in another order with another number of threads, and codes are argmins of
    sums. Short tensors also lose more to handing out work than they gain.
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
