"""How much memory of a GPU a grid of slots takes, told before there is one.

On a GPU all slots go through the convolutions together, so what a layer reads and writes is as
large as the grid. Most lives at once inside a residual block at the full rate of the audio, where
five tensors of the size of its input do:

    input | padded copy | ELU of it, or the hidden rows | shortcut | result
"""

import torch

from codec.encodec.config import EncodecConfig
from codec.encodec.halves import GridShape
from codec.errors import CodecConfigError

_LARGEST_AT_ONCE = 5  # tensors as large as the largest activation
_AUDIO_BYTES = 12  # a sample and channel: as it came, as a grid, and in the precision of the run
_DISTANCE_BYTES = 8  # a frame and codebook entry: float32, before and after the bias
_RESERVED_BYTES = 2 << 30  # CUDA context, libraries and their workspaces, weights


def grid_bytes(config: EncodecConfig, shape: GridShape, bytes_per_value: int) -> int:
    """Memory that encoding in a grid takes, at most, without what is reserved for the rest.

    Args:
        config: of the model.
        shape: of the grid.
        bytes_per_value: 4 for float32, 2 for bfloat16.
    """
    samples = shape.frames * config.hop_length
    largest = _LARGEST_AT_ONCE * _widest_row(config) * bytes_per_value
    audio = _AUDIO_BYTES * config.audio_channels
    distances = shape.frames * config.codebook_size * _DISTANCE_BYTES
    return shape.slots * round(samples * (largest + audio) + distances)


def check_grid_fits(
    config: EncodecConfig, shape: GridShape, bytes_per_value: int, budget_bytes: int
) -> None:
    """Refuse a grid that the memory of the GPU cannot hold. Nothing is made smaller by itself.

    Args:
        config: of the model.
        shape: of the grid.
        bytes_per_value: 4 for float32, 2 for bfloat16.
        budget_bytes: memory of the GPU that is ours.

    Raises:
        CodecConfigError: it does not fit; the message names the largest grid that does.
    """
    needed = grid_bytes(config, shape, bytes_per_value) + _RESERVED_BYTES
    if needed <= budget_bytes:
        return
    a_slot = grid_bytes(config, shape, bytes_per_value) // shape.slots
    fitting = max(0, budget_bytes - _RESERVED_BYTES) // a_slot
    advice = (
        f"the largest that fits is {fitting}: --gpu-slots {fitting}, which every session of the "
        "run must then use"
        if fitting
        else "not even one slot fits: give the codec more of the GPU"
    )
    raise CodecConfigError(
        f"a grid of {shape.slots} slots takes about {needed / 1e9:.1f} GB of the GPU's memory, and "
        f"{budget_bytes / 1e9:.1f} GB are ours; {advice}"
    )


def gpu_budget(device: torch.device) -> int:
    """Bytes of a GPU's memory that this process may take: what is free, up to its share."""
    free_bytes, total_bytes = torch.cuda.mem_get_info(device)
    return int(min(free_bytes, total_bytes * torch.cuda.get_per_process_memory_fraction(device)))


def _widest_row(config: EncodecConfig) -> float:
    """Channels of the largest activation, a sample: widths double as the rows get fewer."""
    width, rows, widest = float(config.num_filters), 1.0, 0.0
    for ratio in reversed(config.upsampling_ratios):
        widest = max(widest, width * rows)
        width, rows = 2 * width, rows / ratio
    return max(widest, width * rows)
