"""The beginning of a row: enough codes to hear it, and how much of it the codes decide.

What is decoded is a whole number of chunks, or of frames where there are no chunks, so that it is
the same as in the whole row:

    no chunks, causal   |== frames ==|......            decoded and encoded again: all of them
    chunks              |== chunk ==|
                                  |== chunk ==|
                                            |=|.....    the overlap of the next, decoded but not
                        |====== compared ==|            compared: the rest of it is missing
    neither             |========= whole row =========| nothing less decides a frame

Dimension key: K codebooks, T frames.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from codec.base import CodecSpec, EncodedAudio
from tokenize_pipeline.records import TokenRow
from tokenize_pipeline.verification.still_codes import StillRun

LONGEST_SECONDS = 30.0
SHORTEST_SECONDS = 1.0


@dataclass(frozen=True)
class Excerpt:
    """A stretch at the beginning of a row."""

    row_id: str
    part: str  # file name of the part that the row is in
    source: str  # of its recording
    start_sample: int  # of the row in its recording
    row_samples: int  # of the whole row
    ends_recording: bool  # no later row belongs to the recording
    codes: NDArray[np.uint16]  # [K, T]
    scales: NDArray[np.float32] | None
    coded_samples: int  # that the codes stand for
    num_samples: int  # of them to compare
    decided_frames: int  # at the beginning, that no later sample has a part in
    decided_scales: int  # likewise
    still: StillRun | None = None  # why the row is suspected of saying nothing

    @property
    def can_be_encoded(self) -> bool:
        """Whether its codes follow from what is read of its recording."""
        return self.start_sample == 0 and self.decided_frames > 0

    def shortened(self, spec: CodecSpec, longest_samples: int) -> "Excerpt":
        """The same with less to compare."""
        if self.num_samples <= longest_samples:
            return self
        there = _place(self.row_samples, spec, longest_samples)
        return replace(
            self,
            codes=self.codes[:, : there.frames],
            scales=None if self.scales is None else self.scales[: there.scales],
            coded_samples=there.coded_samples,
            num_samples=there.num_samples,
            decided_frames=there.decided_frames,
            decided_scales=there.decided_scales,
        )

    def encoded(self) -> EncodedAudio:
        """As the codec takes it."""
        codes_KT = torch.from_numpy(self.codes.astype(np.int64))
        scales = None if self.scales is None else torch.from_numpy(self.scales.copy())
        return EncodedAudio(codes_KT, scales, self.coded_samples)


@dataclass(frozen=True)
class _Cut:
    frames: int
    scales: int
    coded_samples: int
    num_samples: int
    decided_frames: int
    decided_scales: int


def cut(
    row: TokenRow,
    spec: CodecSpec,
    longest_samples: int,
    *,
    part: str = "",
    ends_recording: bool = True,
    still: StillRun | None = None,
) -> Excerpt:
    """The beginning of a row, no longer than it has to be. Copies no more codes than needed.

    Args:
        row: whose integrity was checked.
        spec: of the codec.
        longest_samples: to compare; a little less where frames or chunks end before.
        part: file name of the part that the row is in.
        ends_recording: no later row belongs to the recording.
        still: why the row is suspected of saying nothing.
    """
    there = _place(row.num_samples, spec, longest_samples)
    return Excerpt(
        row_id=row.id,
        part=part,
        source=row.source,
        start_sample=row.start_sample,
        row_samples=row.num_samples,
        ends_recording=ends_recording,
        codes=row.codes[:, : there.frames].copy(),
        scales=None if row.scales is None else row.scales[: there.scales].copy(),
        coded_samples=there.coded_samples,
        num_samples=there.num_samples,
        decided_frames=there.decided_frames,
        decided_scales=there.decided_scales,
        still=still,
    )


def _place(row_samples: int, spec: CodecSpec, longest_samples: int) -> _Cut:
    chunk, stride, hop = spec.chunk_samples, spec.stride_samples, spec.hop_samples
    frames, scales = spec.num_frames(row_samples), len(spec.chunk_lengths(row_samples))
    whole = _Cut(frames, scales, row_samples, row_samples, frames, scales)
    if row_samples <= longest_samples:
        return whole
    if chunk is not None and stride is not None:
        count = max(1, longest_samples // stride)
        coded = (count - 1) * stride + chunk
        if coded >= row_samples:
            return whole
        frames, scales = spec.num_frames(coded), len(spec.chunk_lengths(coded))
        decided = sum(spec.chunk_frames(coded)[:count])
        return _Cut(frames, scales, coded, count * stride, decided, count)
    if spec.causal:
        frames = max(1, longest_samples // hop)
        return _Cut(frames, scales, frames * hop, frames * hop, frames, scales)
    # Later samples have a part in every frame: all is decoded, and nothing less encoded again.
    return _Cut(frames, scales, row_samples, longest_samples, 0, 0)
