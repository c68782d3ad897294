"""From the channels a file has to the channels a codec takes.

    1 -> any       the channel is repeated
    2 -> 1         the mean of both
    3..8 -> 1, 2   the downmix of ITU-R BS.775 for channels in WAVE order, as FFmpeg has it: LFE is
                   left out; to stereo, front channels go to their side, centre and surrounds at
                   -3 dB; to mono, the centre as it is, left and right at -3 dB, surrounds at -6 dB.
                   Divided by the sum of the weights, so that full scale stays full scale
    9.. -> 1, 2    channels of no known places: the mean of all

Source: FFmpeg 8, libswresample/rematrix.c, auto_matrix().

Dimension key: C channels, S samples.
"""

import torch
from torch import Tensor

from tokenize_pipeline.errors import AudioError

_MINUS_3_DB = 0.5**0.5

# Places by number of channels, in WAVE order.
_LAYOUTS = {
    3: "L R C",
    4: "L R SL SR",
    5: "L R C SL SR",
    6: "L R C LFE SL SR",
    7: "L R C LFE BC SL SR",
    8: "L R C LFE BL BR SL SR",
}
# Weight of a place in the left and in the right output.
_STEREO_WEIGHTS = {
    "L": (1.0, 0.0),
    "R": (0.0, 1.0),
    "C": (_MINUS_3_DB, _MINUS_3_DB),
    "LFE": (0.0, 0.0),
    "BC": (0.5, 0.5),
    "SL": (_MINUS_3_DB, 0.0),
    "SR": (0.0, _MINUS_3_DB),
    "BL": (_MINUS_3_DB, 0.0),
    "BR": (0.0, _MINUS_3_DB),
}
# And in mono.
_MONO_WEIGHTS = {
    "L": _MINUS_3_DB,
    "R": _MINUS_3_DB,
    "C": 1.0,
    "LFE": 0.0,
    **dict.fromkeys(("BC", "SL", "SR", "BL", "BR"), 0.5),
}


def mix(audio_CS: Tensor, channels: int) -> Tensor:
    """Mix a block to `channels`; every sample is computed alike, wherever the block was cut.

    Args:
        audio_CS: float [C, S].
        channels: channels wanted, [1, 2] or as many as there are.

    Raises:
        AudioError: there is no way from C channels to `channels`.
    """
    if audio_CS.shape[0] == channels:
        return audio_CS
    weights = mix_weights(audio_CS.shape[0], channels)
    return torch.stack([_weighted_sum(audio_CS, row) for row in weights])


def mix_weights(source_channels: int, channels: int) -> list[list[float]]:
    """Weight of every source channel in every channel made: [channels][source_channels]."""
    if source_channels == 1:
        return [[1.0]] * channels
    if channels in (1, 2) and source_channels in _LAYOUTS:
        places = _LAYOUTS[source_channels].split()
        if channels == 2:
            return _stereo_weights(places)
        total = sum(_MONO_WEIGHTS[place] for place in places)
        return [[_MONO_WEIGHTS[place] / total for place in places]]
    if channels in (1, 2):
        return [[1 / source_channels] * source_channels] * channels
    raise AudioError("unsupported", f"cannot mix {source_channels} channels to {channels}")


def _stereo_weights(places: list[str]) -> list[list[float]]:
    sides = [[_STEREO_WEIGHTS[place][side] for place in places] for side in (0, 1)]
    largest = max(sum(side) for side in sides)
    return [[weight / largest for weight in side] for side in sides]


def _weighted_sum(audio_CS: Tensor, weights: list[float]) -> Tensor:
    """Sum channel by channel: a matrix product may round differently for another block length."""
    total_S = audio_CS[0] * weights[0]
    for channel_S, weight in zip(audio_CS[1:], weights[1:], strict=True):
        total_S = total_S + channel_S * weight
    return total_S
