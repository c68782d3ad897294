"""The round trip of rows: decoded beside their originals, measured, encoded again.

    sampled rows -> groups -> pairs -> [ scores, codes of the original again ] -> round trips

Rows go through the codec in groups, since many recordings side by side take it much less time than
one after another. What comes out is the same in any group. A group is bounded in memory, and long
rows are compared by their first `EXCERPT_SECONDS`, so memory does not grow with their length.

Dimension key: K codebooks, T frames.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from codec import Codec, CodecSpec, EncodedAudio
from tokenize_pipeline.records import TokenRow
from tokenize_pipeline.verification.limits import (
    LARGEST_REENCODE_MISMATCH,
    LARGEST_SCALE_ERROR,
)
from tokenize_pipeline.verification.pairs import Pair, SampledRow, decode_pairs
from tokenize_pipeline.verification.problems import Problem
from tokenize_pipeline.verification.scorecard import Scores, score

EXCERPT_SECONDS = 30.0
GROUP_BYTES = 64 << 20  # of codes, of originals and of decoded audio together


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


def measure_rows(sampled: Iterable[SampledRow], codec: Codec) -> Iterator[RoundTrip | Problem]:
    """Round trips of rows, or why there is none, in the order they came.

    Args:
        sampled: all with the same number of codebooks.
        codec: that made the codes.
    """
    for group in _groups(sampled, codec.spec):
        yield from _measured(group, codec)  # which holds no audio when the next group is read


def _measured(group: Sequence[SampledRow], codec: Codec) -> Iterator[RoundTrip | Problem]:
    pairs = decode_pairs(group, codec, EXCERPT_SECONDS)
    encoded = _encoded_again(group, pairs, codec)
    for one, pair in zip(group, pairs, strict=True):
        if isinstance(pair, Problem):
            yield pair
            continue
        yield RoundTrip(
            id=one.row.id,
            part=one.part,
            start_sample=one.row.start_sample,
            seconds=pair.original.shape[-1] / codec.spec.sample_rate,
            scores=score(pair.original, pair.decoded, codec.spec.sample_rate),
            again=_compared(one.row, next(encoded)) if pair.is_whole else None,
        )


def _groups(sampled: Iterable[SampledRow], spec: CodecSpec) -> Iterator[list[SampledRow]]:
    """Rows in groups of at most `GROUP_BYTES`, and of at least one."""
    group: list[SampledRow] = []
    size_bytes = 0
    for one in sampled:
        row = one.row
        samples = spec.channels * min(row.num_samples, round(EXCERPT_SECONDS * spec.sample_rate))
        row_bytes = row.codes.nbytes + 2 * 4 * samples  # float32, before and after
        if group and size_bytes + row_bytes > GROUP_BYTES:
            yield group
            group, size_bytes = [], 0
        # A copy, since the codes of a row are a view of those of all rows that were read with it.
        group.append(replace(one, row=replace(row, codes=row.codes.copy())))
        size_bytes += row_bytes
    if group:
        yield group


def _encoded_again(
    group: Sequence[SampledRow], pairs: Sequence[Pair | Problem], codec: Codec
) -> Iterator[EncodedAudio]:
    """The tokens of each original that was compared whole."""
    wholes = (pair.original for pair in pairs if isinstance(pair, Pair) and pair.is_whole)
    return codec.encode_stream(wholes, num_codebooks=group[0].row.codes.shape[0])


def _compared(row: TokenRow, again: EncodedAudio) -> EncodedAgain:
    scale_error = 0.0
    if row.scales is not None and again.scales is not None:
        true_scales = again.scales.numpy()
        scale_error = float((np.abs(row.scales - true_scales) / true_scales).max())
    differing = int((again.codes.numpy() != row.codes).sum())
    return EncodedAgain(row.codes.size, differing, scale_error)
