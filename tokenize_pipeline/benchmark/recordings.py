"""The audio of a benchmark: recordings from files, or synthetic ones of mixed lengths.

Dimension key: C channels, S samples, F frequencies.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tokenize_pipeline.benchmark.settings import SHORTEST_SECONDS
from tokenize_pipeline.errors import ConfigurationError

SYNTHETIC_SECONDS = (1.0, 20.0)  # lengths of synthetic recordings

_SEED = 7
_LEVEL = 0.1  # root mean square of synthetic audio
_SYLLABLES_HZ = 4.0
_FORMANTS_HZ = (500.0, 1500.0, 2500.0)
_FORMANT_WIDTH_HZ = 250.0


def recordings_from_files(
    sources: Sequence[str], seconds: float, sample_rate: int, channels: int
) -> tuple[NDArray[np.float32], ...]:
    """Recordings [C, S] in a fixed shuffled order until `seconds` are reached, the last one cut.

    What cannot be decoded is left out.

    Args:
        sources: files, folders and globs; folders are searched.
        seconds: of audio in all, at most.
        sample_rate: Hz wanted.
        channels: channels wanted.

    Raises:
        ConfigurationError: there is no such source, no audio in it, or nothing to read it with.
    """
    try:
        from tokenize_pipeline.decode_ahead import DecodeAhead
        from tokenize_pipeline.sources import find_items, read_recordings
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"reading audio needs {error.name}, which is not installed; "
            "without AUDIO, synthetic recordings are used"
        ) from error
    items = [item for source in sources for item in find_items(source)]
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(_SEED))
    opened = (recording for index in order for recording in read_recordings(items[int(index)]))
    shortest, left = round(SHORTEST_SECONDS * sample_rate), round(seconds * sample_rate)
    kept = []
    with DecodeAhead(opened, sample_rate, channels) as decoded:
        for recording in decoded:
            audio_CS = _first_samples(recording, left)
            if recording.rejected is None and audio_CS.shape[1] >= shortest:
                kept.append(audio_CS)
                left -= audio_CS.shape[1]
            if left < shortest:
                break
    if not kept:
        raise ConfigurationError(f"none of the {len(items)} files given holds audio to time")
    return tuple(kept)


def synthetic_recordings(
    seconds: float, sample_rate: int, channels: int
) -> tuple[NDArray[np.float32], ...]:
    """Noise shaped like speech, float32 [C, S] of 1 to 20 s; the same lengths at every rate.

    Args:
        seconds: of audio in all.
        sample_rate: Hz.
        channels: of each recording.
    """
    generator = torch.Generator().manual_seed(_SEED)
    lengths = _synthetic_lengths(seconds, generator)
    return tuple(
        _babble(round(length * sample_rate), sample_rate, channels, generator).numpy()
        for length in lengths
    )


def _first_samples(blocks: Iterable[Tensor], limit: int) -> NDArray[np.float32]:
    """Up to `limit` samples of a recording; blocks beyond them are not decoded."""
    kept, num_samples = [], 0
    for block_CS in blocks:
        kept.append(block_CS.numpy())
        num_samples += block_CS.shape[1]
        if num_samples >= limit:
            break
    if not kept:
        return np.zeros((1, 0), dtype=np.float32)
    return np.ascontiguousarray(np.concatenate(kept, axis=1)[:, :limit])


def _synthetic_lengths(seconds: float, generator: torch.Generator) -> list[float]:
    shortest, longest = SYNTHETIC_SECONDS
    lengths: list[float] = []
    left = seconds
    while left >= SHORTEST_SECONDS:
        drawn = shortest + (longest - shortest) * float(torch.rand(1, generator=generator))
        lengths.append(min(drawn, left))
        left -= lengths[-1]
    return lengths


def _babble(samples: int, sample_rate: int, channels: int, generator: torch.Generator) -> Tensor:
    """Noise [C, S] through three resonances, louder and softer with every syllable."""
    noise_CS = torch.randn(channels, samples, generator=generator)
    hertz_F = torch.linspace(0, sample_rate / 2, samples // 2 + 1)
    distances_FF = (hertz_F - torch.tensor(_FORMANTS_HZ)[:, None]) / _FORMANT_WIDTH_HZ
    gain_F = (1 / (1 + distances_FF.square())).sum(dim=0)
    shaped_CS = torch.fft.irfft(torch.fft.rfft(noise_CS) * gain_F, n=samples)
    syllables = max(2, round(samples / sample_rate * _SYLLABLES_HZ))
    loudness = torch.rand(1, 1, syllables, generator=generator) ** 2
    envelope_CS: Tensor = functional.interpolate(loudness, samples, mode="linear")[0]
    voiced_CS = shaped_CS * envelope_CS
    louder_CS: Tensor = voiced_CS * (_LEVEL / voiced_CS.square().mean().sqrt())
    return louder_CS
