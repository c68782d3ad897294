"""Convolutions of EnCodec: padded so that lengths divide, and able to run tile by tile.

Dimension key: B batch, C channels, S samples or frames along time.

A causal network can be run over a recording in tiles with exactly the result of one pass, if each
convolution keeps the inputs that the next tile's first outputs still need:

    inputs    |------ tile 1 ------|------ tile 2 ------|-- tile 3 --|
    padded  rr|------ tile 1 ------|                                      r: reflected start
                                 kk|------ tile 2 ------|                 k: kept from tile 1
                                                      kk|-- tile 3 --|r   r: reflected end
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from codec.encodec.config import EncodecConfig


@dataclass
class TileState:
    """Where a recording is in its tiles, and what every layer carries from one to the next.

    The default is a recording in a single tile.
    """

    is_first: bool = True
    is_last: bool = True
    carried: dict[nn.Module, Tensor] = field(default_factory=dict)

    def next_tile(self, is_last: bool) -> "TileState":
        """The state for the tile after this one; what was carried is handed on."""
        return TileState(is_first=False, is_last=is_last, carried=self.carried)


def pad_end_aware(x_BCS: Tensor, left: int, right: int, mode: str) -> Tensor:
    """Pads along time; a reflection longer than the signal first extends the signal by zeros.

    Source: facebookresearch/encodec 0.1.1, encodec/modules/conv.py, `pad1d` (behaviour).
    """
    if mode != "reflect":
        return functional.pad(x_BCS, (left, right), mode)
    missing = max(left, right) - x_BCS.shape[-1] + 1
    if missing <= 0:
        return functional.pad(x_BCS, (left, right), mode)
    extended_BCS = functional.pad(x_BCS, (0, missing))
    return functional.pad(extended_BCS, (left, right), mode)[..., :-missing]


class _FoldsWeightNorm(nn.Module):
    """A module with a convolution `conv` that loads weight-normalized checkpoints as plain weights.

    Weight normalization writes a weight as g * v / ||v||. At inference that is a constant, so it is
    computed once, when a state dict is loaded, from either of the names torch has used for g and v.
    """

    conv: nn.Conv1d | nn.ConvTranspose1d

    def __init__(self) -> None:
        super().__init__()
        self.register_load_state_dict_pre_hook(_fold_weight_norm)  # type: ignore[no-untyped-call]


def _fold_weight_norm(
    _module: nn.Module, state: dict[str, Tensor], prefix: str, *_unused: object
) -> None:
    for g_name, v_name in (
        ("weight_g", "weight_v"),
        ("parametrizations.weight.original0", "parametrizations.weight.original1"),
    ):
        g_key, v_key = f"{prefix}conv.{g_name}", f"{prefix}conv.{v_name}"
        if g_key in state and v_key in state:
            g, v = state.pop(g_key), state.pop(v_key)
            # The one function that rounds as torch's own weight normalization does.
            state[f"{prefix}conv.weight"] = torch._weight_norm(v, g, 0)  # noqa: SLF001


class EncodecConv1d(_FoldsWeightNorm):
    """Convolution over time, [B, C, S] to [B, C', ceil(S / stride)].

    Padding as in the reference: `kernel - stride` in all, on the left where causal and otherwise
    split, plus as much on the right as makes the last window full.
    """

    def __init__(
        self,
        config: EncodecConfig,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.is_causal = config.use_causal_conv
        self.pad_mode = config.pad_mode
        self.stride = stride
        self.padding_total = (kernel_size - 1) * dilation + 1 - stride
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size, stride, dilation=dilation)
        has_norm = config.norm_type == "time_group_norm"
        self.norm = nn.GroupNorm(1, out_channels) if has_norm else nn.Identity()

    def forward(self, x_BCS: Tensor, tile: TileState | None = None) -> Tensor:
        """Convolves a recording, or the next tile of one.

        Args:
            x_BCS: samples; a tile that is not the last must be a multiple of the stride.
            tile: what earlier tiles left; None for a whole recording.
        """
        tile = tile or TileState()
        padded_BCS = self._pad(x_BCS, tile)
        if not tile.is_last and self.padding_total > 0:
            tile.carried[self] = padded_BCS[..., -self.padding_total :].clone()
        y: Tensor = self.norm(self.conv(padded_BCS))
        return y

    def _pad(self, x_BCS: Tensor, tile: TileState) -> Tensor:
        missing = -x_BCS.shape[-1] % self.stride if tile.is_last else 0
        if not tile.is_first:
            if self.padding_total > 0:
                x_BCS = torch.cat([tile.carried[self], x_BCS], dim=-1)
            return pad_end_aware(x_BCS, 0, missing, self.pad_mode) if missing else x_BCS
        right = 0 if self.is_causal else self.padding_total // 2
        left = self.padding_total - right
        return pad_end_aware(x_BCS, left, right + missing, self.pad_mode)


class EncodecConvTranspose1d(_FoldsWeightNorm):
    """Transposed convolution over time, [B, C, S] to [B, C', S * stride].

    What the kernel adds beyond that is trimmed: on the right where causal, otherwise on both sides.
    """

    def __init__(
        self,
        config: EncodecConfig,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.ConvTranspose1d(in_channels, out_channels, kernel_size, stride)
        has_norm = config.norm_type == "time_group_norm"
        self.norm = nn.GroupNorm(1, out_channels) if has_norm else nn.Identity()
        excess = kernel_size - stride
        causal_right = math.ceil(excess * config.trim_right_ratio)
        self.trim_right = causal_right if config.use_causal_conv else excess // 2
        self.trim_left = excess - self.trim_right
        # Input frames before a tile that still reach into its output.
        self.context = math.ceil(kernel_size / stride) - 1

    def forward(self, x_BCS: Tensor, tile: TileState | None = None) -> Tensor:
        """Upsamples a recording, or the next tile of one."""
        tile = tile or TileState()
        repeated = 0
        if not tile.is_first:
            previous_BCS = tile.carried[self]
            repeated = previous_BCS.shape[-1]
            x_BCS = torch.cat([previous_BCS, x_BCS], dim=-1)
        if not tile.is_last:
            tile.carried[self] = x_BCS[..., max(0, x_BCS.shape[-1] - self.context) :].clone()
        y_BCS = self.norm(self.conv(x_BCS))
        start = self.trim_left + repeated * self.stride
        trimmed: Tensor = y_BCS[..., start : y_BCS.shape[-1] - self.trim_right]
        return trimmed
