"""From excerpts back to the recordings that they were made of, each file read once.

Dimension key: C channels, S samples.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from codec.base import CodecSpec
from tokenize_pipeline import storage
from tokenize_pipeline.audio import open_audio
from tokenize_pipeline.errors import AudioError
from tokenize_pipeline.records import Recording, SourceItem
from tokenize_pipeline.schema import stored_text
from tokenize_pipeline.sources import read_recordings
from tokenize_pipeline.verification.excerpts import Excerpt
from tokenize_pipeline.verification.problems import Problem


@dataclass(frozen=True)
class Original:
    """What an excerpt was made of."""

    audio: Tensor  # float32 [C, S], from the start of the row as far as the excerpt's codes reach
    samples_after: int | None  # of the recording behind the row; None where not looked at


def read_originals(
    excerpts: Sequence[Excerpt], items: Iterable[SourceItem], spec: CodecSpec
) -> list[Original | Problem]:
    """The original of each excerpt, or why it cannot be had.

    Args:
        excerpts: of one shard.
        items: files of that shard.
        spec: of the codec, at whose rate and with whose channels the audio is read.
    """
    wanted: dict[str, list[Excerpt]] = defaultdict(list)
    for excerpt in excerpts:
        wanted[excerpt.source].append(excerpt)
    found: dict[tuple[str, int], Original | Problem] = {}
    for item in items:
        here = [source for source in wanted if source.startswith(stored_text(item.url))]
        if here:
            for source, originals in _read_item(item, {s: wanted[s] for s in here}, spec):
                starts = (excerpt.start_sample for excerpt in wanted.pop(source))
                found.update(((source, s), o) for s, o in zip(starts, originals, strict=True))
    return [found.get((e.source, e.start_sample)) or _not_planned(e) for e in excerpts]


def _read_item(
    item: SourceItem, wanted: Mapping[str, Sequence[Excerpt]], spec: CodecSpec
) -> Iterator[tuple[str, list[Original | Problem]]]:
    """The wanted recordings of a file, as far as they are there."""
    problem = _changed(item)
    left = set(wanted)
    try:
        for entry in () if problem is not None else read_recordings(item):
            source = stored_text(entry.source)
            if source in left and isinstance(entry, Recording):
                left.remove(source)
                yield source, _read(entry, wanted[source], spec)
            if not left:
                return
    except (AudioError, OSError) as error:
        problem = "source_unavailable", str(error)
    if problem is not None:
        for source in sorted(left):
            yield source, [_problem(excerpt, *problem) for excerpt in wanted[source]]


def _read(
    recording: Recording, excerpts: Sequence[Excerpt], spec: CodecSpec
) -> list[Original | Problem]:
    """What one recording was for its excerpts."""
    spans = [range(e.start_sample, e.start_sample + e.coded_samples) for e in excerpts]
    to_the_end = any(excerpt.ends_recording for excerpt in excerpts)
    try:
        with recording.open() as file:
            reader = open_audio(
                file, recording.name, spec.sample_rate, spec.channels, recording.segment
            )
            blocks = reader.blocks()
            stretches, num_samples = take(blocks, spans, spec.channels, to_the_end=to_the_end)
    except (AudioError, OSError) as error:
        detail = f"{recording.source}: {error}"
        return [_problem(excerpt, "source_unavailable", detail) for excerpt in excerpts]
    return [
        _original(excerpt, audio_CS, num_samples if to_the_end else None)
        for excerpt, audio_CS in zip(excerpts, stretches, strict=True)
    ]


def take(
    blocks: Iterable[Tensor], spans: Sequence[range], channels: int, *, to_the_end: bool
) -> tuple[list[Tensor], int]:
    """Stretches of a signal that comes in blocks [C, S], and the samples that were read.

    Args:
        blocks: the signal; no more than one is held besides the stretches.
        spans: half-open ranges of samples; a stretch is shorter where the signal ends before.
        channels: of the signal.
        to_the_end: read on when all stretches are there.
    """
    kept = [[torch.zeros(channels, 0)] for _ in spans]
    last = max(span.stop for span in spans)
    position = 0
    for block_CS in blocks:
        end = position + block_CS.shape[-1]
        for span, pieces in zip(spans, kept, strict=True):
            first, stop = max(span.start, position), min(span.stop, end)
            if first < stop:
                pieces.append(block_CS[:, first - position : stop - position])
        position = end
        if position >= last and not to_the_end:
            break
    return [torch.cat(pieces, dim=-1) for pieces in kept], position


def _original(excerpt: Excerpt, audio_CS: Tensor, num_samples: int | None) -> Original | Problem:
    row_end = excerpt.start_sample + excerpt.row_samples
    missing = excerpt.coded_samples - audio_CS.shape[-1]
    if num_samples is not None and excerpt.ends_recording:
        missing = max(missing, row_end - num_samples)
    if missing > 0:
        detail = f"{missing} of the {excerpt.row_samples} samples of the row are not there"
        return _problem(excerpt, "source_too_short", detail)
    after = None if num_samples is None or not excerpt.ends_recording else num_samples - row_end
    return Original(audio_CS, after)


def _changed(item: SourceItem) -> tuple[str, str] | None:
    """A problem code and its detail, if the file is not the one that was planned."""
    info = storage.file_info(item.url)
    if info is None:
        return "source_unavailable", f"{item.url} is not there any more"
    if info.size_bytes != item.size_bytes:
        detail = f"{item.url} has {info.size_bytes} bytes, the plan says {item.size_bytes}"
        return "source_changed", detail
    return None


def _not_planned(excerpt: Excerpt) -> Problem:
    return _problem(excerpt, "source_unavailable", f"the plan has no {excerpt.source}")


def _problem(excerpt: Excerpt, code: str, detail: str) -> Problem:
    return Problem(code, excerpt.row_id, detail)
