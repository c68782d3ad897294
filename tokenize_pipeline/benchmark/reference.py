"""The side of transformers: the same weights, recordings sorted by length, the best batch size.

What could be done before the clock starts is done before it: recordings are sorted and padded into
batches in advance. The clock sees copies to the device, the model, and copies back.

Dimension key: B batch, C channels, S samples, N chunks, K codebooks, T frames.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from tokenize_pipeline.benchmark.padded_batches import PaddedBatch, padded_batches
from tokenize_pipeline.benchmark.precision import FLOAT32, TF32, tf32
from tokenize_pipeline.benchmark.task import Contestant, Task
from tokenize_pipeline.benchmark.transformers_model import make_reference
from tokenize_pipeline.benchmark.weights import random_model


@dataclass(frozen=True)
class EncodedBatch:
    """What transformers' `encode` returned, on the CPU."""

    codes: Tensor  # [N, B, K, T]
    scales: tuple[Tensor | None, ...]  # [B, 1] a chunk
    last_padding_frames: int


class TransformersSide:
    """EncodecModel of transformers with the weights of our random model.

    Args:
        task: what to do.
        allow_tf32: False forbids TF32 on a GPU; True leaves torch at its defaults, which use it in
            convolutions.
    """

    def __init__(self, task: Task, allow_tf32: bool) -> None:
        self._task = task
        self._model = make_reference(random_model(task.config, "cpu")).to(task.device)
        self._allow_tf32 = allow_tf32

    def encode(self, batches: Sequence[PaddedBatch]) -> list[EncodedBatch]:
        """Codes of all batches."""
        with self._mode():
            return [self._encode(batch) for batch in batches]

    def decode(self, batches: Sequence[PaddedBatch], encoded: Sequence[EncodedBatch]) -> int:
        """Decodes all batches; returns the samples a channel, padding left out."""
        with self._mode():
            pairs = zip(batches, encoded, strict=True)
            return sum(self._decode(batch, codes) for batch, codes in pairs)

    def codes_one_by_one(self) -> list[Tensor]:
        """Codes [K, T] of each recording, unpadded: what ours must agree with."""
        batches = padded_batches(self._task.waveforms(), 1)
        found: list[Tensor] = [torch.empty(0)] * len(batches)
        for batch, encoded in zip(batches, self.encode(batches), strict=True):
            chunks = list(encoded.codes[:, 0])
            chunks[-1] = chunks[-1][:, : chunks[-1].shape[1] - encoded.last_padding_frames]
            found[batch.rows[0]] = torch.cat(chunks, dim=1)
        return found

    def contestant(self, name: str, encode_batch: int, decode_batch: int) -> Contestant:
        """This side at a batch size for each direction."""
        waveforms = self._task.waveforms()
        batches = {size: padded_batches(waveforms, size) for size in {encode_batch, decode_batch}}
        encoded: list[EncodedBatch] = []

        def prepare() -> None:
            encoded[:] = self.encode(batches[decode_batch])

        on_gpu = self._task.device == "cuda"
        precision = TF32 if on_gpu and self._allow_tf32 else FLOAT32
        return Contestant(
            name,
            precision,
            encode=lambda: self.encode(batches[encode_batch]),
            prepare=prepare,
            decode=lambda: self.decode(batches[decode_batch], encoded),
            is_reference=True,
            batch_sizes={"encode": encode_batch, "decode": decode_batch},
        )

    @contextmanager
    def _mode(self) -> Iterator[None]:
        switches: AbstractContextManager[None] = nullcontext() if self._allow_tf32 else tf32(False)
        with switches, torch.inference_mode():
            yield

    def _encode(self, batch: PaddedBatch) -> EncodedBatch:
        device = self._task.device
        audio_BCS, mask_BS = batch.audio.to(device), batch.mask.to(device)
        output = self._model.encode(audio_BCS, mask_BS, self._task.bandwidth_kbps)
        scales = [None if scale is None else scale.cpu() for scale in output.audio_scales]
        padding = int(output.last_frame_pad_length or 0)
        return EncodedBatch(output.audio_codes.cpu(), tuple(scales), padding)

    def _decode(self, batch: PaddedBatch, encoded: EncodedBatch) -> int:
        device = self._task.device
        scales = [None if scale is None else scale.to(device) for scale in encoded.scales]
        output = self._model.decode(
            encoded.codes.to(device),
            scales,
            batch.mask.to(device),
            last_frame_pad_length=encoded.last_padding_frames,
        )
        audio_BCS: Tensor = output.audio_values.cpu()
        unpadded = [
            audio_CS[:, :length] for audio_CS, length in zip(audio_BCS, batch.lengths, strict=True)
        ]
        return sum(audio_CS.shape[1] for audio_CS in unpadded)


def reference_contestant(
    task: Task, name: str, allow_tf32: bool, encode_batch: int, decode_batch: int
) -> Contestant:
    """Transformers at given batch sizes."""
    return TransformersSide(task, allow_tf32).contestant(name, encode_batch, decode_batch)
