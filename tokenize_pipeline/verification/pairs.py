"""Recordings before and after the codec: originals read again beside rows decoded.

    source   |-------- start_sample ------->|=========== num_samples ===========|
    original                                |== excerpt ==|
    decoded                                 |== excerpt ==|

Rows no longer than the excerpt are decoded together, which is faster and gives the same audio. Of
longer rows only the beginning is decoded, in blocks, so memory does not grow with their length.

Dimension key: C channels, S samples, K codebooks, T frames.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from torch import Tensor

from codec import Codec, CodecError, CodecSpec, EncodedAudio
from tokenize_pipeline.audio import open_audio
from tokenize_pipeline.errors import AudioError
from tokenize_pipeline.records import SourceItem, TokenRow
from tokenize_pipeline.verification.originals import find_original
from tokenize_pipeline.verification.problems import Problem


@dataclass(frozen=True)
class SampledRow:
    """A row whose integrity was checked, and where it belongs."""

    row: TokenRow
    part: str  # file name of the part that it is in
    items: Sequence[SourceItem]  # files of its shard


@dataclass(frozen=True)
class Pair:
    """The same stretch of audio before and after the codec, at the codec's rate."""

    original: Tensor  # float32 [C, S]
    decoded: Tensor  # float32 [C, S]
    is_whole: bool  # the stretch is the whole recording


def decode_pairs(
    group: Sequence[SampledRow], codec: Codec, longest_seconds: float
) -> list[Pair | Problem]:
    """The beginning of each row before and after the codec, or why it cannot be had.

    Args:
        group: as many rows as memory has room for.
        codec: that made the codes.
        longest_seconds: of a beginning; shorter rows are compared whole.
    """
    longest_samples = round(longest_seconds * codec.spec.sample_rate)
    originals = [_read_original(sampled, codec.spec, longest_samples) for sampled in group]
    found = [(sampled.row, original) for sampled, original in zip(group, originals, strict=True)]
    readable = [row for row, original in found if isinstance(original, Tensor)]
    decoded = _decoded(readable, codec, longest_samples)
    return [
        _pair(row, original, next(decoded), longest_samples)
        if isinstance(original, Tensor)
        else original
        for row, original in found
    ]


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


def _read_original(sampled: SampledRow, spec: CodecSpec, longest_samples: int) -> Tensor | Problem:
    """The samples that a row stands for, up to `longest_samples`, and one more if there is one."""
    row = sampled.row
    length = min(row.num_samples, longest_samples)
    try:
        original = find_original(row, sampled.items)
        if isinstance(original, Problem):
            return original
        with original.open() as file:
            reader = open_audio(
                file, original.name, spec.sample_rate, spec.channels, original.segment
            )
            original_CS = take(reader.blocks(), row.start_sample, length + 1, spec.channels)
    except (AudioError, OSError) as error:
        return Problem("source_unavailable", row.id, f"{row.source}: {error}")
    if original_CS.shape[-1] < length:
        detail = f"{original_CS.shape[-1]} samples from sample {row.start_sample} on, not {length}"
        return Problem("source_too_short", row.id, detail)
    return original_CS


def _decoded(
    rows: Sequence[TokenRow], codec: Codec, longest_samples: int
) -> Iterator[Tensor | Problem]:
    """The first `longest_samples` of each row, or what the codec says against it."""
    short = [row for row in rows if row.num_samples <= longest_samples]
    together = _decoded_together(short, codec)
    for row in rows:
        whole_CS = next(together) if row.num_samples <= longest_samples else None
        yield _decoded_alone(row, codec, longest_samples) if whole_CS is None else whole_CS


def _decoded_together(rows: Sequence[TokenRow], codec: Codec) -> Iterator[Tensor | None]:
    """Each row whole; nothing of any where the codec refuses one, since it does not say which."""
    try:
        return iter(list(codec.decode_batch(map(encoded_audio, rows))))
    except CodecError:
        return repeat(None)


def _decoded_alone(row: TokenRow, codec: Codec, longest_samples: int) -> Tensor | Problem:
    try:
        blocks = codec.decode_stream(encoded_audio(row))
        return take(blocks, 0, min(row.num_samples, longest_samples), codec.spec.channels)
    except CodecError as error:
        return Problem("undecodable_row", row.id, str(error))


def _pair(
    row: TokenRow, original_CS: Tensor, decoded_CS: Tensor | Problem, longest_samples: int
) -> Pair | Problem:
    if isinstance(decoded_CS, Problem):
        return decoded_CS
    length = min(row.num_samples, longest_samples)
    if decoded_CS.shape[-1] != length:
        detail = f"{decoded_CS.shape[-1]} samples came out, {length} are in the row"
        return Problem("undecodable_row", row.id, detail)
    if not bool(decoded_CS.isfinite().all()):
        return Problem("decoded_not_finite", row.id, "the decoded audio is not finite")
    is_whole = row.start_sample == 0 and original_CS.shape[-1] == row.num_samples == length
    return Pair(original_CS[:, :length], decoded_CS, is_whole)
