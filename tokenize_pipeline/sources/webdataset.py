"""WebDataset archives: tar files in which files of one name, but for the ending, belong together.

    utt1.flac utt1.json utt1.txt | utt2.flac utt2.json | ...

As WebDataset has it, the key of a file is its path up to the first dot of its name, and files of a
key stand beside each other. Every audio file is a recording. What else has its key is metadata: the
keys of a `.json` object become columns, the content of a `.txt` the column `text`, of any other
text file a column of its ending. Where a key has several audio files (`a.left.wav`, `a.right.wav`),
`a.left.json` is about the first alone and `a.json` about both.

Members are read in order and nothing is extracted. Links, devices and sparse files with names of
audio are rejected. Other files beside no audio are counted as ignored, those of a key that comes
again later among them.
"""

import io
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import IO, Any, BinaryIO, cast

from tokenize_pipeline import storage
from tokenize_pipeline.archive_stream import ArchiveStream
from tokenize_pipeline.errors import ArchiveError
from tokenize_pipeline.file_slice import FileSlice
from tokenize_pipeline.records import (
    IgnoredFile,
    Recording,
    RejectedRecording,
    SourceEntry,
    SourceItem,
)
from tokenize_pipeline.sources import files
from tokenize_pipeline.tar import TarMember, TarReader

SUFFIXES = frozenset({".tar", ".tar.gz", ".tgz", ".tar.zst"})

_IN_MEMORY_BYTES = 8 << 20  # larger members wait in a temporary file
_LARGEST_SIDECAR_BYTES = 1 << 20
_MOST_IN_A_GROUP = 64  # files of one key that are kept until it ends


def split(item: SourceItem) -> Iterator[SourceItem]:
    """An archive is a shard by itself."""
    yield replace(item, recordings=None)


def read_recordings(item: SourceItem) -> Iterator[SourceEntry]:
    """The recordings of an archive, in order; what it lacks as a last, rejected one."""
    with ArchiveStream(item.url) as stream:
        archive = _Archive(item, stream)
        try:
            yield from archive.entries()
        except ArchiveError as error:
            yield from archive.finish_group()
            yield RejectedRecording(item.id, item.url, error.code, error.detail)


class _Archive:
    """Puts the members of an archive together to recordings.

    Args:
        item: the archive.
        stream: its bytes.
    """

    def __init__(self, item: SourceItem, stream: ArchiveStream) -> None:
        self._item = item
        self._members = TarReader(stream)
        self._in_place = storage.is_local(item.url) and not stream.is_compressed
        self._key = ""
        self._audio: dict[str, Recording] = {}  # of the key, by ending
        self._sidecars: dict[str, str] = {}  # of the key, by ending

    def entries(self) -> Iterator[SourceEntry]:
        """What the archive holds, in order.

        Raises:
            ArchiveError: it ends or breaks here; the group of files before may be unfinished.
        """
        for member in self._members:
            key, ending = _key_and_ending(member.name)
            full = len(self._audio) + len(self._sidecars) >= _MOST_IN_A_GROUP
            if key != self._key or full or ending in self._audio:
                yield from self.finish_group()
                self._key = key
            yield from self._take(member, ending)
        yield from self.finish_group()

    def finish_group(self) -> Iterator[SourceEntry]:
        """The recordings of the key with their metadata, and what was beside none."""
        audio, sidecars = self._audio, self._sidecars
        self._audio, self._sidecars = {}, {}
        for ending, recording in audio.items():
            others = {_stem(other) for other in audio} - {_stem(ending)}
            own = {name: sidecars[name] for name in sidecars if _stem(name) not in others}
            yield replace(recording, metadata=_metadata(own, _stem(ending)))
        if not audio:
            yield from (self._ignored(f"{self._key}.{ending}") for ending in sidecars)

    def _take(self, member: TarMember, ending: str) -> Iterator[SourceEntry]:
        """Keep a member until its group is complete, or say what else becomes of it."""
        if member.kind == "folder":
            return
        if f".{ending}".lower().endswith(tuple(files.SUFFIXES)):
            source, item_id = f"{self._item.url}/{member.name}", f"{self._item.id}/{member.name}"
            if member.kind == "file":
                name, opener = storage.name_of(member.name), self._opener(member)
                self._audio[ending] = Recording(item_id, source, name, opener)
            else:
                detail = f"a {member.kind}; archives are read without extracting anything"
                yield RejectedRecording(item_id, source, "unsupported", detail)
        elif (text := self._text(member)) is not None and ending:
            self._sidecars[ending] = text
        else:
            yield self._ignored(member.name)

    def _text(self, member: TarMember) -> str | None:
        """The content of a small text file; None for any other."""
        if member.kind != "file" or member.size_bytes > _LARGEST_SIDECAR_BYTES:
            return None
        try:
            return b"".join(self._members.data()).decode("utf-8")
        except UnicodeDecodeError:
            return None

    def _opener(self, member: TarMember) -> Callable[[], BinaryIO]:
        """How to read a member later: where it is, or from a copy of what streams by."""
        if self._in_place:
            self._members.check_whole()
            return partial(_open_in_place, self._item.url, member.offset, member.size_bytes)
        is_small = member.size_bytes <= _IN_MEMORY_BYTES
        copy: IO[bytes] = io.BytesIO() if is_small else tempfile.TemporaryFile()  # noqa: SIM115
        for block in self._members.data():
            copy.write(block)
        copy.seek(0)
        return lambda: cast(BinaryIO, copy)  # closed by whoever reads it

    def _ignored(self, name: str) -> IgnoredFile:
        return IgnoredFile(f"{self._item.url}/{name}")


def _open_in_place(url: str, offset: int, size: int) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(FileSlice(storage.open_input(url), offset, size)))


def _key_and_ending(name: str) -> tuple[str, str]:
    """The path up to the first dot of the file name, and what follows that dot."""
    folder, slash, file_name = name.rpartition("/")
    stem, _, ending = file_name.partition(".")
    return (f"{folder}{slash}{stem}", ending) if stem else (name, "")


def _stem(ending: str) -> str:
    """`left` of `left.wav`; nothing of `wav`."""
    return ending.rpartition(".")[0]


def _metadata(sidecars: Mapping[str, str], stem: str) -> dict[str, Any]:
    """Columns from the files beside a recording.

    Args:
        sidecars: content by ending.
        stem: of the ending of the recording.
    """
    columns: dict[str, Any] = {}
    texts: dict[str, Any] = {}
    for ending, text in sidecars.items():
        is_main = _stem(ending) in ("", stem)
        name = ending.rpartition(".")[2] if is_main else ending
        value = _value(text, is_json=ending.lower().endswith("json"))
        if is_main and isinstance(value, dict):
            columns.update(value)
        else:
            texts["text" if name == "txt" else name] = value
    for name, value in texts.items():
        columns["txt" if name == "text" and "text" in columns else name] = value
    return columns


def _value(text: str, *, is_json: bool) -> Any:
    """JSON as values, anything else as text."""
    try:
        return json.loads(text) if is_json else text.strip("\r\n")
    except (ValueError, RecursionError):
        return text
