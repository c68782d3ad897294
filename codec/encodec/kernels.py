"""The arithmetic of the fast engine: convolutions as GEMMs over rows, ELU, and the LSTM.

A row holds the channels of one time step, so that time is the slow dimension and a convolution of
stride one is a sum of GEMMs over shifted rows. On x86 the weights are laid out for oneDNN once,
instead of at every call. Where that is not possible the same operators run on plain weights.

Dimension key: B lanes, R rows (time steps), C channels in, O channels out, W kernel width, L LSTM
layers, D LSTM width.
"""

import math
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

_TYPICAL_ROWS = 1000  # that the layout of weights is chosen for; any number can be run
# What decides how a convolution is run.
_FEW_CHANNELS = 8
_FEW_OUTPUTS = 2
_MUCH_WEIGHT = 1 << 18


def can_pack(device: torch.device) -> bool:
    """Whether oneDNN takes weights in its own layout there."""
    x86 = torch.backends.cpu.get_cpu_capability().startswith("AVX")
    return device.type == "cpu" and x86 and torch.backends.mkldnn.is_available()


class Scratch:
    """Memory that is used again and again: fresh pages cost more than the work done on them.

    Of each name only the tensor asked for last is valid.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._memory: dict[tuple[str, torch.dtype], Tensor] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor with any contents."""
        size = math.prod(shape)
        memory = self._memory.get((name, dtype))
        if memory is None or memory.numel() < size:
            memory = torch.empty(size, dtype=dtype, device=self._device)
            self._memory[name, dtype] = memory
        return memory[:size].view(shape)


def elu_into(x: Tensor, out: Tensor, scratch: Scratch) -> None:
    """Writes ELU(x) to `out`, which may be x itself.

    numpy's expm1 is four times as fast as torch's where there is AVX-512, and as exact.
    """
    if x.device.type != "cpu" or torch.backends.cpu.get_cpu_capability() != "AVX512":
        out.copy_(functional.elu(x))
        return
    if x.dtype != torch.float32:
        x = scratch.take("elu in", tuple(x.shape), torch.float32).copy_(x)
    below = scratch.take("elu", tuple(x.shape), torch.float32)
    torch.clamp_max(x, 0.0, out=below)
    negative = below.numpy()
    np.expm1(negative, out=negative)
    if out.dtype == torch.float32:
        torch.maximum(x, below, out=out)
    else:
        out.copy_(torch.maximum(x, below, out=below))


def argmin_rows(x_BRC: Tensor) -> Tensor:
    """Index of the smallest channel of each row, the first of equals: int64 [B, R].

    numpy's argmin is ten times as fast as torch's on a CPU.
    """
    if x_BRC.device.type != "cpu":
        return x_BRC.argmin(dim=2)
    return torch.from_numpy(x_BRC.numpy().argmin(axis=2))


def group_norm_into(x_BRC: Tensor, norm: nn.GroupNorm) -> Tensor:
    """Normalizes all rows and channels of a lane together, in place: a group norm of one group.

    In passes over memory that was just written, which takes half as long as torch's own.
    """
    assert norm.num_groups == 1, "EnCodec has group norms of one group"
    flat_BN = x_BRC.flatten(1)
    x_BRC.sub_(flat_BN.mean(dim=1)[:, None, None])
    deviation_B = torch.linalg.vector_norm(flat_BN, dim=1) / math.sqrt(flat_BN.shape[1])
    factor_B = (deviation_B.square() + norm.eps).rsqrt()
    factor_B1C = factor_B[:, None, None] * norm.weight
    torch.addcmul(norm.bias.to(x_BRC.dtype), x_BRC, factor_B1C.to(x_BRC.dtype), out=x_BRC)
    return x_BRC


class RowLinear:
    """A matrix product and a bias over rows: [B, R, C] to [B, R, O].

    Args:
        weight_OC: float32.
        bias_O: float32.
        dtype: of rows and weights.
    """

    def __init__(self, weight_OC: Tensor, bias_O: Tensor, dtype: torch.dtype) -> None:
        weight_OC = weight_OC.to(dtype)
        self._bias_O = bias_O.to(dtype)
        self._packed = can_pack(weight_OC.device)
        self._weight = weight_OC
        if self._packed:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(  # noqa: SLF001
                weight_OC.contiguous(), _TYPICAL_ROWS
            )

    def __call__(self, x_BRC: Tensor) -> Tensor:
        """The product, in fresh memory."""
        if not self._packed:
            return functional.linear(x_BRC, self._weight, self._bias_O)
        y_BRO: Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001
            x_BRC, self._weight, self._bias_O, "none", [], ""
        )
        return y_BRO


class RowConvolution:
    """A convolution of stride one over rows: [B, R, C] to [B, R - (W - 1) * dilation, O]."""

    def __call__(self, x_BRC: Tensor) -> Tensor:
        """The convolution, in fresh memory."""
        raise NotImplementedError

    def add_to(self, y_BRO: Tensor, x_BRC: Tensor) -> Tensor:
        """Adds the convolution to `y_BRO`, in place."""
        return y_BRO.add_(self(x_BRC))


class ImageConvolution(RowConvolution):
    """As a convolution over an image of height one.

    Args:
        weight_OCW: float32.
        bias_O: float32.
        dilation: rows between taps.
        dtype: of rows and weights; sums are float32 in any case.
    """

    def __init__(
        self, weight_OCW: Tensor, bias_O: Tensor, dilation: int, dtype: torch.dtype
    ) -> None:
        weight_OC1W = weight_OCW[:, :, None].to(dtype).contiguous()
        self._bias_O = bias_O.to(dtype).contiguous()
        self._dilation = [1, dilation]
        self._packed = can_pack(weight_OCW.device)
        self._weight = weight_OC1W.contiguous(memory_format=torch.channels_last)
        if self._packed:
            self._weight = torch.ops.aten.mkldnn_reorder_conv2d_weight(
                weight_OC1W.to_mkldnn(), [0, 0], [1, 1], self._dilation, 1,
                [1, weight_OC1W.shape[1], 1, _TYPICAL_ROWS],
            )  # fmt: skip

    def __call__(self, x_BRC: Tensor) -> Tensor:
        """The convolution, in fresh memory."""
        x_BC1R = _as_image(x_BRC)
        if self._packed:
            y_BO1R = torch.ops.mkldnn._convolution_pointwise(  # noqa: SLF001
                x_BC1R, self._weight, self._bias_O, [0, 0], [1, 1], self._dilation, 1,
                "none", [], "",
            )  # fmt: skip
        else:
            y_BO1R = functional.conv2d(x_BC1R, self._weight, self._bias_O, dilation=self._dilation)
        return cast(Tensor, y_BO1R)[:, :, 0].transpose(1, 2).contiguous()

    def add_to(self, y_BRO: Tensor, x_BRC: Tensor) -> Tensor:
        """Adds the convolution to `y_BRO`, in place."""
        if not self._packed:
            return super().add_to(y_BRO, x_BRC)
        torch.ops.mkldnn._convolution_pointwise_.binary(
            _as_image(y_BRO), _as_image(x_BRC), self._weight, self._bias_O, [0, 0], [1, 1],
            self._dilation, 1, "add", 1.0, None, [], None,
        )  # fmt: skip
        return y_BRO


class GatheredConvolution(RowConvolution):
    """As one product with rows that hold all taps: for few channels, or much weight."""

    def __init__(self, weight_OCW: Tensor, bias_O: Tensor, dtype: torch.dtype) -> None:
        self._taps = weight_OCW.shape[2]
        weight_OC = weight_OCW.transpose(1, 2).reshape(len(weight_OCW), -1)
        self._product = RowLinear(weight_OC, bias_O, dtype)

    def __call__(self, x_BRC: Tensor) -> Tensor:
        """The convolution, in fresh memory."""
        rows = x_BRC.shape[1] - self._taps + 1
        shifted = [x_BRC[:, tap : tap + rows] for tap in range(self._taps)]
        return self._product(torch.cat(shifted, dim=2))


class ScatteredConvolution(RowConvolution):
    """As one product whose outputs are shifted and added: for one or two outputs.

    In float32 throughout.
    """

    def __init__(self, weight_OCW: Tensor, bias_O: Tensor) -> None:
        self._outputs, channels, self._taps = weight_OCW.shape
        self._bias_O = bias_O
        weight_OC = weight_OCW.permute(2, 0, 1).reshape(-1, channels)
        self._products = RowLinear(weight_OC, bias_O.new_zeros(len(weight_OC)), torch.float32)

    def __call__(self, x_BRC: Tensor) -> Tensor:
        """The convolution, in fresh memory."""
        rows = x_BRC.shape[1] - self._taps + 1
        products_BRO = self._products(x_BRC.float())
        by_tap = cast(list[Tensor], products_BRO.split(self._outputs, dim=2))
        y_BRO = by_tap[0][:, :rows] + self._bias_O
        for tap in range(1, self._taps):
            y_BRO.add_(by_tap[tap][:, tap : tap + rows])
        return y_BRO.to(x_BRC.dtype)


def row_convolution(
    weight_OCW: Tensor, bias_O: Tensor, dilation: int, dtype: torch.dtype
) -> RowConvolution:
    """The fastest way to run a convolution over rows; each was measured where it is chosen."""
    outputs, channels, width = weight_OCW.shape
    if dilation == 1 and width > 1:
        if outputs <= _FEW_OUTPUTS:
            return ScatteredConvolution(weight_OCW, bias_O)
        if channels <= _FEW_CHANNELS or weight_OCW.numel() >= _MUCH_WEIGHT:
            return GatheredConvolution(weight_OCW, bias_O, dtype)
    return ImageConvolution(weight_OCW, bias_O, dilation, dtype)


def _as_image(x_BRC: Tensor) -> Tensor:
    """The same memory as a channels-last image of height one, [B, C, 1, R]."""
    return x_BRC.transpose(1, 2)[:, :, None]


class RowLSTM:
    """A stack of LSTM layers over [R, B, D], on weights laid out once.

    Args:
        lstm: whose weights to use.
        shape: (R, B), the only shape there will be.
        dtype: of rows and weights.
    """

    def __init__(self, lstm: nn.LSTM, shape: tuple[int, int], dtype: torch.dtype) -> None:
        self._lstm = lstm
        self._width = lstm.hidden_size
        self.num_layers = lstm.num_layers
        self.device: torch.device = next(lstm.parameters()).device
        self._dtype = dtype
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        self._layers = [
            tuple(getattr(lstm, f"{name}_l{layer}").detach().to(dtype) for name in names)
            for layer in range(lstm.num_layers)
        ]
        self._packed = can_pack(self.device)
        if not self._packed:
            self._lstm = nn.LSTM(self._width, self._width, lstm.num_layers)
            self._lstm.load_state_dict(lstm.state_dict())
            self._lstm.to(self.device, dtype).eval()
            return
        self._layers = [
            (
                *torch.ops.mkldnn._reorder_mkldnn_rnn_layer_weight(  # noqa: SLF001
                    input_weight, hidden_weight, self._width, False, True, False,
                    [*shape, self._width],
                ),
                *biases,
            )
            for input_weight, hidden_weight, *biases in self._layers
        ]  # fmt: skip

    def zeros(self, *shape: int) -> Tensor:
        """Zeros [*shape, D] to pass in."""
        return torch.zeros(*shape, self._width, dtype=self._dtype, device=self.device)

    def __call__(self, x_RBD: Tensor, hidden_LBD: Tensor, cell_LBD: Tensor) -> Tensor:
        """The output of the last layer; both states are replaced by those after the last row."""
        if not self._packed:
            y_RBD, (hidden, cell) = self._lstm(x_RBD, (hidden_LBD, cell_LBD))
            hidden_LBD.copy_(hidden)
            cell_LBD.copy_(cell)
            return cast(Tensor, y_RBD)
        for layer, weights in enumerate(self._layers):
            x_RBD, hidden, cell, _ = torch.ops.aten.mkldnn_rnn_layer(
                x_RBD, *weights, hidden_LBD[layer], cell_LBD[layer], False, [], _LSTM,
                self._width, 1, True, False, False, False,
            )  # fmt: skip
            hidden_LBD[layer], cell_LBD[layer] = hidden, cell
        return x_RBD


_LSTM = 2  # among torch's kinds of recurrent layers
