"""The layers of EnCodec over rows, for recordings that pass by in tiles.

Each convolution writes its input, ELU applied, behind the rows that the tile before it left; what
begins or ends in this tile is padded there by copying rows:

    tile          |------------------|        first: reflected to the left (l)
    buffer   llll |------------------|        middle: kept from the tile before (k)
             kkkk |------------------|        last: true length L, reflected to the right (r), and
             kkkk |---------L|rr.....|        the rest of the tile is never looked at

Dimension key: B lanes (recordings side by side), R rows (time steps), C channels.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

import torch
from torch import Tensor, nn

from codec.encodec.conv import EncodecConv1d, EncodecConvTranspose1d, pad_end_aware
from codec.encodec.kernels import Scratch, elu_into, group_norm_into, row_convolution
from codec.encodec.seanet import EncodecResnetBlock


@dataclass(frozen=True)
class Lane:
    """One recording's part of a tile."""

    length: int  # true rows; the tile may have more
    is_first: bool = True
    is_last: bool = True


@dataclass(frozen=True)
class Tile:
    """Lanes that are worked on together, and what layers keep from one tile to the next."""

    lanes: tuple[Lane, ...]
    slots: slice  # of `kept` that the lanes have
    kept: "KeptRows | None"  # None: every lane is whole
    scratch: Scratch

    def resampled(self, up: int = 1, down: int = 1) -> "Tile":
        """The tile after a layer that changes the number of rows."""
        if up == down:
            return self
        lanes = tuple(replace(lane, length=-(-lane.length * up // down)) for lane in self.lanes)
        return replace(self, lanes=lanes)


@dataclass
class KeptRows:
    """For each layer, the last rows of every slot's tile before this one."""

    num_slots: int
    rows: dict["RowLayer", Tensor] = field(default_factory=dict)

    def exchange(self, layer: "RowLayer", slots: slice, buffer_BRC: Tensor, count: int) -> None:
        """Puts the rows of the tile before at the start of a buffer and keeps its last ones."""
        kept = self.rows.get(layer)
        if kept is None:
            kept = buffer_BRC.new_zeros(self.num_slots, count, buffer_BRC.shape[2])
            self.rows[layer] = kept
        buffer_BRC[:, :count] = kept[slots]
        kept[slots] = buffer_BRC[:, buffer_BRC.shape[1] - count :]


class RowLayer:
    """Maps rows [B, R, C] to rows, and the tile they are of to the one that comes out."""

    def __call__(self, x_BRC: Tensor, tile: Tile) -> tuple[Tensor, Tile]:
        """Runs over the next tile of the lanes."""
        raise NotImplementedError


class RowConv(RowLayer):
    """`EncodecConv1d` over rows, with the ELU before it where there is one.

    A kernel of `taps * stride` at a stride is a kernel of `taps` over rows of `stride` steps each.
    """

    def __init__(self, conv: EncodecConv1d, after_elu: bool, dtype: torch.dtype) -> None:
        self.stride = conv.stride
        self._after_elu = after_elu
        self._right = 0 if conv.is_causal else conv.padding_total // 2
        self._left = conv.padding_total - self._right
        self._pad_mode = conv.pad_mode
        weight_OCW = conv.conv.weight.detach()
        if self.stride > 1:
            out, channels, width = weight_OCW.shape
            split = weight_OCW.view(out, channels, width // self.stride, self.stride)
            weight_OCW = split.permute(0, 3, 1, 2).reshape(out, self.stride * channels, -1)
        self._convolution = row_convolution(
            weight_OCW, _bias(conv.conv), int(conv.conv.dilation[0]), dtype
        )
        self._norm = conv.norm

    def __call__(self, x_BRC: Tensor, tile: Tile) -> tuple[Tensor, Tile]:
        """Runs over the next tile of the lanes."""
        y_BRC = self._convolution(self._padded(x_BRC, tile))
        return _normalized(y_BRC, self._norm), tile.resampled(down=self.stride)

    def add_to(self, y_BRC: Tensor, x_BRC: Tensor, tile: Tile) -> Tensor:
        """Adds the layer's result to `y_BRC`."""
        if isinstance(self._norm, nn.Identity):
            return self._convolution.add_to(y_BRC, self._padded(x_BRC, tile))
        return y_BRC.add_(self(x_BRC, tile)[0])

    def _padded(self, x_BRC: Tensor, tile: Tile) -> Tensor:
        batch, rows, channels = x_BRC.shape
        right = -rows % self.stride + self._right
        if not self._after_elu and self._left == right == 0:
            return x_BRC
        shape = (batch, self._left + rows + right, channels)
        buffer_BRC = tile.scratch.take("padded", shape, x_BRC.dtype)
        body_BRC = buffer_BRC[:, self._left : self._left + rows]
        if self._after_elu:
            elu_into(x_BRC, body_BRC, tile.scratch)
        else:
            body_BRC.copy_(x_BRC)
        if tile.kept is not None and self._left > 0:
            tile.kept.exchange(self, tile.slots, buffer_BRC, self._left)
        self._pad(buffer_BRC, tile)
        return buffer_BRC.view(batch, -1, channels * self.stride)

    def _pad(self, buffer_BRC: Tensor, tile: Tile) -> None:
        pads = (self._left, self._right, self.stride, self._pad_mode)
        targets, sources, zeros = _copies(tile.lanes, buffer_BRC.shape[1], pads)
        flat_RC = buffer_BRC.view(-1, buffer_BRC.shape[2])
        device = flat_RC.device
        if targets:
            copied_RC = flat_RC[torch.tensor(sources, device=device)]
            flat_RC[torch.tensor(targets, device=device)] = copied_RC
        if zeros:
            flat_RC[torch.tensor(zeros, device=device)] = 0


class RowConvTranspose(RowLayer):
    """`EncodecConvTranspose1d` over rows, with the ELU before it.

    Every input row makes `stride` output rows out of itself and the rows before it: a kernel of
    `taps` whose output is `stride` times as wide, and is then read as as many rows.
    """

    def __init__(self, conv: EncodecConvTranspose1d, dtype: torch.dtype) -> None:
        self._stride = conv.stride
        weight_COW = conv.conv.weight.detach()
        channels, out, width = weight_COW.shape
        taps = width // self._stride
        split = weight_COW.view(channels, out, taps, self._stride).flip(2)
        weight_OCW = split.permute(3, 1, 0, 2).reshape(self._stride * out, channels, taps)
        bias_O = _bias(conv.conv).repeat(self._stride)
        self._convolution = row_convolution(weight_OCW, bias_O, 1, dtype)
        self._norm = conv.norm
        self._left = taps - 1
        self._trim_left = conv.trim_left
        self._out = out

    def __call__(self, x_BRC: Tensor, tile: Tile) -> tuple[Tensor, Tile]:
        """Runs over the next tile of the lanes."""
        batch, rows, channels = x_BRC.shape
        right = 0 if tile.kept is not None else self._left
        shape = (batch, self._left + rows + right, channels)
        buffer_BRC = tile.scratch.take("padded", shape, x_BRC.dtype)
        elu_into(x_BRC, buffer_BRC[:, self._left : self._left + rows], tile.scratch)
        buffer_BRC[:, self._left + rows :] = 0
        if tile.kept is None:
            buffer_BRC[:, : self._left] = 0
        else:
            tile.kept.exchange(self, tile.slots, buffer_BRC, self._left)
            for lane, rows_RC in zip(tile.lanes, buffer_BRC, strict=True):
                if lane.is_first:
                    rows_RC[: self._left] = 0
        y_BRC = self._convolution(buffer_BRC).view(batch, -1, self._out)
        y_BRC = _normalized(y_BRC, self._norm)
        end = self._trim_left + rows * self._stride
        return y_BRC[:, self._trim_left : end], tile.resampled(up=self._stride)


class RowResnetBlock(RowLayer):
    """`EncodecResnetBlock` over rows."""

    def __init__(self, block: EncodecResnetBlock, dtype: torch.dtype) -> None:
        convs = [layer for layer in block.block if isinstance(layer, EncodecConv1d)]
        *self._convs, self._last = [RowConv(conv, True, dtype) for conv in convs]
        self._shortcut = None if block.shortcut is None else RowConv(block.shortcut, False, dtype)

    def __call__(self, x_BRC: Tensor, tile: Tile) -> tuple[Tensor, Tile]:
        """Runs over the next tile of the lanes."""
        hidden_BRC = x_BRC
        for conv in self._convs:
            hidden_BRC, _ = conv(hidden_BRC, tile)
        y_BRC = x_BRC if self._shortcut is None else self._shortcut(x_BRC, tile)[0]
        return self._last.add_to(y_BRC, hidden_BRC, tile), tile


def row_layers(layers: nn.ModuleList, dtype: torch.dtype) -> Iterator[RowLayer]:
    """The layers of an encoder or a decoder that lie between two others, over rows."""
    after_elu = False
    for layer in layers:
        if isinstance(layer, EncodecConv1d):
            yield RowConv(layer, after_elu, dtype)
        elif isinstance(layer, EncodecConvTranspose1d):
            yield RowConvTranspose(layer, dtype)
        elif isinstance(layer, EncodecResnetBlock):
            yield RowResnetBlock(layer, dtype)
        after_elu = isinstance(layer, nn.ELU)


def _bias(conv: nn.Conv1d | nn.ConvTranspose1d) -> Tensor:
    assert conv.bias is not None, "every convolution of EnCodec has a bias"
    return conv.bias.detach()


def _normalized(y_BRC: Tensor, norm: nn.Module) -> Tensor:
    """Applies the norm of a convolution to its result, which nobody else holds."""
    return group_norm_into(y_BRC, norm) if isinstance(norm, nn.GroupNorm) else y_BRC


@lru_cache(maxsize=256)
def _copies(
    lanes: tuple[Lane, ...], rows: int, pads: tuple[int, int, int, str]
) -> tuple[list[int], list[int], list[int]]:
    """Which rows of a buffer to copy where, and which to clear, as rows of all lanes flattened."""
    left, right, stride, mode = pads
    targets: list[int] = []
    sources: list[int] = []
    zeros: list[int] = []
    for index, lane in enumerate(lanes):
        before = left if lane.is_first else 0
        after = -lane.length % stride + right if lane.is_last else 0
        # A lane's rows with what stands before them; a reflection may reach back into those.
        start = index * rows + before
        length = lane.length + left - before
        for position, source in _padding(length, before, after, mode):
            if source is None:
                zeros.append(start + position)
            else:
                targets.append(start + position)
                sources.append(start + source)
    return targets, sources, zeros


def _padding(length: int, before: int, after: int, mode: str) -> Iterator[tuple[int, int | None]]:
    """Each padded position, counted from the signal's start, and where its value is from.

    None is a zero. Found by padding numbered samples with the function that the modules use; of a
    long signal the two ends are enough.
    """
    if before == after == 0:
        return
    kept = min(length, before + after + 2)
    numbered = torch.arange(1, kept + 1, dtype=torch.float64)[None, None]
    padded = [int(value) for value in pad_end_aware(numbered, before, after, mode).flatten()]
    for position in range(before):
        yield position - before, padded[position] - 1 if padded[position] else None
    for position in range(after):
        number = padded[before + kept + position]
        yield length + position, length - kept + number - 1 if number else None
