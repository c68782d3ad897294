"""SEANet, the convolutional encoder and decoder of EnCodec.

    encoder   conv 7 -> [residual blocks, ELU, strided conv] x 4 -> LSTM -> ELU, conv 7
    decoder   conv 7 -> LSTM -> [ELU, transposed conv, residual blocks] x 4 -> ELU, conv 7

Layers are numbered as in the published checkpoints, activations included, so that names match.
Dimension key: B batch, C channels, S samples, T frames, D latent width.

Source: "High Fidelity Neural Audio Compression" (Défossez et al., 2022), section 3.1 and figure 1.
"""

from torch import Tensor, nn

from codec.encodec.config import EncodecConfig
from codec.encodec.conv import EncodecConv1d, EncodecConvTranspose1d
from codec.encodec.lstm import EncodecLSTM


def _run(layers: nn.ModuleList, x_BCS: Tensor) -> Tensor:
    for layer in layers:
        x_BCS = layer(x_BCS)
    return x_BCS


class EncodecResnetBlock(nn.Module):
    """Two convolutions at reduced width beside a shortcut, [B, C, S] to the same."""

    def __init__(self, config: EncodecConfig, channels: int, dilation: int) -> None:
        super().__init__()
        inner = channels // config.compress
        self.block = nn.ModuleList(
            [
                nn.ELU(),
                EncodecConv1d(
                    config, channels, inner, config.residual_kernel_size, dilation=dilation
                ),
                nn.ELU(),
                EncodecConv1d(config, inner, channels, kernel_size=1),
            ]
        )
        self.shortcut = (
            EncodecConv1d(config, channels, channels, kernel_size=1)
            if config.use_conv_shortcut
            else None
        )

    def forward(self, x_BCS: Tensor) -> Tensor:
        """Runs over recordings of one length."""
        straight_BCS = x_BCS if self.shortcut is None else self.shortcut(x_BCS)
        return straight_BCS + _run(self.block, x_BCS)


def _resnet_blocks(config: EncodecConfig, channels: int) -> list[nn.Module]:
    return [
        EncodecResnetBlock(config, channels, config.dilation_growth_rate**j)
        for j in range(config.num_residual_layers)
    ]


class EncodecEncoder(nn.Module):
    """Waveform [B, C, S] to latent [B, D, ceil(S / hop)]."""

    def __init__(self, config: EncodecConfig) -> None:
        super().__init__()
        width = config.num_filters
        layers: list[nn.Module] = [
            EncodecConv1d(config, config.audio_channels, width, config.kernel_size)
        ]
        for ratio in reversed(config.upsampling_ratios):
            layers += [*_resnet_blocks(config, width), nn.ELU()]
            layers += [EncodecConv1d(config, width, width * 2, kernel_size=ratio * 2, stride=ratio)]
            width *= 2
        layers += [EncodecLSTM(config, width), nn.ELU()]
        layers += [EncodecConv1d(config, width, config.hidden_size, config.last_kernel_size)]
        self.layers = nn.ModuleList(layers)

    def forward(self, x_BCS: Tensor) -> Tensor:
        """Encodes recordings of one length."""
        return _run(self.layers, x_BCS)


class EncodecDecoder(nn.Module):
    """Latent [B, D, T] to waveform [B, C, T * hop]."""

    def __init__(self, config: EncodecConfig) -> None:
        super().__init__()
        width = config.num_filters * 2 ** len(config.upsampling_ratios)
        layers: list[nn.Module] = [
            EncodecConv1d(config, config.hidden_size, width, config.kernel_size),
            EncodecLSTM(config, width),
        ]
        for ratio in config.upsampling_ratios:
            layers += [nn.ELU()]
            layers += [
                EncodecConvTranspose1d(
                    config, width, width // 2, kernel_size=ratio * 2, stride=ratio
                )
            ]
            width //= 2
            layers += _resnet_blocks(config, width)
        layers += [nn.ELU()]
        layers += [EncodecConv1d(config, width, config.audio_channels, config.last_kernel_size)]
        self.layers = nn.ModuleList(layers)

    def forward(self, z_BDT: Tensor) -> Tensor:
        """Decodes recordings of one length."""
        return _run(self.layers, z_BDT)
