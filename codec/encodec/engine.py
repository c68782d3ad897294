"""Continuous batching: recordings take the slots of grids as others end.

Every grid goes at its own pace on a thread of its own, with one thread inside each operator, so
that neither the number of grids nor of cores changes a bit of the result.

Dimension key: R rows (time steps), C channels.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import count
from typing import NamedTuple

from torch import Tensor

from codec.encodec.grid import Grid, Piece
from codec.encodec.halves import Halves
from codec.exact import exact_kernels

# The rows of one recording, a tile at a time, each with whether it is the last.
Tiles = Iterator[tuple[Tensor, bool]]


class Output(NamedTuple):
    """What became of one tile."""

    number: int  # of the recording, in the order they came
    rows: Tensor | None  # [R, C]; None where a recording had no tiles at all
    is_last: bool


class Engine:
    """Runs an encoder or a decoder over any number of recordings of any length.

    Args:
        halves: of the encoder or decoder.
        keeps: whether the tiles of a recording follow on one another; otherwise each is whole.
        threads: grids that work at the same time.
    """

    def __init__(self, halves: Halves, keeps: bool, threads: int) -> None:
        self._halves = halves
        self._keeps = keeps
        self._threads = threads

    def run(
        self, recordings: Iterable[Tiles], may_begin: Callable[[], bool] = lambda: True
    ) -> Iterator[Output]:
        """The output of every tile, those of a recording in order; whole recordings in order too.

        Args:
            recordings: asked for the next one when a slot is free.
            may_begin: whether the next recording may be begun while others are at work.
        """
        outputs = self._outputs(recordings, may_begin)
        return outputs if self._keeps else _by_number(outputs)

    def _outputs(
        self, recordings: Iterable[Tiles], may_begin: Callable[[], bool]
    ) -> Iterator[Output]:
        waiting = enumerate(recordings)
        crews = [_Crew(self._grid(), self._halves.shape.slots) for _ in range(self._threads)]
        working: dict[Future[list[Output]], _Crew] = {}
        with ThreadPoolExecutor(self._threads) as pool:
            while True:
                idle = [crew for crew in crews if crew not in working.values()]
                # Slot after slot of all grids, so that a few recordings are spread over them.
                for slot in range(self._halves.shape.slots):
                    for crew in idle:
                        yield from crew.fill(slot, waiting, may_begin)
                for crew in idle:
                    if any(crew.pieces):
                        working[pool.submit(self._step, crew)] = crew
                if not working:
                    return
                for future in wait(working, return_when=FIRST_COMPLETED).done:
                    del working[future]
                    yield from future.result()

    def _step(self, crew: "_Crew") -> list[Output]:
        with exact_kernels(self._halves.lstm.device):
            return crew.step()

    def _grid(self) -> Grid:
        return Grid(self._halves, self._keeps)


class _Crew:
    """A grid, the recordings in its slots, and the next piece of each."""

    def __init__(self, grid: Grid, num_slots: int) -> None:
        self.pieces: list[Piece | None] = [None] * num_slots
        self._grid = grid
        self._recordings: list[tuple[int, Tiles] | None] = [None] * num_slots

    def fill(
        self, slot: int, waiting: Iterator[tuple[int, Tiles]], may_begin: Callable[[], bool]
    ) -> Iterator[Output]:
        """Gets the next piece for a slot; yields recordings that turn out to have none."""
        held = self._recordings[slot]
        while self.pieces[slot] is None:
            is_first = held is None
            if held is None:
                held = next(waiting, None) if may_begin() else None
                if held is None:
                    return
            number, tiles = held
            tile = next(tiles, None)
            if tile is None:
                yield Output(number, None, is_last=True)
                held = None
                continue
            self.pieces[slot] = Piece(tile[0], is_first, is_last=tile[1])
            self._recordings[slot] = held

    def step(self) -> list[Output]:
        """Works on the pieces."""
        outputs = []
        for slot, rows_RC in enumerate(self._grid.step(self.pieces)):
            piece, held = self.pieces[slot], self._recordings[slot]
            if piece is not None and held is not None:
                outputs.append(Output(held[0], rows_RC, piece.is_last))
                self._recordings[slot] = None if piece.is_last else held
                self.pieces[slot] = None
        return outputs


def _by_number(outputs: Iterator[Output]) -> Iterator[Output]:
    """Puts outputs back in order that other grids overtook; each number comes once."""
    early: dict[int, Output] = {}
    for number in count():
        while number not in early:
            output = next(outputs, None)
            if output is None:
                return
            early[output.number] = output
        yield early.pop(number)
