"""How far decoded audio is from its original: pure functions of two signals of one shape.

Every function returns a finite number, or None where its question has no answer because the
reference is silent. None of them warns. Memory grows with the length of the signals, so long
recordings are measured by excerpt.

Dimension key: C channels, S samples, F frequency bins, M mel bands, T frames.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
import torchaudio.functional
from torch import Tensor

from codec.errors import AudioShapeError
from tokenize_pipeline.loudness import loudness

# A reference below this level is silence: dither of 16-bit audio lies near -93 dB.
SILENCE_DB = -80.0

# Ratios are cut off here, far beyond what float32 audio can show, so that none is infinite.
LARGEST_RATIO_DB = 100.0

# Window 40 ms and 64 bands: the narrowest band still holds a frequency bin from 8 kHz upwards.
MEL_WINDOW_SECONDS = 0.04
MEL_HOP_SECONDS = 0.01
MEL_BANDS = 64
MEL_RANGE_DB = 80.0  # below the loudest band of the pair, everything counts as equally quiet
_MEL_FLOOR_POWER = 1e-10  # of full scale; keeps the logarithm of digital silence finite

# (transform, hop, window) in samples. Source: Yamamoto et al. 2020, "Parallel WaveGAN", table 1.
STFT_RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
_STFT_FLOOR_POWER = 1e-8

_SEAM_SAMPLES = 8  # before and after a border of chunks


def check_pair(reference_CS: Tensor, decoded_CS: Tensor) -> None:
    """Refuses signals that cannot be compared.

    Raises:
        AudioShapeError: not [C, S] of one shape, or without samples.
    """
    shapes = tuple(reference_CS.shape), tuple(decoded_CS.shape)
    if shapes[0] != shapes[1] or len(shapes[0]) != 2 or reference_CS.numel() == 0:
        raise AudioShapeError(
            f"a comparison needs two signals of one shape [channels, samples], got {shapes[0]} "
            f"and {shapes[1]}"
        )


def rms_level(audio_CS: Tensor) -> float:
    """Root mean square over all channels, in dB of full scale, at least -100."""
    power = float(audio_CS.double().square().mean())
    return 10 * math.log10(max(power, 10 ** (-LARGEST_RATIO_DB / 10)))


def is_silent(audio_CS: Tensor) -> bool:
    """Whether nothing but a constant and noise below `SILENCE_DB` is in it."""
    return rms_level(_centered(audio_CS)) < SILENCE_DB


def si_sdr(reference_CS: Tensor, decoded_CS: Tensor) -> float | None:
    """Scale-invariant signal-to-distortion ratio in dB; higher is nearer.

    10 log10(|a r|^2 / |a r - d|^2) with a = <d, r> / |r|^2, for reference r and decoded d after
    each channel lost its mean. All channels share one scale, so a wrong balance counts. Limited to
    -100 and 100 dB. None for a silent reference.

    Source: Le Roux et al. 2019, "SDR - half-baked or well done?", equation 5.
    """
    check_pair(reference_CS, decoded_CS)
    if is_silent(reference_CS):
        return None
    r, d = _centered(reference_CS).flatten(), _centered(decoded_CS).flatten()
    target = r * (torch.dot(d, r) / torch.dot(r, r))
    return _ratio_db(float(target.square().sum()), float((target - d).square().sum()))


def log_mel_distance(reference_CS: Tensor, decoded_CS: Tensor, sample_rate: int) -> float:
    """Mean absolute difference of two mel spectrograms in dB; lower is nearer.

    Power in 64 triangular bands (HTK mel scale, 0 Hz to half the rate) of a periodic Hann window of
    40 ms every 10 ms; 10 log10 of it, nothing lower than 80 dB below the loudest band and frame of
    the pair; |difference| averaged over bands, frames and channels. Symmetric. 0 for equal signals,
    n for a change of level by n dB, at most 80.

    Source: bands as in `torchaudio.functional.melscale_fbanks`.
    """
    check_pair(reference_CS, decoded_CS)
    powers = [_mel_power(audio_CS, sample_rate) for audio_CS in (reference_CS, decoded_CS)]
    loudest = max(float(power_CMT.max()) for power_CMT in powers)
    floor = max(loudest * 10 ** (-MEL_RANGE_DB / 10), _MEL_FLOOR_POWER)
    levels = [10 * power_CMT.clamp(min=floor).log10() for power_CMT in powers]
    return float((levels[0] - levels[1]).abs().mean())


def stft_distance(reference_CS: Tensor, decoded_CS: Tensor) -> float | None:
    """Multi-resolution STFT distance, without unit; lower is nearer.

    Per resolution ||R - D|| / ||R|| (spectral convergence, Frobenius norm) plus the mean of
    |ln R - ln D|, for magnitudes R and D of at least 1e-4; then the mean over three resolutions
    given in samples. None for a silent reference, of which nothing can be a fraction.

    Source: Yamamoto et al. 2020, "Parallel WaveGAN", equations 4 to 6.
    """
    check_pair(reference_CS, decoded_CS)
    if is_silent(reference_CS):
        return None
    distances = []
    for resolution in STFT_RESOLUTIONS:
        R, D = (_magnitudes(audio_CS, *resolution) for audio_CS in (reference_CS, decoded_CS))
        convergence = torch.linalg.vector_norm(R - D) / torch.linalg.vector_norm(R)
        distances.append(float(convergence + (R.log() - D.log()).abs().mean()))
    return sum(distances) / len(distances)


def loudness_difference(reference_CS: Tensor, decoded_CS: Tensor, sample_rate: int) -> float:
    """Loudness of the decoded audio minus that of the reference, in LU.

    0 for equal loudness, n for a change of level by n dB. See `loudness`.
    """
    check_pair(reference_CS, decoded_CS)
    return loudness(decoded_CS, sample_rate) - loudness(reference_CS, sample_rate)


def clipping(reference_CS: Tensor, decoded_CS: Tensor) -> float:
    """Percentage of decoded samples beyond full scale where the reference is within it.

    Decoded audio is floating point: these are the samples that saving it as integers would clip.
    """
    check_pair(reference_CS, decoded_CS)
    beyond = (decoded_CS.abs() > 1) & (reference_CS.abs() <= 1)
    return 100 * float(beyond.double().mean())


def seam_jump(reference_CS: Tensor, decoded_CS: Tensor, seams: Sequence[int]) -> float | None:
    """How much rougher the error is at the borders of chunks than elsewhere, in dB; 0 for no seams.

    The power of the first difference of decoded minus reference, within 8 samples of the borders
    against all of it; at most 100. None without a border inside, and without an error.

    Args:
        reference_CS: the original.
        decoded_CS: the same after the codec.
        seams: samples at which a chunk begins or ends.
    """
    check_pair(reference_CS, decoded_CS)
    samples = reference_CS.shape[-1]
    inside = [seam for seam in seams if _SEAM_SAMPLES <= seam < samples - _SEAM_SAMPLES]
    power_S = (decoded_CS - reference_CS).double().diff(dim=-1).square().mean(dim=0)
    if not inside or not bool(power_S.any()):
        return None
    at_seams = [power_S[seam - _SEAM_SAMPLES : seam + _SEAM_SAMPLES].mean() for seam in inside]
    return _ratio_db(float(torch.stack(at_seams).mean()), float(power_S.mean()))


def _centered(audio_CS: Tensor) -> Tensor:
    """Each channel without its mean, in double precision."""
    audio_CS = audio_CS.double()
    return audio_CS - audio_CS.mean(dim=-1, keepdim=True)


def _ratio_db(signal: float, distortion: float) -> float:
    largest = 10 ** (LARGEST_RATIO_DB / 10)
    if distortion >= signal * largest:  # also when both are 0: nothing of the reference is left
        return -LARGEST_RATIO_DB
    if signal >= distortion * largest:
        return LARGEST_RATIO_DB
    return 10 * math.log10(signal / distortion)


def power_spectra(audio_CS: Tensor, transform: int, hop: int, window: int) -> Tensor:
    """Power spectra [C, F, T], frames centered, zeros beyond the ends."""
    spectrum_CFT = torch.stft(
        audio_CS.float(),
        transform,
        hop,
        window,
        torch.hann_window(window),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    return spectrum_CFT.real.square() + spectrum_CFT.imag.square()


def _magnitudes(audio_CS: Tensor, transform: int, hop: int, window: int) -> Tensor:
    return power_spectra(audio_CS, transform, hop, window).clamp(min=_STFT_FLOOR_POWER).sqrt()


def _mel_power(audio_CS: Tensor, sample_rate: int) -> Tensor:
    """Power in mel bands [C, M, T]; a sine of full scale has about 1."""
    window = round(MEL_WINDOW_SECONDS * sample_rate)
    hop = round(MEL_HOP_SECONDS * sample_rate)
    power_CFT = power_spectra(audio_CS, window, hop, window)
    bands_FM = mel_bands(sample_rate, window // 2 + 1, MEL_BANDS)
    return (power_CFT.mT @ bands_FM).mT * (4 / window) ** 2


@lru_cache(maxsize=8)
def mel_bands(sample_rate: int, bins: int, bands: int) -> Tensor:
    """Triangular bands from 0 Hz to half the rate, [F, M], on the HTK mel scale."""
    bands_FM: Tensor = torchaudio.functional.melscale_fbanks(
        bins, 0, sample_rate / 2, bands, sample_rate
    )
    return bands_FM
