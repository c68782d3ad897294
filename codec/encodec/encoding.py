"""Recordings to codes, many at a time, in the order they came.

Dimension key: C channels, S samples, R rows (time steps), K codebooks, T frames.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

import torch
from torch import Tensor

from codec.base import CodecSpec, EncodedAudio
from codec.encodec.chunking import cut
from codec.encodec.engine import Engine, Tiles
from codec.encodec.model import chunk_scale

# Recordings that are done but wait for an earlier, longer one: no more are begun beyond this.
MOST_WAITING_FRAMES = 1 << 21


class _Codes:
    """Codes [T, K] that grow at the end: a few large blocks, since many small ones riddle memory.

    Args:
        num_codebooks: K.
        codebook_size: entries of each.
    """

    def __init__(self, num_codebooks: int, codebook_size: int) -> None:
        dtype = torch.int16 if codebook_size <= 1 << 15 else torch.int32
        self._blocks_TK = [torch.empty(1 << 9, num_codebooks, dtype=dtype)]
        self._filled_frames = 0  # of the last block
        self.num_frames = 0

    def append(self, codes_TK: Tensor) -> None:
        """Adds frames."""
        while len(codes_TK):
            last_TK = self._blocks_TK[-1]
            if self._filled_frames == len(last_TK):
                size = min(2 * len(last_TK), 1 << 16)
                self._blocks_TK.append(last_TK.new_empty(size, last_TK.shape[1]))
                self._filled_frames = 0
                continue
            room_TK = last_TK[self._filled_frames :][: len(codes_TK)]
            room_TK.copy_(codes_TK[: len(room_TK)])
            codes_TK = codes_TK[len(room_TK) :]
            self._filled_frames += len(room_TK)
            self.num_frames += len(room_TK)

    def drained(self) -> Tensor:
        """All of them, int64 [K, T]; leaves none behind, so that memory is not held twice."""
        codes_KT = torch.empty(self._blocks_TK[0].shape[1], self.num_frames, dtype=torch.int64)
        start = 0
        while self._blocks_TK:
            block_TK = self._blocks_TK.pop(0)
            part_KT = codes_KT[:, start : start + len(block_TK)]
            part_KT.copy_(block_TK[: part_KT.shape[1]].t())
            start += len(block_TK)
        return codes_KT


@dataclass
class _Entry:
    """One recording on its way."""

    codes: _Codes
    scales: list[Tensor] = field(default_factory=list)
    num_samples: int = 0
    open_pieces: int = 0  # whose codes are still to come
    has_ended: bool = False  # no more pieces will come


class EncodingOrder:
    """Hands recordings to an engine and puts what comes out together again.

    A causal codec's recordings go through the engine tile by tile. A chunked codec's chunks are
    independent of each other, and each is a recording to the engine.

    Args:
        spec: of the codec.
        num_codebooks: that the engine searches.
        tile_samples: of a causal codec's tiles; None for a chunked one.
    """

    def __init__(self, spec: CodecSpec, num_codebooks: int, tile_samples: int | None) -> None:
        self._spec = spec
        self._num_codebooks = num_codebooks
        self._tile_samples = tile_samples
        self._entries: deque[_Entry] = deque()  # in order; the first is yielded next
        self._owners: dict[int, _Entry] = {}  # by the engine's number
        self._waiting_frames = 0

    def run(self, engine: Engine, recordings: Iterable[Iterable[Tensor]]) -> Iterator[EncodedAudio]:
        """The codes of each recording, which comes in blocks [C, S]."""
        for number, rows_TK, is_last in engine.run(self._pieces(recordings), self._may_begin):
            entry = self._owners[number]
            if rows_TK is not None:
                entry.codes.append(rows_TK)
                self._waiting_frames += len(rows_TK)
            if is_last:
                entry.open_pieces -= 1
                del self._owners[number]
            yield from self._finished()
        yield from self._finished()

    def _may_begin(self) -> bool:
        return self._waiting_frames < MOST_WAITING_FRAMES or len(self._owners) == 0

    def _finished(self) -> Iterator[EncodedAudio]:
        while self._entries and self._entries[0].has_ended and not self._entries[0].open_pieces:
            encoded = self._encoded(self._entries.popleft())
            self._waiting_frames -= encoded.codes.shape[1]
            yield encoded

    def _pieces(self, recordings: Iterable[Iterable[Tensor]]) -> Iterator[Tiles]:
        numbers = count()
        for blocks in recordings:
            entry = _Entry(_Codes(self._num_codebooks, self._spec.codebook_size))
            self._entries.append(entry)
            counted = _counted(blocks, entry)
            if self._tile_samples is not None:
                entry.open_pieces, entry.has_ended = 1, True
                self._owners[next(numbers)] = entry
                tiles = cut(counted, self._tile_samples, self._tile_samples)
                yield ((tile_CS.t(), is_last) for tile_CS, is_last in tiles)
                continue
            for chunk_CS in self._chunks(counted, entry):
                entry.open_pieces += 1
                self._owners[next(numbers)] = entry
                yield iter([(chunk_CS.t(), True)])
            entry.has_ended = True

    def _chunks(self, blocks: Iterable[Tensor], entry: _Entry) -> Iterator[Tensor]:
        """Chunks divided by their scales, which the entry keeps."""
        length, stride = self._spec.chunk_samples, self._spec.stride_samples
        assert length is not None, "a codec without tiles has chunks"
        assert stride is not None, "a codec with chunks has a stride"
        for chunk_CS, _ in cut(blocks, length, stride):
            if not self._spec.normalizes:
                yield chunk_CS
                continue
            scale_B11 = chunk_scale(chunk_CS[None])
            entry.scales.append(scale_B11.flatten())
            yield (chunk_CS[None] / scale_B11)[0]

    def _encoded(self, entry: _Entry) -> EncodedAudio:
        scales = torch.cat(entry.scales) if entry.scales else torch.zeros(0)
        return EncodedAudio(
            entry.codes.drained(), scales if self._spec.normalizes else None, entry.num_samples
        )


def _counted(blocks: Iterable[Tensor], entry: _Entry) -> Iterator[Tensor]:
    for block_CS in blocks:
        entry.num_samples += block_CS.shape[1]
        yield block_CS
