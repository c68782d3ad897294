"""Several processes that train one codec, each on its own audio.

Where torch.distributed is not running there is one process, and nothing here does anything.
Whoever calls one of these functions in one process must call it in all of them.

Dimension key: N vectors, D width.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, distributed


def is_one_of_many() -> bool:
    """Whether other processes take part."""
    return distributed.is_available() and distributed.is_initialized() and count() > 1


def count() -> int:
    """How many processes take part."""
    running = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if running else 1


def rank() -> int:
    """Which of them this one is, counted from 0."""
    running = distributed.is_available() and distributed.is_initialized()
    return distributed.get_rank() if running else 0


def summed(tensor: Tensor) -> Tensor:
    """The sum over all processes, written into the tensor."""
    if is_one_of_many():
        distributed.all_reduce(tensor)
    return tensor


def averaged(tensors: Iterable[Tensor]) -> None:
    """Replaces tensors by their means over all processes, in one exchange."""
    if not is_one_of_many():
        return
    tensors = list(tensors)
    flat = summed(torch.cat([tensor.flatten() for tensor in tensors])) / count()
    for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def copied_from_first(tensors: Iterable[Tensor]) -> None:
    """Replaces tensors by those of process 0."""
    if is_one_of_many():
        for tensor in tensors:
            distributed.broadcast(tensor, src=0)


def joined_rows(x_ND: Tensor) -> Tensor:
    """The rows of all processes, in the order of their ranks; each may have another number."""
    if not is_one_of_many():
        return x_ND
    counts = [x_ND.new_zeros(1, dtype=torch.int64) for _ in range(count())]
    distributed.all_gather(counts, x_ND.new_full((1,), len(x_ND), dtype=torch.int64))
    lengths = [int(length) for length in counts]
    padded_ND = x_ND.new_zeros(max(lengths), x_ND.shape[1])
    padded_ND[: len(x_ND)] = x_ND
    parts = [torch.empty_like(padded_ND) for _ in lengths]
    distributed.all_gather(parts, padded_ND)
    return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])


def listed(tensor: Tensor) -> list[Tensor]:
    """The tensors of all processes, which have one shape, in the order of their ranks."""
    if not is_one_of_many():
        return [tensor]
    gathered: list[Tensor] = [tensor] * count()
    distributed.all_gather_object(gathered, tensor)
    return gathered
