"""Manifests as NeMo, Kaldi's and Lhotse's users know them: one JSON object a line.

    {"audio_filepath": "a.wav", "offset": 1.5, "duration": 4.0, "text": "...", ...}

`audio_filepath` is a URL, an absolute path, or relative to the folder of the manifest. `offset` and
`duration` are seconds; without them the whole file is meant. Every key becomes metadata. The number
of the line, from 0, is the id, so that a file may be named as often as one likes.

A manifest is cut into ranges of lines that are shards by themselves, by the rule that groups files.
Of a long file with many segments only the segment is decoded where the format can be entered at any
sample (WAV, FLAC and the like); elsewhere all before it is decoded too.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from tokenize_pipeline import storage
from tokenize_pipeline.errors import AudioError
from tokenize_pipeline.grouping import items_per_shard
from tokenize_pipeline.records import (
    Recording,
    RejectedRecording,
    Segment,
    SourceEntry,
    SourceItem,
)

SUFFIXES = frozenset({".jsonl"})

_LONGEST_LINE_BYTES = 1 << 20
_BLANK = b" \t\r\n"


def split(item: SourceItem) -> Iterator[SourceItem]:
    """Ranges of lines, of as many recordings each as a shard of files has."""
    per_shard = items_per_shard(sum(1 for _ in _lines(item)))
    span = replace(item, recordings=0)
    count = 0
    for start, number, _ in _lines(item):
        if count == per_shard:
            yield replace(span, recordings=count, stop_byte=start)
            span, count = replace(span, start_byte=start, first_line=number), 0
        count += 1
    yield replace(span, recordings=count)


def read_recordings(item: SourceItem) -> Iterator[SourceEntry]:
    """The recordings of a range of lines."""
    for _, number, line in _lines(item):
        place = f"{number:06d}"
        item_id, source = f"{item.id}/{place}", f"{item.url}/{place}"
        try:
            yield _recording(item, item_id, source, line)
        except AudioError as error:
            yield RejectedRecording(item_id, source, error.code, error.detail)


def _lines(item: SourceItem) -> Iterator[tuple[int, int, bytes]]:
    """Position, number and content of the lines of a range that are not blank.

    Of a line too long to be one, only the beginning is read.
    """
    position, number = item.start_byte, item.first_line
    with storage.open_input(item.url) as file:
        file.seek(position)
        while item.stop_byte is None or position < item.stop_byte:
            line = start = file.readline(_LONGEST_LINE_BYTES)
            length = len(line)
            while start and not start.endswith(b"\n"):
                start = file.readline(_LONGEST_LINE_BYTES)
                length += len(start)
            if not line:
                return
            if line.strip(_BLANK):
                yield position, number, line
            position += length
            number += 1


def _recording(item: SourceItem, item_id: str, source: str, line: bytes) -> Recording:
    """The recording that a line describes.

    Raises:
        AudioError: it describes none.
    """
    entry = _entry(line)
    path = entry.get("audio_filepath")
    if not isinstance(path, str) or not path:
        raise AudioError("invalid_entry", "the line has no `audio_filepath`")
    url = storage.resolve(path, storage.folder_of(item.url))
    offset, duration = (_seconds(entry, name) for name in ("offset", "duration"))
    segment = None if offset is None and duration is None else Segment(offset or 0.0, duration)
    opener = partial(storage.open_input, url)
    return Recording(item_id, source, storage.name_of(url), opener, entry, segment)


def _entry(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise AudioError("invalid_entry", f"the line is no JSON: {error}") from error
    if not isinstance(entry, dict):
        raise AudioError("invalid_entry", "the line is no JSON object")
    return entry


def _seconds(entry: dict[str, Any], name: str) -> float | None:
    """A time of an entry; None where there is none."""
    value = entry.get(name)
    if value is None:
        return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0:
        raise AudioError("invalid_entry", f"`{name}` is {value!r}, not a number of seconds")
    return float(value)
