"""Codes that do not change for a while: silence, a steady tone, or tokens that say nothing.

Dimension key: K codebooks, T frames, S samples.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from codec import Codec, CodecSpec
from tokenize_pipeline.records import TokenRow

STILL_SECONDS = 2.0  # all codebooks together; speech changes its codes at every frame
STILL_CODEBOOK_SECONDS = 4.0  # one codebook, while others go on
SHORTEST_STILL_SECONDS = 0.5  # of a row that never changes at all
_SILENT_SCALE = 1e-6  # digital silence has a scale of 1e-8
_SILENCE_SECONDS = 3.0  # after which a codec has forgotten how it began


@dataclass(frozen=True)
class StillRun:
    """The longest stretch of a row in which codes do not change."""

    first_frame: int
    frames: int
    codebook: int | None  # None: all of them
    is_silence: bool

    def text(self, spec: CodecSpec) -> str:
        """For people: what repeats, for how long, from where on."""
        what = "all codes" if self.codebook is None else f"the code of codebook {self.codebook}"
        rate = spec.frames_per_second
        seconds, first = self.frames / rate, self.first_frame / rate
        return f"{what} the same for {seconds:.1f} s from {first:.1f} s on"


def silence_codes(codec: Codec, num_codebooks: int) -> frozenset[bytes]:
    """What a codec makes of digital silence: its frames, as bytes of uint16 [K]."""
    spec = codec.spec
    silence_CS = torch.zeros(spec.channels, round(_SILENCE_SECONDS * spec.sample_rate))
    codes_KT = codec.encode(silence_CS, num_codebooks).codes.numpy().astype(np.uint16)
    middle = codes_KT[:, codes_KT.shape[1] // 3 : -codes_KT.shape[1] // 3 or None]
    return frozenset(np.ascontiguousarray(column).tobytes() for column in middle.T)


def find_still_run(row: TokenRow, spec: CodecSpec, silence: frozenset[bytes]) -> StillRun | None:
    """The stretch of a sound row that stands still for suspiciously long; None if none does.

    Args:
        row: whose integrity was checked.
        spec: of the codec.
        silence: of `silence_codes`; empty where the codec is not at hand.
    """
    codes_KT, rate = row.codes, spec.frames_per_second
    frames = codes_KT.shape[1]
    if frames < SHORTEST_STILL_SECONDS * rate:
        return None
    changes_KT = codes_KT[:, 1:] != codes_KT[:, :-1]
    first, length = _longest_run(changes_KT.any(axis=0))
    if length >= min(STILL_SECONDS * rate, frames):
        return StillRun(first, length, None, _is_silence(row, spec, first, silence))
    for codebook, changes_T in enumerate(changes_KT):
        first, length = _longest_run(changes_T)
        if length >= min(STILL_CODEBOOK_SECONDS * rate, frames):
            return StillRun(first, length, codebook, is_silence=False)
    return None


def _longest_run(changes_T: NDArray[np.bool_]) -> tuple[int, int]:
    """First frame and number of frames of the longest stretch without a change between frames."""
    ends = np.concatenate([np.flatnonzero(changes_T), [len(changes_T)]])
    lengths = np.diff(ends, prepend=-1)
    longest = int(lengths.argmax())
    return int(ends[longest] - lengths[longest] + 1), int(lengths[longest])


def _is_silence(row: TokenRow, spec: CodecSpec, frame: int, silence: frozenset[bytes]) -> bool:
    if row.scales is not None and spec.normalizes:
        ends = np.cumsum(spec.chunk_frames(row.num_samples))
        chunk = int(np.searchsorted(ends, frame, side="right"))
        return bool(row.scales[chunk] <= _SILENT_SCALE)
    return np.ascontiguousarray(row.codes[:, frame]).tobytes() in silence
