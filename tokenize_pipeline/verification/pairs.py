"""Recordings before and after the codec: originals read again beside excerpts decoded together.

    source   |-------- start_sample ------->|========= row ==========|
    original                                |== excerpt ==|
    decoded                                 |== excerpt ==|

Dimension key: C channels, S samples.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from codec import Codec, CodecError
from tokenize_pipeline.records import SourceItem
from tokenize_pipeline.verification.excerpts import Excerpt
from tokenize_pipeline.verification.originals import Original, read_originals
from tokenize_pipeline.verification.problems import Problem


@dataclass(frozen=True)
class Pair:
    """The same stretch of audio before and after the codec, at the codec's rate."""

    original: Tensor  # float32 [C, S]
    decoded: Tensor  # float32 [C, S]
    coded: Tensor  # float32 [C, S]; the original as far as the excerpt's codes reach
    samples_after: int | None  # of the recording behind its last row; None where not looked at


def decode_pairs(
    excerpts: Sequence[Excerpt], items: Iterable[SourceItem], codec: Codec
) -> list[Pair | Problem]:
    """Each excerpt before and after the codec, or why it cannot be had.

    Args:
        excerpts: of one shard, as many as memory has room for.
        items: files of that shard.
        codec: that made the codes.
    """
    originals = read_originals(excerpts, items, codec.spec)
    found = list(zip(excerpts, originals, strict=True))
    decoded = _decoded([one for one, original in found if isinstance(original, Original)], codec)
    return [
        _pair(excerpt, original, next(decoded)) if isinstance(original, Original) else original
        for excerpt, original in found
    ]


def _decoded(excerpts: Sequence[Excerpt], codec: Codec) -> Iterator[Tensor | Problem]:
    """All of them together; one by one where the codec refuses one, since it does not say which."""
    try:
        yield from list(codec.decode_batch(excerpt.encoded() for excerpt in excerpts))
    except CodecError:
        yield from (_decoded_alone(excerpt, codec) for excerpt in excerpts)


def _decoded_alone(excerpt: Excerpt, codec: Codec) -> Tensor | Problem:
    try:
        return codec.decode(excerpt.encoded())
    except CodecError as error:
        return Problem("undecodable_row", excerpt.row_id, str(error))


def _pair(excerpt: Excerpt, original: Original, decoded_CS: Tensor | Problem) -> Pair | Problem:
    if isinstance(decoded_CS, Problem):
        return decoded_CS
    length = excerpt.num_samples
    if decoded_CS.shape[-1] != excerpt.coded_samples:
        detail = (
            f"{decoded_CS.shape[-1]} samples came out, the codes stand for {excerpt.coded_samples}"
        )
        return Problem("undecodable_row", excerpt.row_id, detail)
    if not bool(decoded_CS.isfinite().all()):
        return Problem("decoded_not_finite", excerpt.row_id, "the decoded audio is not finite")
    audio_CS = original.audio
    return Pair(audio_CS[:, :length], decoded_CS[:, :length], audio_CS, original.samples_after)
