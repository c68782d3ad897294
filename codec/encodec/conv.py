"""Convolutions of EnCodec, padded so that lengths divide.

Dimension key: B batch, C channels, S samples or frames along time.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from codec.encodec.config import EncodecConfig


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

    def forward(self, x_BCS: Tensor) -> Tensor:
        """Convolves recordings of one length."""
        right = 0 if self.is_causal else self.padding_total // 2
        left = self.padding_total - right
        missing = -x_BCS.shape[-1] % self.stride
        padded_BCS = pad_end_aware(x_BCS, left, right + missing, self.pad_mode)
        y: Tensor = self.norm(self.conv(padded_BCS))
        return y


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

    def forward(self, x_BCS: Tensor) -> Tensor:
        """Upsamples recordings of one length."""
        y_BCS = self.norm(self.conv(x_BCS))
        trimmed: Tensor = y_BCS[..., self.trim_left : y_BCS.shape[-1] - self.trim_right]
        return trimmed
