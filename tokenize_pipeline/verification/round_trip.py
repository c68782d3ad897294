"""The round trip of one row: its original read again, its tokens decoded, the two compared.

    source   |-------- start_sample ------->|=========== num_samples ===========|
    original                                |== excerpt ==|
    decoded                                 |== excerpt ==|

Long rows are compared by their first `EXCERPT_SECONDS`, so memory does not grow with their length.

Dimension key: C channels, S samples, K codebooks, T frames.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from codec import Codec, CodecError, EncodedAudio
from tokenize_pipeline.audio import open_audio
from tokenize_pipeline.errors import AudioError
from tokenize_pipeline.records import SourceItem, TokenRow
from tokenize_pipeline.verification.limits import (
    LARGEST_REENCODE_MISMATCH,
    LARGEST_SCALE_ERROR,
)
from tokenize_pipeline.verification.originals import find_original
from tokenize_pipeline.verification.problems import Problem
from tokenize_pipeline.verification.scorecard import Scores, score

EXCERPT_SECONDS = 30.0


@dataclass(frozen=True)
class Pair:
    """The same stretch of audio before and after the codec, at the codec's rate."""

    original: Tensor  # float32 [C, S]
    decoded: Tensor  # float32 [C, S]
    is_whole: bool  # the stretch is the whole recording


@dataclass(frozen=True)
class RoundTrip:
    """What was measured of one row."""

    id: str
    part: str
    start_sample: int  # of the row in its recording, at the codec's rate
    seconds: float  # of audio compared
    scores: Scores
    again: "EncodedAgain | None"  # None where only a stretch of the recording was compared

    @property
    def problem(self) -> Problem | None:
        """What encoding again showed, if rounding does not explain it."""
        if self.again is None:
            return None
        if self.again.share_differing > LARGEST_REENCODE_MISMATCH:
            figures = f"{self.again.codes_differing} of {self.again.codes_compared} codes differ"
            detail = f"{figures} ({self.again.share_differing:.1%})"
            return Problem("reencode_mismatch", self.id, detail)
        if self.again.scale_error > LARGEST_SCALE_ERROR:
            detail = f"a scale is off by {self.again.scale_error:.1%}"
            return Problem("scales_differ", self.id, detail)
        return None


@dataclass(frozen=True)
class EncodedAgain:
    """The tokens of a row beside those of its original encoded again."""

    codes_compared: int
    codes_differing: int
    scale_error: (
        float  # the largest of any chunk, as a fraction of its true scale; 0 without scales
    )

    @property
    def share_differing(self) -> float:
        """Fraction of codes that differ."""
        return self.codes_differing / max(1, self.codes_compared)


def measure_row(
    row: TokenRow, items: Iterable[SourceItem], part: str, codec: Codec
) -> RoundTrip | Problem:
    """Round trip of a row whose integrity was checked, or why there is none.

    Args:
        row: the tokens.
        items: files of the shard of the row.
        part: file name of the part that the row is in.
        codec: that made the codes.
    """
    pair = decode_pair(row, items, codec, EXCERPT_SECONDS)
    if isinstance(pair, Problem):
        return pair
    return RoundTrip(
        id=row.id,
        part=part,
        start_sample=row.start_sample,
        seconds=pair.original.shape[-1] / codec.spec.sample_rate,
        scores=score(pair.original, pair.decoded, codec.spec.sample_rate),
        again=_encode_again(row, pair, codec) if pair.is_whole else None,
    )


def decode_pair(
    row: TokenRow, items: Iterable[SourceItem], codec: Codec, longest_seconds: float
) -> Pair | Problem:
    """The beginning of a row before and after the codec, or why it cannot be had."""
    length = min(row.num_samples, round(longest_seconds * codec.spec.sample_rate))
    original_CS = _read_original(row, items, codec, length + 1)
    if isinstance(original_CS, Problem):
        return original_CS
    if original_CS.shape[-1] < length:
        detail = f"{original_CS.shape[-1]} samples from sample {row.start_sample} on, not {length}"
        return Problem("source_too_short", row.id, detail)
    decoded_CS = _decode(row, codec, length)
    if isinstance(decoded_CS, Problem):
        return decoded_CS
    is_whole = row.start_sample == 0 and original_CS.shape[-1] == row.num_samples
    return Pair(original_CS[:, :length], decoded_CS, is_whole)


def take(blocks: Iterable[Tensor], start: int, length: int, channels: int) -> Tensor:
    """Samples [start, start + length) of a signal in blocks [C, S]; fewer where it ends before.

    Reads no further than needed, and holds no more than a block besides what it returns.
    """
    kept = [torch.zeros(channels, 0)]
    position = 0
    for block_CS in blocks:
        first = max(0, start - position)
        kept.append(block_CS[:, first : max(first, start + length - position)])
        position += block_CS.shape[-1]
        if position >= start + length:
            break
    return torch.cat(kept, dim=-1)


def encoded_audio(row: TokenRow) -> EncodedAudio:
    """A row as the codec takes it."""
    codes_KT = torch.from_numpy(row.codes.astype(np.int64))
    scales = None if row.scales is None else torch.from_numpy(row.scales.copy())
    return EncodedAudio(codes_KT, scales, row.num_samples)


def _read_original(
    row: TokenRow, items: Iterable[SourceItem], codec: Codec, length: int
) -> Tensor | Problem:
    spec = codec.spec
    try:
        original = find_original(row, items)
        if isinstance(original, Problem):
            return original
        with original.open() as file:
            reader = open_audio(file, original.name, spec.sample_rate, spec.channels)
            return take(reader.blocks(), row.start_sample, length, spec.channels)
    except (AudioError, OSError) as error:
        return Problem("source_unavailable", row.id, f"{row.source}: {error}")


def _decode(row: TokenRow, codec: Codec, length: int) -> Tensor | Problem:
    try:
        blocks: Iterator[Tensor] = codec.decode_stream(encoded_audio(row))
        decoded_CS = take(blocks, 0, length, codec.spec.channels)
    except CodecError as error:
        return Problem("undecodable_row", row.id, str(error))
    if decoded_CS.shape[-1] != length:
        detail = f"{decoded_CS.shape[-1]} samples came out, {length} are in the row"
        return Problem("undecodable_row", row.id, detail)
    if not bool(decoded_CS.isfinite().all()):
        return Problem("decoded_not_finite", row.id, "the decoded audio is not finite")
    return decoded_CS


def _encode_again(row: TokenRow, pair: Pair, codec: Codec) -> EncodedAgain:
    again = codec.encode(pair.original, num_codebooks=row.codes.shape[0])
    scale_error = 0.0
    if row.scales is not None and again.scales is not None:
        true_scales = again.scales.numpy()
        scale_error = float((np.abs(row.scales - true_scales) / true_scales).max())
    differing = int((again.codes.numpy() != row.codes).sum())
    return EncodedAgain(row.codes.size, differing, scale_error)
