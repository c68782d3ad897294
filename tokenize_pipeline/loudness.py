"""How loud a listener finds a signal: gated, K-weighted loudness.

Source: ITU-R BS.1770-5, annex 1. The standard gives its two filters at 48 kHz; at other rates they
are those of the analog prototypes behind them, as in libebur128, `ebur128_init_filter`.

Dimension key: C channels, S samples, N blocks.
"""

import math
from functools import lru_cache

import torch
import torchaudio.functional
from torch import Tensor

QUIETEST_LUFS = -70.0  # of the standard's absolute gate; nothing counts as quieter

_BLOCK_SECONDS = 0.4
_BLOCKS_OVERLAP = 4  # a block begins every quarter of its length
_RELATIVE_GATE_DB = -10.0
_OFFSET_DB = -0.691

# A shelf that lifts high frequencies, for the head; and a high pass. Hz, quality, dB.
_SHELF_HZ, _SHELF_Q, _SHELF_DB = 1681.974450955533, 0.7071752369554196, 3.999843853973347
_HIGH_PASS_HZ, _HIGH_PASS_Q = 38.13547087602444, 0.5003270373238773


def loudness(audio_CS: Tensor, sample_rate: int) -> float:
    """Integrated loudness in LUFS, at least -70; of mono and stereo.

    A signal shorter than a block of 0.4 s is one block.
    """
    power_N = _block_power(_k_weighted(audio_CS, sample_rate), sample_rate)
    loud_N = power_N[_lufs(power_N) > QUIETEST_LUFS]
    if len(loud_N) == 0:
        return QUIETEST_LUFS
    gate = float(_lufs(loud_N.mean())) + _RELATIVE_GATE_DB
    gated = loud_N[_lufs(loud_N) > gate].mean()
    return max(QUIETEST_LUFS, float(_lufs(gated)))


def _k_weighted(audio_CS: Tensor, sample_rate: int) -> Tensor:
    for denominator, numerator in _filters(sample_rate):
        audio_CS = torchaudio.functional.lfilter(
            audio_CS.double(), denominator, numerator, clamp=False
        )
    return audio_CS


def _block_power(weighted_CS: Tensor, sample_rate: int) -> Tensor:
    """Mean square of each block, summed over channels: [N]."""
    step = max(1, round(_BLOCK_SECONDS * sample_rate / _BLOCKS_OVERLAP))
    energy_S = weighted_CS.square().sum(dim=0)
    block = step * _BLOCKS_OVERLAP
    if len(energy_S) < block:
        return energy_S.mean()[None]
    steps = len(energy_S) // step
    energy_of_steps = energy_S[: steps * step].reshape(steps, step).mean(dim=1)
    return energy_of_steps.unfold(0, _BLOCKS_OVERLAP, 1).mean(dim=1)


def _lufs(power: Tensor) -> Tensor:
    return _OFFSET_DB + 10 * power.clamp(min=1e-20).log10()


@lru_cache(maxsize=8)
def _filters(sample_rate: int) -> tuple[tuple[Tensor, Tensor], ...]:
    """Denominator and numerator of the shelf and of the high pass."""
    k = math.tan(math.pi * _SHELF_HZ / sample_rate)
    high = 10 ** (_SHELF_DB / 20)
    band = high**0.4996667741545416
    scale = 1 + k / _SHELF_Q + k * k
    shelf = (
        [1, 2 * (k * k - 1) / scale, (1 - k / _SHELF_Q + k * k) / scale],
        [
            (high + band * k / _SHELF_Q + k * k) / scale,
            2 * (k * k - high) / scale,
            (high - band * k / _SHELF_Q + k * k) / scale,
        ],
    )
    k = math.tan(math.pi * _HIGH_PASS_HZ / sample_rate)
    scale = 1 + k / _HIGH_PASS_Q + k * k
    high_pass = (
        [1, 2 * (k * k - 1) / scale, (1 - k / _HIGH_PASS_Q + k * k) / scale],
        [1, -2, 1],
    )
    return tuple(
        (torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64))
        for a, b in (shelf, high_pass)
    )
