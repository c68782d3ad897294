"""Batches of recordings of different lengths, padded on the right.

Dimension key: B batch, C channels, S samples.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from codec.errors import AudioShapeError


def true_lengths(padding_mask: Tensor | None, like: Tensor) -> list[int]:
    """Samples of each recording of a batch.

    Args:
        padding_mask: [B, S] or [B, C, S], 1 on audio and 0 on padding; None where nothing is.
        like: the batch, [B, ..., S].

    Raises:
        AudioShapeError: the mask is of another shape, pads on the left or leaves nothing.
    """
    if padding_mask is None:
        return [like.shape[-1]] * like.shape[0]
    mask_BS = padding_mask.reshape(padding_mask.shape[0], -1, padding_mask.shape[-1])[:, 0].bool()
    lengths_B = mask_BS.sum(dim=1)
    positions_S = torch.arange(mask_BS.shape[1], device=mask_BS.device)
    if mask_BS.shape[0] != like.shape[0] or mask_BS.shape[1] != like.shape[-1]:
        raise AudioShapeError(
            f"padding_mask has shape {tuple(padding_mask.shape)} for a batch of {tuple(like.shape)}"
        )
    if not torch.equal(mask_BS, positions_S < lengths_B[:, None]):
        raise AudioShapeError("padding_mask must be ones followed by zeros: pad on the right")
    if int(lengths_B.min()) == 0:
        raise AudioShapeError("padding_mask leaves no audio of a recording; drop empty recordings")
    return [int(length) for length in lengths_B]


def grouped_by_length(lengths: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Each length above zero with the rows that have it, so that equals run as one batch."""
    for length in sorted(set(lengths) - {0}):
        yield length, [row for row, other in enumerate(lengths) if other == length]
