"""The encoder and the decoder, cut where the LSTM is.

Before and after it a recording needs no other; the LSTM does little work a step, on much weight,
and is worth running for many recordings at once.

    encoder   waveform -> [convolutions] -> LSTM -> [ELU, convolution, search] -> codes
    decoder   codes -> [lookup, convolution] -> LSTM -> [transposed convolutions] -> waveform

Dimension key: B lanes, R rows (time steps), C channels, D latent width, K codebooks, N vectors.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from codec.encodec.kernels import RowLinear, RowLSTM, argmin_rows
from codec.encodec.lstm import EncodecLSTM
from codec.encodec.model import EncodecModel
from codec.encodec.rows import RowLayer, Tile, row_layers
from codec.quantization import ResidualVectorQuantizer

Half = Callable[[Tensor, Tile], Tensor]


@dataclass(frozen=True)
class GridShape:
    """What a grid looks like."""

    slots: int  # recordings side by side
    frames: int  # of a full tile
    unit_frames: int  # a tile is padded to a multiple of this
    together: bool  # all slots go through the convolutions in one call


@dataclass(frozen=True)
class Halves:
    """What runs before and after an LSTM, on rows [B, R, C]."""

    before: Half
    lstm: RowLSTM
    after: Half
    shape: GridShape  # of the grids that they run in
    rows_in: int  # that `before` takes for a frame
    rows_out: int  # that `after` gives for a frame


def encoder_halves(
    model: EncodecModel, shape: GridShape, dtype: torch.dtype
) -> Callable[[int], Halves]:
    """Waveform rows [B, S, C] to codes [B, T, K], for a number of codebooks."""
    before, lstm, after = _split(model.encoder.layers, shape, dtype)
    convolutions, last = _chain(row_layers(before, dtype)), _chain(row_layers(after, dtype))
    search = RowSearch(model.quantizer)

    def converted(x_BRC: Tensor, tile: Tile) -> Tensor:
        return convolutions(x_BRC.to(dtype), tile)

    def halves(num_codebooks: int) -> Halves:
        def searched(x_BRC: Tensor, tile: Tile) -> Tensor:
            return search(last(x_BRC, tile), num_codebooks)

        return Halves(converted, lstm, searched, shape, model.config.hop_length, 1)

    return halves


def decoder_halves(model: EncodecModel, shape: GridShape, dtype: torch.dtype) -> Halves:
    """Codes [B, T, K] to waveform rows [B, S, C]."""
    before, lstm, after = _split(model.decoder.layers, shape, dtype)
    convolutions, last = _chain(row_layers(before, dtype)), _chain(row_layers(after, dtype))

    def looked_up(codes_BTK: Tensor, tile: Tile) -> Tensor:
        z_BDT = model.quantizer.lookup(codes_BTK.transpose(1, 2))
        return convolutions(z_BDT.transpose(1, 2).to(dtype), tile)

    def audible(x_BRC: Tensor, tile: Tile) -> Tensor:
        return last(x_BRC, tile).float()

    return Halves(looked_up, lstm, audible, shape, 1, model.config.hop_length)


class RowSearch:
    """The nearest entry of each codebook to what the codebooks before it left over, in float32.

    |x - e|^2 is |x|^2 - 2 x.e + |e|^2, and |x|^2 is the same for every entry: one GEMM a codebook.
    """

    def __init__(self, codebooks: ResidualVectorQuantizer) -> None:
        self._entries = [codebooks[k].embed.detach() for k in range(len(codebooks))]
        self._distances = [
            RowLinear(-2 * e_ED, e_ED.square().sum(dim=1), torch.float32) for e_ED in self._entries
        ]

    def __call__(self, z_BTD: Tensor, num_codebooks: int) -> Tensor:
        """Codes, int64 [B, T, K]."""
        residual_BTD = z_BTD.float()
        codes = []
        for k in range(num_codebooks):
            codes_BT = argmin_rows(self._distances[k](residual_BTD))
            residual_BTD = residual_BTD - functional.embedding(codes_BT, self._entries[k])
            codes.append(codes_BT)
        return torch.stack(codes, dim=2)


def _split(
    layers: nn.ModuleList, shape: GridShape, dtype: torch.dtype
) -> tuple[nn.ModuleList, RowLSTM, nn.ModuleList]:
    for index, layer in enumerate(layers):
        if isinstance(layer, EncodecLSTM):
            lstm = RowLSTM(layer.lstm, (shape.frames, shape.slots), dtype)
            return layers[:index], lstm, layers[index + 1 :]
    raise AssertionError("every encoder and decoder of EnCodec has an LSTM")


def _chain(layers: Iterable[RowLayer]) -> Half:
    kept = tuple(layers)

    def run(x_BRC: Tensor, tile: Tile) -> Tensor:
        for layer in kept:
            x_BRC, tile = layer(x_BRC, tile)
        return x_BRC

    return run
