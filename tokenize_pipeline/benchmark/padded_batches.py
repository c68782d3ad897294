"""Batches as a user of transformers makes them, at their best: recordings sorted by length.

Dimension key: B batch, C channels, S samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PaddedBatch:
    """Recordings of about one length, padded with zeros on the right."""

    rows: tuple[int, ...]  # which recordings these are
    lengths: tuple[int, ...]  # their true lengths, in samples
    audio: Tensor  # [B, C, S]
    mask: Tensor  # [B, S], 1 on audio, 0 on padding


def padded_batches(waveforms: Sequence[Tensor], batch_size: int) -> list[PaddedBatch]:
    """Recordings [C, S] sorted by length, so that little of a batch is padding."""
    order = sorted(range(len(waveforms)), key=lambda row: waveforms[row].shape[1])
    groups = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    batches = []
    for rows in groups:
        lengths = tuple(waveforms[row].shape[1] for row in rows)
        audio_BCS = torch.zeros(len(rows), waveforms[rows[0]].shape[0], max(lengths))
        mask_BS = torch.zeros(len(rows), max(lengths), dtype=torch.bool)
        for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            audio_BCS[place, :, :length] = waveforms[row]
            mask_BS[place, :length] = True
        batches.append(PaddedBatch(tuple(rows), lengths, audio_BCS, mask_BS))
    return batches
