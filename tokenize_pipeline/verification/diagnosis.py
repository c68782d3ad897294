"""Why tokens differ from those that their audio gives: what went wrong, by its name.

Dimension key: C channels, S samples, K codebooks, T frames.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FARTHEST_SHIFT_FRAMES = 4
_SURE = 0.9  # of the codes that must agree once codebooks are put in order
_LIKELY = 0.5  # of the codes that must agree once they are moved in time: a codec has a memory
_CLEARER = 0.2  # by how much the correlation at another lag must be larger
_CORRELATED = 0.3  # below this a lag means nothing


@dataclass(frozen=True)
class Diagnosis:
    """A fault that explains the codes of a row."""

    code: str  # one of PROBLEM_CODES
    detail: str


def explain_codes(codes_KT: NDArray[np.uint16], true_KT: NDArray[np.int64]) -> Diagnosis | None:
    """What turns true codes into the ones that were found; None for anything else than that.

    Args:
        codes_KT: that were found.
        true_KT: of the audio encoded again, of the same shape.
    """
    order = _codebook_order(codes_KT, true_KT)
    if order is not None:
        moved = [index for index, place in enumerate(order) if index != place]
        detail = f"codebooks {', '.join(map(str, moved))} hold those of {_places(order, moved)}"
        return Diagnosis("codebooks_swapped", detail)
    shift = _shift_frames(codes_KT, true_KT)
    if shift:
        return Diagnosis("audio_shifted", _shift_text(shift))
    return None


def explain_audio(original_CS: Tensor, decoded_CS: Tensor, hop_samples: int) -> Diagnosis | None:
    """A shift in time, told from the decoded audio alone; None if there is none, or none is clear.

    Args:
        original_CS: the audio.
        decoded_CS: the same after the codec.
        hop_samples: of a frame.
    """
    farthest = FARTHEST_SHIFT_FRAMES * hop_samples
    correlation = _correlation(original_CS, decoded_CS, farthest)
    lag = int(correlation.argmax()) - farthest
    best, unmoved = float(correlation.max()), float(correlation[farthest])
    clear = best > max(_CORRELATED, unmoved + _CLEARER)
    if not clear or abs(lag) < hop_samples // 2:
        return None
    return Diagnosis("audio_shifted", f"{_shift_text(lag / hop_samples)} ({lag:+d} samples)")


def _codebook_order(
    codes_KT: NDArray[np.uint16], true_KT: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """Which true codebook each found one is, if they are all there and not in order."""
    agreement_KK = (codes_KT[:, None] == true_KT[None]).mean(axis=2)
    order = agreement_KK.argmax(axis=1)
    if len(set(order.tolist())) < len(order) or bool((order == np.arange(len(order))).all()):
        return None
    return order if bool((agreement_KK.max(axis=1) >= _SURE).all()) else None


def _shift_frames(codes_KT: NDArray[np.uint16], true_KT: NDArray[np.int64]) -> int:
    """By how many frames the codes come late; 0 if no shift explains them."""
    frames = codes_KT.shape[1]
    shifts = [s for s in _shifts() if abs(s) < frames // 2]
    if not shifts:
        return 0
    agreement = {s: _agreement(codes_KT, true_KT, s) for s in shifts}
    best = max(shifts, key=lambda shift: agreement[shift])
    unmoved = _agreement(codes_KT, true_KT, 0)
    return best if agreement[best] >= max(_LIKELY, unmoved + _CLEARER) else 0


def _shifts() -> list[int]:
    """The nearest first, so that the nearest wins a tie."""
    return [sign * far for far in range(1, FARTHEST_SHIFT_FRAMES + 1) for sign in (1, -1)]


def _agreement(codes_KT: NDArray[np.uint16], true_KT: NDArray[np.int64], late: int) -> float:
    frames = codes_KT.shape[1]
    found = codes_KT[:, max(0, late) : frames + min(0, late)]
    true = true_KT[:, max(0, -late) : frames - max(0, late)]
    return float((found == true).mean())


def _correlation(original_CS: Tensor, decoded_CS: Tensor, farthest: int) -> Tensor:
    """Normalized cross-correlation at lags of -farthest to farthest samples."""
    a, b = (audio_CS.double().mean(dim=0) for audio_CS in (original_CS, decoded_CS))
    a, b = a - a.mean(), b - b.mean()
    size = len(a) + farthest
    spectrum = torch.fft.rfft(a, size).conj() * torch.fft.rfft(b, size)
    lags: Tensor = torch.fft.irfft(spectrum, size).roll(farthest)[: 2 * farthest + 1]
    energy = (a.square().sum() * b.square().sum()).sqrt().clamp(min=1e-12)
    lags /= energy
    return lags


def _places(order: NDArray[np.int64], moved: list[int]) -> str:
    return ", ".join(str(order[index]) for index in moved)


def _shift_text(frames: float) -> str:
    count = f"{abs(frames):.3g} frame{'s' if abs(frames) != 1 else ''}"
    return f"{count} {'late' if frames > 0 else 'early'}"
