"""Cutting audio into overlapping chunks, and adding decoded chunks up again.

Dimension key: C channels, S samples; `...` is any leading dimensions.

    chunk 0  |--------------------|
    chunk 1                     |--------------------|
    chunk 2                                        |-------|     the last one at its true length
             |<---- stride ---->|
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


def chunk_length_samples(seconds: float | None, sample_rate: int) -> int | None:
    """Samples of a chunk, or None where there are no chunks."""
    return None if seconds is None else int(seconds * sample_rate)


def chunk_stride_samples(length: int | None, overlap: float) -> int | None:
    """Samples from the start of a chunk to the start of the next, or None without chunks."""
    return None if length is None else max(1, int((1.0 - overlap) * length))


def cut(blocks: Iterable[Tensor], length: int, stride: int) -> Iterator[tuple[Tensor, bool]]:
    """Cuts a recording that arrives in blocks into chunks, and says which one is the last.

    A chunk starts at every multiple of `stride` inside the recording and has `length` samples, or
    as many as are left. With `stride == length` the chunks are tiles that do not overlap. Holds no
    more than one chunk and one block at a time.

    Args:
        blocks: [C, s] each, s of any size, 0 included.
        length: samples of a full chunk, at least `stride`.
        stride: samples from one start to the next.
    """
    waiting: list[Tensor] = []
    num_waiting = 0
    for block in blocks:
        waiting.append(block)
        num_waiting += block.shape[-1]
        # The chunk is certain to be neither short nor last once a sample after it has arrived,
        # and after the start of the next one.
        if num_waiting <= max(length, stride):
            continue
        buffer = torch.cat(waiting, dim=-1)
        start = 0
        while num_waiting - start > max(length, stride):
            yield buffer[..., start : start + length], False
            start += stride
        waiting = [buffer[..., start:].clone()]
        num_waiting -= start
    if num_waiting:
        buffer = torch.cat(waiting, dim=-1)
        starts = range(0, num_waiting, stride)
        for start in starts:
            yield buffer[..., start : start + length], start == starts[-1]


def triangle(length: int, like: Tensor) -> Tensor:
    r"""Weights of a chunk's samples in the overlap-add: rising to the middle, falling after it.

    Where two chunks overlap, dividing by the sum of their weights makes a linear cross-fade:

        chunk 0  ----\              (T - t) / (T - S)
                      \
                  S    T            with the overlap from S to T
                      /
        chunk 1      /----          (t - S) / (T - S)

    Source: facebookresearch/encodec 0.1.1, encodec/utils.py, `_linear_overlap_add` (formula).
    """
    time = torch.linspace(0, 1, length + 2, device=like.device, dtype=like.dtype)[1:-1]
    return 0.5 - (time - 0.5).abs()


def overlap_add(chunks: Iterable[Tensor], stride: int) -> Iterator[Tensor]:
    """Adds overlapping chunks up with triangular weights; yields samples as soon as they are final.

    Args:
        chunks: [..., s] each; chunk i starts at i * stride and none is longer than the first.
        stride: samples from one start to the next.
    """
    weight: Tensor | None = None
    total: Tensor | None = None  # weighted sum and sum of weights from the start of this chunk on
    weights_sum: Tensor | None = None
    for chunk in chunks:
        if weight is None or total is None or weights_sum is None:
            weight = triangle(chunk.shape[-1], chunk)
            total, weights_sum = chunk.new_zeros(chunk.shape), torch.zeros_like(weight)
        size = chunk.shape[-1]
        missing = max(0, size - total.shape[-1])
        total = torch.nn.functional.pad(total, (0, missing))
        weights_sum = torch.nn.functional.pad(weights_sum, (0, missing))
        total[..., :size] += weight[:size] * chunk
        weights_sum[:size] += weight[:size]
        yield total[..., :stride] / weights_sum[:stride]
        total, weights_sum = total[..., stride:], weights_sum[stride:]
    if total is not None and weights_sum is not None and total.shape[-1]:
        yield total / weights_sum
