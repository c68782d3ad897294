"""Codes to waveforms, many at a time, in the order they came.

Dimension key: C channels, S samples, R rows (time steps), K codebooks, T frames.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

import torch
from torch import Tensor

from codec.base import CodecSpec, EncodedAudio
from codec.encodec.chunking import overlap_add
from codec.encodec.engine import Engine, Tiles


@dataclass
class _Entry:
    """One recording on its way."""

    encoded: EncodedAudio
    blocks: deque[Tensor] = field(default_factory=deque)  # [C, S], in order, not yet yielded
    open_pieces: int = 0
    has_ended: bool = False

    @property
    def is_done(self) -> bool:
        return self.has_ended and self.open_pieces == 0


class DecodingOrder:
    """Hands recordings to an engine and puts what comes out together again.

    Args:
        spec: of the codec.
        tile_frames: of a causal codec's tiles; None for a chunked one.
    """

    def __init__(self, spec: CodecSpec, tile_frames: int | None) -> None:
        self._spec = spec
        self._tile_frames = tile_frames
        self._entries: deque[_Entry] = deque()  # in order; the first is yielded next
        self._owners: dict[int, tuple[_Entry, float]] = {}  # by the engine's number, with its scale

    def waveforms(self, engine: Engine, recordings: Iterable[EncodedAudio]) -> Iterator[Tensor]:
        """Each waveform [C, num_samples]."""
        for _ in self._decoded(engine, recordings):
            while self._entries and self._entries[0].is_done:
                yield self._waveform(self._entries.popleft())
        while self._entries:
            yield self._waveform(self._entries.popleft())

    def blocks(self, engine: Engine, recording: EncodedAudio) -> Iterator[Tensor]:
        """The waveform of one recording in blocks [C, S], as they are decoded."""

        def decoded() -> Iterator[Tensor]:
            for entry in self._decoded(engine, [recording]):
                while entry.blocks:
                    yield entry.blocks.popleft()

        yield from self._joined(decoded(), recording.num_samples)

    def _decoded(self, engine: Engine, recordings: Iterable[EncodedAudio]) -> Iterator[_Entry]:
        """Each entry that something new was decoded of."""
        for number, rows_SC, is_last in engine.run(self._pieces(recordings)):
            entry, scale = self._owners[number]
            if rows_SC is not None:
                entry.blocks.append(rows_SC.t() * scale if self._spec.normalizes else rows_SC.t())
            if is_last:
                entry.open_pieces -= 1
                del self._owners[number]
            yield entry

    def _pieces(self, recordings: Iterable[EncodedAudio]) -> Iterator[Tiles]:
        numbers = count()
        for encoded in recordings:
            entry = _Entry(encoded)
            self._entries.append(entry)
            if self._tile_frames is not None:
                entry.open_pieces, entry.has_ended = 1, True
                self._owners[next(numbers)] = entry, 1.0
                yield _tiles(encoded.codes, self._tile_frames)
                continue
            start = 0
            for index, frames in enumerate(self._spec.chunk_frames(encoded.num_samples)):
                entry.open_pieces += 1
                scale = 1.0 if encoded.scales is None else float(encoded.scales[index])
                self._owners[next(numbers)] = entry, scale
                yield iter([(encoded.codes[:, start : start + frames].t(), True)])
                start += frames
            entry.has_ended = True

    def _waveform(self, entry: _Entry) -> Tensor:
        joined = self._joined(entry.blocks, entry.encoded.num_samples)
        return torch.cat([torch.zeros(self._spec.channels, 0), *joined], dim=-1)

    def _joined(self, blocks: Iterable[Tensor], num_samples: int) -> Iterator[Tensor]:
        """Tiles as they are, chunks overlapped and added, up to the true length."""
        if self._tile_frames is None:
            assert self._spec.stride_samples is not None, "a codec without tiles has chunks"
            blocks = overlap_add(blocks, self._spec.stride_samples)
        for block_CS in blocks:
            yield block_CS[:, :num_samples]
            num_samples -= min(num_samples, block_CS.shape[1])


def _tiles(codes_KT: Tensor, length: int) -> Tiles:
    """Views [T, K] of `length` frames, the last one of what is left."""
    frames = codes_KT.shape[1]
    for start in range(0, frames, length):
        yield codes_KT[:, start : start + length].t(), start + length >= frames
