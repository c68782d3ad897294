"""The discriminator that a codec learns to deceive, and what the two are judged by.

Dimension key: B batch, S samples, F frequencies, T frames, C channels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

SLOPE = 0.2  # of the leaky rectifiers
KERNEL = (3, 9)  # time and frequency; the paper has 3 by 8, which cannot be centred
DILATIONS = (1, 2, 4)  # along time
SMALL_KERNEL = (3, 3)


class Judgement(NamedTuple):
    """What one discriminator says of a batch."""

    logits: Tensor  # [B, 1, T, F]; above 0 where it sounds real
    features: list[Tensor]  # of its layers, [B, C, T, F] each


class STFTDiscriminator(nn.Module):
    """Convolutions over a complex spectrogram of one window length, real and imaginary as channels.

    Source: "High Fidelity Neural Audio Compression" (2022), section 3.4 and figure 2.
    """

    def __init__(self, window_samples: int, num_filters: int) -> None:
        super().__init__()
        self.window_samples = window_samples
        self.register_buffer("hann", torch.hann_window(window_samples), persistent=False)
        strided = [_conv(num_filters, num_filters, KERNEL, (1, 2), time) for time in DILATIONS]
        self.layers = nn.ModuleList(
            [
                _conv(2, num_filters, KERNEL),
                *strided,
                _conv(num_filters, num_filters, SMALL_KERNEL),
            ]
        )
        self.last = _conv(num_filters, 1, SMALL_KERNEL)

    def forward(self, audio_BS: Tensor) -> Judgement:
        """Judges audio of at least a window."""
        hann = self.get_buffer("hann")
        hop = self.window_samples // 4
        spectrum_BFT = torch.stft(
            audio_BS.float(), len(hann), hop, window=hann, normalized=True, return_complex=True
        )
        x_BCTF = torch.stack([spectrum_BFT.real, spectrum_BFT.imag], dim=1).transpose(2, 3)
        features = []
        for layer in self.layers:
            x_BCTF = functional.leaky_relu(layer(x_BCTF), SLOPE)
            features.append(x_BCTF)
        return Judgement(self.last(x_BCTF), features)


class MultiScaleSTFTDiscriminator(nn.Module):
    """One discriminator a window length.

    Source: "High Fidelity Neural Audio Compression" (2022), section 3.4.
    """

    def __init__(self, windows_samples: Sequence[int], num_filters: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            STFTDiscriminator(window, num_filters) for window in windows_samples
        )

    def forward(self, audio_BS: Tensor) -> list[Judgement]:
        """What each says."""
        return [scale(audio_BS) for scale in self.scales]


def discriminator_loss(real: Sequence[Judgement], fake: Sequence[Judgement]) -> Tensor:
    """Hinge loss of a discriminator: 0 where it gives real audio above 1 and fake below -1."""
    losses = [
        functional.relu(1 - r.logits.float()).mean() + functional.relu(1 + f.logits.float()).mean()
        for r, f in zip(real, fake, strict=True)
    ]
    return torch.stack(losses).mean()


def deception_loss(fake: Sequence[Judgement]) -> Tensor:
    """Hinge loss of the codec: 0 where decoded audio is given above 1."""
    return torch.stack([functional.relu(1 - f.logits.float()).mean() for f in fake]).mean()


def feature_loss(real: Sequence[Judgement], fake: Sequence[Judgement]) -> Tensor:
    """Mean absolute difference of the features, relative to the mean size of the real ones."""
    losses = []
    for r, f in zip(real, fake, strict=True):
        for wanted, found in zip(r.features, f.features, strict=True):
            size = wanted.detach().float().abs().mean().clamp(min=1e-8)
            losses.append((wanted.detach().float() - found.float()).abs().mean() / size)
    return torch.stack(losses).mean()


def _conv(
    inputs: int,
    outputs: int,
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    time_dilation: int = 1,
) -> nn.Module:
    padding = (kernel[0] // 2 * time_dilation, kernel[1] // 2)
    dilation = (time_dilation, 1)
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation)
    normed: nn.Module = weight_norm(conv)
    return normed
