"""Torch on one thread, where several are slower or give other last bits."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Run operators on one thread inside the block.

    Short tensors lose more to handing out work than they gain, many times more on a busy machine;
    and sums are added up in another order with another number of threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
