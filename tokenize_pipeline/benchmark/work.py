"""Arithmetic of an EnCodec model, by formula from its configuration.

Counted are the multiply-adds of convolutions, transposed convolutions, LSTM and codebook search, as
two operations each; activations, norms, additions and padding are not. Everything is a multiple of
a frame: layers before a stride of r run r times as often as those after it.
"""

from codec.encodec import EncodecConfig
from tokenize_pipeline.benchmark.task import Task


def encode_flop_per_frame(config: EncodecConfig, num_codebooks: int) -> int:
    """Operations that turn the samples of a frame into its codes."""
    positions, width = config.hop_length, config.num_filters
    macs = _conv(positions, config.audio_channels, width, config.kernel_size)
    for ratio in reversed(config.upsampling_ratios):
        macs += _residual_blocks(config, positions, width)
        positions //= ratio
        macs += _conv(positions, width, 2 * width, kernel_size=2 * ratio)
        width *= 2
    macs += _lstm(config, width)
    macs += _conv(positions, width, config.hidden_size, config.last_kernel_size)
    macs += num_codebooks * config.codebook_size * config.hidden_size
    return 2 * macs


def decode_flop_per_frame(config: EncodecConfig) -> int:
    """Operations that turn the codes of a frame into its samples; looking codes up costs none."""
    positions, width = 1, config.num_filters * 2 ** len(config.upsampling_ratios)
    macs = _conv(positions, config.hidden_size, width, config.kernel_size)
    macs += _lstm(config, width)
    for ratio in config.upsampling_ratios:
        # Each input of a transposed convolution meets the whole kernel.
        macs += _conv(positions, width, width // 2, kernel_size=2 * ratio)
        positions *= ratio
        width //= 2
        macs += _residual_blocks(config, positions, width)
    macs += _conv(positions, width, config.audio_channels, config.last_kernel_size)
    return 2 * macs


def flop_per_audio_second(task: Task) -> dict[str, float]:
    """Operations for a second of the audio of a task, by direction."""
    frames_per_second = task.num_frames / task.audio_seconds
    return {
        "encode": encode_flop_per_frame(task.config, task.num_codebooks) * frames_per_second,
        "decode": decode_flop_per_frame(task.config) * frames_per_second,
    }


def _conv(positions: int, in_channels: int, out_channels: int, kernel_size: int) -> int:
    return positions * in_channels * out_channels * kernel_size


def _residual_blocks(config: EncodecConfig, positions: int, width: int) -> int:
    inner = width // config.compress
    block = _conv(positions, width, inner, config.residual_kernel_size)
    block += _conv(positions, inner, width, kernel_size=1)
    if config.use_conv_shortcut:
        block += _conv(positions, width, width, kernel_size=1)
    return config.num_residual_layers * block


def _lstm(config: EncodecConfig, width: int) -> int:
    """Four gates a layer, each with a matrix for its input and one for its state."""
    return config.num_lstm_layers * 4 * 2 * width * width
