"""Measures of speech: how intelligible it stayed, how good it sounds. For speech only.

Both are computed on the mean of the channels and answer None instead of failing: on silence, on
clips too short, and where the library that computes them is not installed.

Dimension key: C channels, S samples.
"""

import importlib
import importlib.util
import math
import warnings

import numpy as np
import torchaudio.functional
from numpy.typing import NDArray
from torch import Tensor

from tokenize_pipeline.metrics import check_pair, is_silent

# STOI compares stretches of 0.4 s; from fewer than a few of them it says little.
STOI_SHORTEST_SECONDS = 1.5

PESQ_SAMPLE_RATE = 16_000
# ITU-T P.862 was made for 8 to 12 s, and its code holds no more than 50 utterances.
PESQ_LONGEST_SECONDS = 12.0
PESQ_SHORTEST_SECONDS = 3.0  # it was made for sentences; of a word or two it says nothing


def stoi(reference_CS: Tensor, decoded_CS: Tensor, sample_rate: int) -> float | None:
    """Short-time objective intelligibility, up to 1; higher is better.

    Mean correlation of short envelopes in third-octave bands at 10 kHz. None below 1.5 s, and if
    less than 0.4 s of the reference is neither silence nor 40 dB below its loudest frame.

    Source: Taal et al. 2011; computed by the package pystoi, which resamples to 10 kHz.
    """
    check_pair(reference_CS, decoded_CS)
    too_short = reference_CS.shape[-1] < STOI_SHORTEST_SECONDS * sample_rate
    if too_short or is_silent(reference_CS):
        return None
    reference_S, decoded_S = _mono(reference_CS), _mono(decoded_CS)
    pystoi = importlib.import_module("pystoi")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            score = float(pystoi.stoi(reference_S, decoded_S, sample_rate))
        except RuntimeWarning:  # too few frames were left without the silent ones
            return None
    return score if math.isfinite(score) else None


def pesq_wideband(reference_CS: Tensor, decoded_CS: Tensor, sample_rate: int) -> float | None:
    """Perceptual evaluation of speech quality, wideband, 1.04 to 4.64; higher is better.

    Of the first 12 s, at 16 kHz. None where either signal is silent or below 3 s, where no
    utterance is found, and where the package pesq is not installed.

    Source: ITU-T P.862.2; computed by the package pesq.
    """
    check_pair(reference_CS, decoded_CS)
    if reference_CS.shape[-1] < PESQ_SHORTEST_SECONDS * sample_rate:
        return None
    longest = int(PESQ_LONGEST_SECONDS * sample_rate)
    pair = [audio_CS[:, :longest] for audio_CS in (reference_CS, decoded_CS)]
    if importlib.util.find_spec("pesq") is None or any(is_silent(audio_CS) for audio_CS in pair):
        return None
    pesq = importlib.import_module("pesq")
    try:
        resampled = (_at_16_khz(audio_CS, sample_rate) for audio_CS in pair)
        score = float(pesq.pesq(PESQ_SAMPLE_RATE, *resampled, "wb"))
    except pesq.PesqError:  # too short, or without an utterance
        return None
    return score if math.isfinite(score) else None


def _mono(audio_CS: Tensor) -> NDArray[np.float64]:
    samples: NDArray[np.float64] = audio_CS.double().mean(dim=0).cpu().numpy()
    return samples


def _at_16_khz(audio_CS: Tensor, sample_rate: int) -> NDArray[np.float32]:
    mono_S = audio_CS.float().mean(dim=0)
    resampled_S = torchaudio.functional.resample(mono_S, sample_rate, PESQ_SAMPLE_RATE)
    samples: NDArray[np.float32] = resampled_S.cpu().numpy()
    return samples
