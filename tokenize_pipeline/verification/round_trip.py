"""The round trip of excerpts: decoded beside their originals, measured, encoded again.

    excerpts -> groups -> pairs -> [ scores, codes of the original again ] -> round trips

Excerpts go through the codec in groups, since many recordings side by side take it much less time
than one after another. What comes out is the same in any group. A group is bounded in memory.

Dimension key: K codebooks, T frames.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from codec import Codec, CodecSpec, EncodedAudio
from tokenize_pipeline.records import SourceItem
from tokenize_pipeline.verification.diagnosis import Diagnosis, explain_audio, explain_codes
from tokenize_pipeline.verification.excerpts import Excerpt
from tokenize_pipeline.verification.limits import (
    LARGEST_REENCODE_MISMATCH,
)
from tokenize_pipeline.verification.pairs import Pair, decode_pairs
from tokenize_pipeline.verification.problems import Problem
from tokenize_pipeline.verification.scorecard import Scores, score
from tokenize_pipeline.verification.still_codes import StillRun

GROUP_BYTES = 64 << 20  # of codes, of originals and of decoded audio together


@dataclass(frozen=True)
class EncodedAgain:
    """The tokens of an excerpt beside those of its original encoded again."""

    codes_compared: int
    codes_differing: int
    scale_error: float  # the largest of any chunk, as a fraction of its true scale; 0 without

    @property
    def share_differing(self) -> float:
        """Fraction of codes that differ."""
        return self.codes_differing / max(1, self.codes_compared)

    @property
    def agrees(self) -> bool:
        """Whether rounding explains what differs."""
        return self.share_differing <= LARGEST_REENCODE_MISMATCH


@dataclass(frozen=True)
class RoundTrip:
    """What was measured of one row. About a kilobyte."""

    id: str
    part: str
    start_sample: int  # of the row in its recording, at the codec's rate
    seconds: float  # of audio compared
    scores: Scores
    again: EncodedAgain | None  # None where the row alone does not decide its codes
    diagnosis: Diagnosis | None = None  # a fault that explains the codes
    still: StillRun | None = None  # why the row was suspected of saying nothing
    samples_after: int = 0  # of its recording, that no row stands for


def measure(
    excerpts: Iterable[Excerpt], items: Sequence[SourceItem], codec: Codec
) -> Iterator[RoundTrip | Problem]:
    """Round trips of excerpts, or why there is none, in the order they came.

    Args:
        excerpts: of one shard, all with the same number of codebooks.
        items: files of that shard.
        codec: that made the codes.
    """
    for group in _groups(excerpts, codec.spec):
        yield from _measured(group, items, codec)  # which holds no audio when the next is read


def _measured(
    group: Sequence[Excerpt], items: Sequence[SourceItem], codec: Codec
) -> Iterator[RoundTrip | Problem]:
    pairs = decode_pairs(group, items, codec)
    encoded = _encoded_again(group, pairs, codec)
    for excerpt, pair in zip(group, pairs, strict=True):
        if isinstance(pair, Problem):
            yield pair
        else:
            again = next(encoded) if excerpt.can_be_encoded else None
            yield _round_trip(excerpt, pair, again, codec.spec)


def _round_trip(
    excerpt: Excerpt, pair: Pair, encoded: EncodedAudio | None, spec: CodecSpec
) -> RoundTrip:
    again = None if encoded is None else _compared(excerpt, encoded)
    return RoundTrip(
        id=excerpt.row_id,
        part=excerpt.part,
        start_sample=excerpt.start_sample,
        seconds=pair.original.shape[-1] / spec.sample_rate,
        scores=score(pair.original, pair.decoded, spec),
        again=again,
        diagnosis=_diagnosis(excerpt, pair, encoded, again, spec),
        still=excerpt.still,
        samples_after=pair.samples_after or 0,
    )


def _diagnosis(
    excerpt: Excerpt,
    pair: Pair,
    encoded: EncodedAudio | None,
    again: EncodedAgain | None,
    spec: CodecSpec,
) -> Diagnosis | None:
    """A name for what is wrong, looked for where codes differ or cannot be compared."""
    if again is not None and again.agrees:
        return None
    found = None
    if encoded is not None:
        frames = excerpt.decided_frames
        found = explain_codes(excerpt.codes[:, :frames], encoded.codes.numpy()[:, :frames])
    return found or explain_audio(pair.original, pair.decoded, spec.hop_samples)


def _groups(excerpts: Iterable[Excerpt], spec: CodecSpec) -> Iterator[list[Excerpt]]:
    """Excerpts in groups of at most `GROUP_BYTES`, and of at least one."""
    group: list[Excerpt] = []
    size_bytes = 0
    for one in excerpts:
        # float32, before and after
        one_bytes = one.codes.nbytes + 2 * 4 * spec.channels * one.coded_samples
        if group and size_bytes + one_bytes > GROUP_BYTES:
            yield group
            group, size_bytes = [], 0
        group.append(one)
        size_bytes += one_bytes
    if group:
        yield group


def _encoded_again(
    group: Sequence[Excerpt], pairs: Sequence[Pair | Problem], codec: Codec
) -> Iterator[EncodedAudio]:
    """The tokens of each original that decides them."""
    originals = (
        pair.coded
        for excerpt, pair in zip(group, pairs, strict=True)
        if isinstance(pair, Pair) and excerpt.can_be_encoded
    )
    return codec.encode_stream(originals, num_codebooks=group[0].codes.shape[0])


def _compared(excerpt: Excerpt, again: EncodedAudio) -> EncodedAgain:
    frames = excerpt.decided_frames
    codes_KT = excerpt.codes[:, :frames]
    differing = int((again.codes.numpy()[:, :frames] != codes_KT).sum())
    return EncodedAgain(codes_KT.size, differing, _scale_error(excerpt, again))


def _scale_error(excerpt: Excerpt, again: EncodedAudio) -> float:
    if excerpt.scales is None or again.scales is None:
        return 0.0
    count = excerpt.decided_scales
    found, true = excerpt.scales[:count], again.scales.numpy()[:count]
    return float((np.abs(found - true) / true).max())
