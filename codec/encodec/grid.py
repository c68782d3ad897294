"""A grid of slots: as many recordings side by side, a tile of each at a time.

    slot 0   | recording a .......................| recording e ....
    slot 1   | recording b ....| recording d ..........................
    slot 2   | recording c ..........................| recording f ....
    round      0    1    2    3    4    5    6    7    8    9    10

The LSTM always sees the whole grid, in one shape for ever, since kernels round differently for
another shape and codes are argmins. What comes before and after it sees one slot at a time on a
CPU, where that fills the caches, in one of a few shapes that the length of the recording alone
decides; on a GPU it sees the whole grid too. So nothing depends on what is in the other slots.

Dimension key: B slots, R rows (time steps), C channels, T frames, D LSTM width, L LSTM layers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from codec.encodec.halves import Halves
from codec.encodec.kernels import Scratch
from codec.encodec.rows import KeptRows, Lane, Tile


@dataclass(frozen=True)
class Piece:
    """The next tile of the recording in a slot."""

    rows: Tensor  # [R, C], at its true length
    is_first: bool
    is_last: bool


class Grid:
    """Runs the halves of an encoder or a decoder over the pieces in its slots.

    Args:
        halves: may be shared with other grids.
        keeps: whether recordings have several pieces, of which layers keep what the next one needs.
    """

    def __init__(self, halves: Halves, keeps: bool) -> None:
        self._halves = halves
        lstm, shape = halves.lstm, halves.shape
        self._before = KeptRows(shape.slots) if keeps else None
        self._after = KeptRows(shape.slots) if keeps else None
        self._scratch = Scratch(lstm.device)
        self._x_TBD = lstm.zeros(shape.frames, shape.slots)
        self._hidden_LBD = lstm.zeros(lstm.num_layers, shape.slots)
        self._cell_LBD = lstm.zeros(lstm.num_layers, shape.slots)

    @torch.no_grad()
    def step(self, pieces: Sequence[Piece | None]) -> list[Tensor | None]:
        """What becomes of the piece in each slot, on the CPU: rows [R, C], or codes [T, K]."""
        calls = list(self._calls(pieces))
        for tile, x_BRC in calls:
            h_BTD = self._halves.before(x_BRC, replace(tile, kept=self._before))
            self._x_TBD[: h_BTD.shape[1], tile.slots] = h_BTD.transpose(0, 1)
        fresh = [slot for slot, piece in enumerate(pieces) if piece is not None and piece.is_first]
        self._hidden_LBD[:, fresh] = 0
        self._cell_LBD[:, fresh] = 0
        y_TBD = self._halves.lstm(self._x_TBD, self._hidden_LBD, self._cell_LBD).add_(self._x_TBD)
        done: list[Tensor | None] = [None] * len(pieces)
        for tile_in, x_BRC in calls:
            frames = -(-x_BRC.shape[1] // self._halves.rows_in)
            tile = replace(tile_in.resampled(down=self._halves.rows_in), kept=self._after)
            rows_BRC = self._halves.after(y_TBD[:frames, tile.slots].transpose(0, 1), tile).cpu()
            for lane, rows_RC, slot in zip(tile.lanes, rows_BRC, _range(tile.slots), strict=True):
                done[slot] = rows_RC[: lane.length * self._halves.rows_out]
        return [None if p is None else rows for p, rows in zip(pieces, done, strict=True)]

    def _calls(self, pieces: Sequence[Piece | None]) -> Iterator[tuple[Tile, Tensor]]:
        """The pieces as lanes that go through the convolutions together."""
        full = self._halves.shape.frames * self._halves.rows_in
        alone = list(range(len(pieces)))
        if self._halves.shape.together:
            # A short chunk is not padded, so it has a length, and a call, of its own.
            short = [p is not None and not self._before and len(p.rows) < full for p in pieces]
            lanes = [None if s else p for p, s in zip(pieces, short, strict=True)]
            if any(lanes):
                yield self._call(lanes, 0, full)
            alone = [slot for slot in alone if short[slot]]
        for slot in alone:
            piece = pieces[slot]
            if piece is not None:
                yield self._call([piece], slot, self._padded(len(piece.rows)))

    def _padded(self, rows: int) -> int:
        if self._before is None:
            return rows
        unit = self._halves.shape.unit_frames * self._halves.rows_in
        return -(-rows // unit) * unit

    def _call(self, pieces: Sequence[Piece | None], slot: int, rows: int) -> tuple[Tile, Tensor]:
        given = [piece for piece in pieces if piece is not None]
        x_BRC = given[0].rows.new_zeros(len(pieces), rows, given[0].rows.shape[1])
        for x_RC, piece in zip(x_BRC, pieces, strict=True):
            if piece is not None:
                x_RC[: len(piece.rows)] = piece.rows
        lanes = tuple(
            Lane(rows) if p is None else Lane(len(p.rows), p.is_first, p.is_last)
            for p in pieces
        )  # fmt: skip
        tile = Tile(lanes, slice(slot, slot + len(pieces)), None, self._scratch)
        return tile, x_BRC.to(self._halves.lstm.device)


def _range(slots: slice) -> range:
    return range(slots.start, slots.stop)
