"""Streaming resampling that gives what resampling the whole file gives.

The filter is torchaudio's default: a sinc cut off at 0.99 of the lower Nyquist frequency, windowed
by a squared cosine to six zero crossings on either side. Output sample n stands at input position
n * orig / new, and is the sum of the inputs around it:

    input    . . . . . . . . . . . . . . . . .          `half` taps either side of the position
    output        |    n    |
                 [<-- half --^-- half -->]

Output is made in tiles of a fixed size at fixed places, so the bits do not depend on how the input
was cut into blocks. With rates in a simple ratio (reduced: orig to new) the weights repeat every
`new` outputs and are computed once, as the kernel of a strided convolution. Rates that share no
large divisor would need a kernel of gigabytes; there the same weights are computed for each output.

Source: torchaudio 2.11, functional/functional.py, `_get_sinc_resample_kernel`. Weights here are
computed in double precision and used in single precision.

Dimension key: C channels, S samples, N outputs, W taps.
"""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from codec.exact import one_thread

_ZERO_CROSSINGS = 6
_ROLLOFF = 0.99
_TILE_OUTPUTS = 1 << 15  # about how many a tile of the convolution makes
_DIRECT_TILE_OUTPUTS = 1 << 12
_LARGEST_KERNEL = 1 << 20  # weights; beyond it they are computed as needed


def resample(blocks: Iterable[Tensor], orig_rate: int, new_rate: int) -> Iterator[Tensor]:
    """Resample a recording that comes in blocks.

    Args:
        blocks: float32 [C, S] each, any S.
        orig_rate: Hz of the input.
        new_rate: Hz of the output.

    Yields:
        Float32 [C, S] blocks; ceil(samples * new_rate / orig_rate) samples in all.
    """
    if orig_rate == new_rate:
        yield from blocks
        return
    divisor = math.gcd(orig_rate, new_rate)
    tiles = _make_tiles(orig_rate // divisor, new_rate // divisor)
    yield from _Stream(tiles).run(blocks)


class _ConvolutionTiles:
    """Tiles for rates in a simple ratio: groups of `orig` inputs make groups of `new` outputs."""

    def __init__(self, orig: int, new: int) -> None:
        groups = max(1, _TILE_OUTPUTS // new)
        self.orig, self.new = orig, new
        self.half = _half_width(orig, new)
        self.outputs = groups * new
        phases = torch.arange(new, dtype=torch.float64)[:, None] * (orig / new)
        taps = torch.arange(-self.half, self.half + orig, dtype=torch.float64)
        self._kernel = _weights(taps - phases, orig, new).float()[:, None]  # [new, 1, W]

    def first_input(self, tile: int) -> int:
        """Position of the first input that a tile needs; negative before the recording."""
        return tile * (self.outputs // self.new) * self.orig - self.half

    def num_inputs(self, tile: int) -> int:
        """How many inputs a tile needs."""
        del tile  # all tiles are alike
        return (self.outputs // self.new) * self.orig + 2 * self.half

    def compute(self, tile: int, input_CS: Tensor) -> Tensor:
        """The outputs of a tile, [C, outputs]."""
        del tile
        phases_CNS = torch.nn.functional.conv1d(input_CS[:, None], self._kernel, stride=self.orig)
        return phases_CNS.transpose(1, 2).reshape(len(input_CS), -1)


class _DirectTiles:
    """Tiles for any other ratio: the weights of each output are computed when it is made."""

    def __init__(self, orig: int, new: int) -> None:
        self.orig, self.new = orig, new
        self.half = _half_width(orig, new)
        self.outputs = _DIRECT_TILE_OUTPUTS

    def first_input(self, tile: int) -> int:
        """Position of the first input that a tile needs; negative before the recording."""
        return tile * self.outputs * self.orig // self.new - self.half

    def num_inputs(self, tile: int) -> int:
        """How many inputs a tile needs."""
        last_output = (tile + 1) * self.outputs - 1
        return last_output * self.orig // self.new + self.half + 2 - self.first_input(tile)

    def compute(self, tile: int, input_CS: Tensor) -> Tensor:
        """The outputs of a tile, [C, outputs]."""
        outputs_N = torch.arange(tile * self.outputs, (tile + 1) * self.outputs)
        whole_N = outputs_N * self.orig // self.new
        fraction_N = (outputs_N * self.orig % self.new).double() / self.new
        taps_W = torch.arange(-self.half, self.half + 2)
        weights_NW = _weights(taps_W - fraction_N[:, None], self.orig, self.new).float()
        positions_NW = whole_N[:, None] + taps_W - self.first_input(tile)
        return torch.stack([(x_S[positions_NW] * weights_NW).sum(dim=1) for x_S in input_CS])


_Tiles = _ConvolutionTiles | _DirectTiles


class _Stream:
    """Feeds one recording through tiles, keeping only the inputs that later tiles need."""

    def __init__(self, tiles: _Tiles) -> None:
        self._tiles = tiles
        self._tile = 0
        self._kept: list[Tensor] = []  # inputs from position _start on
        self._start = 0
        self._received = 0

    def run(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Outputs of all blocks, then of the tail."""
        for block_CS in blocks:
            self._kept.append(block_CS)
            self._received += block_CS.shape[1]
            if self._received < self._end_of_tile():
                continue
            while self._received >= self._end_of_tile():
                yield self._next_tile()
            self._kept = [self._kept[0].clone()]  # a view would keep the whole block in memory
        total = -(-self._received * self._tiles.new // self._tiles.orig)
        while (made := self._tile * self._tiles.outputs) < total:
            yield self._next_tile()[:, : total - made]

    def _end_of_tile(self) -> int:
        return self._tiles.first_input(self._tile) + self._tiles.num_inputs(self._tile)

    def _next_tile(self) -> Tensor:
        """Compute a tile, zeros standing for what lies before and after the recording."""
        first = self._tiles.first_input(self._tile)
        length = self._tiles.num_inputs(self._tile)
        before = max(0, -first)
        with one_thread():  # with another number of threads kernels round differently
            kept_CS = self._kept[0] if len(self._kept) == 1 else torch.cat(self._kept, dim=1)
            inputs_CS = kept_CS[:, max(0, first - self._start) :][:, : length - before]
            after = length - before - inputs_CS.shape[1]
            padded_CS = torch.nn.functional.pad(inputs_CS, (before, after))
            output_CS = self._tiles.compute(self._tile, padded_CS)
        self._tile += 1
        self._forget(kept_CS)
        return output_CS

    def _forget(self, kept_CS: Tensor) -> None:
        """Drop the inputs before the first that the next tile needs."""
        keep_from = max(self._start, self._tiles.first_input(self._tile))
        self._kept = [kept_CS[:, keep_from - self._start :]]
        self._start = min(keep_from, self._received)


def _make_tiles(orig: int, new: int) -> _Tiles:
    kernel_size = new * (orig + 2 * _half_width(orig, new))
    return (
        _ConvolutionTiles(orig, new) if kernel_size <= _LARGEST_KERNEL else _DirectTiles(orig, new)
    )


def _half_width(orig: int, new: int) -> int:
    """Inputs on either side of a position that the window reaches."""
    return math.ceil(_ZERO_CROSSINGS * orig / (min(orig, new) * _ROLLOFF))


def _weights(distances: Tensor, orig: int, new: int) -> Tensor:
    """Filter weights for inputs at `distances` (in input samples) from an output. Double."""
    cutoff = min(orig, new) * _ROLLOFF / orig
    crossings = (distances * cutoff).clamp(-_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    window = torch.cos(crossings * (math.pi / (2 * _ZERO_CROSSINGS))) ** 2
    return torch.sinc(crossings) * window * cutoff
