"""Where recordings come from: one file of this package a format, found by its name.

A format is a module with

    SUFFIXES                  how names of files in that format end
    split(item)               a file as items: itself, or ranges of it that make shards of their own
    read_recordings(item)     what an item holds, in order, with bounded memory

`find_items` turns what the user typed (file, folder, glob; any fsspec URL) into items, and
`read_recordings` reads an item by the format that its name ends with.
"""

import hashlib
import importlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Protocol, cast

from tokenize_pipeline import storage
from tokenize_pipeline.errors import ConfigurationError
from tokenize_pipeline.records import Recording, RejectedRecording, SourceEntry, SourceItem

_GLOB_CHARACTERS = frozenset("*?[")
_LOOSE_FILES = "files"  # the format of whatever ends like no other
_NAMED_ONLY = "manifest"  # beside the audio it is about, it would have all of it read twice


@dataclass(frozen=True)
class Found:
    """What a source stands for."""

    items: Sequence[SourceItem]  # sorted by URL
    ignored_files: int = 0  # whose names do not end like anything that we read


class SourceFormat(Protocol):
    """What every module of this package offers."""

    SUFFIXES: frozenset[str]

    def split(self, item: SourceItem) -> Iterator[SourceItem]:
        """A file as items, each of which knows how many recordings it holds, if that is known."""
        ...

    def read_recordings(self, item: SourceItem) -> Iterator[SourceEntry]:
        """The recordings of an item, in order, and what was found instead of some."""
        ...


@cache
def formats() -> Mapping[str, SourceFormat]:
    """The formats by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    return MappingProxyType({name: cast(SourceFormat, m) for name, m in modules.items()})


def read_recordings(item: SourceItem) -> Iterator[SourceEntry]:
    """The recordings of an item, by the format that its name ends with; no id twice."""
    seen: set[bytes] = set()
    for entry in _format_of(item.url).read_recordings(item):
        if isinstance(entry, Recording):
            digest = hashlib.sha256(entry.id.encode("utf-8", "surrogatepass")).digest()[:16]
            if digest in seen:
                detail = "an earlier recording has the same name"
                yield RejectedRecording(entry.id, entry.source, "duplicate_id", detail)
                continue
            seen.add(digest)
        yield entry


def has_metadata(item: SourceItem) -> bool:
    """Whether recordings of an item may come with more than audio."""
    return _format_of(item.url) is not formats()[_LOOSE_FILES]


def find_items(source: str) -> list[SourceItem]:
    """The items of a source; see `find`."""
    return list(find(source).items)


def find(source: str) -> Found:
    """Every file that a source stands for, with ids relative to the source, sorted by URL.

    A file named outright is taken as it is. In folders and behind globs, files count whose names
    end like audio or like archives of audio, and are told apart by them; manifests count only where
    they are named, or the glob ends as they do. Folders are searched to the bottom.

    Raises:
        ConfigurationError: there is no such source, nothing in it is audio, or it cannot be read.
    """
    url = storage.absolute(source)
    info = storage.file_info(url)
    if info is not None:
        return Found(list(_items(info, storage.folder_of(url))))
    if storage.is_folder(url):
        return _audio_items(source, storage.list_files(url), url)
    if _GLOB_CHARACTERS.isdisjoint(url):
        raise ConfigurationError(f"source does not exist: {source}")
    return _audio_items(source, _matched_files(source, url), _fixed_folder(url))


def _matched_files(source: str, pattern: str) -> list[storage.FileInfo]:
    """Files that match a glob, and all files below folders that match it."""
    found: dict[str, storage.FileInfo] = {}
    for url in storage.list_matches(pattern):
        info = storage.file_info(url)
        matched = storage.list_files(url) if info is None else [info]
        found.update((info.url, info) for info in matched)
    if not found:
        raise ConfigurationError(f"source matches no file: {source}")
    return [found[url] for url in sorted(found)]


def _audio_items(source: str, files: list[storage.FileInfo], root: str) -> Found:
    known = formats()
    meant = [known[n] for n in known if n != _NAMED_ONLY or _ends_with(source, known[n].SUFFIXES)]
    suffixes = frozenset().union(*(chosen.SUFFIXES for chosen in meant))
    audio = [info for info in files if _ends_with(info.url, suffixes)]
    if not audio:
        raise ConfigurationError(
            f"no audio files in {source}: none of its {len(files)} files has a name that ends "
            "like audio (name files outright to have them read anyway)"
        )
    return Found([item for info in audio for item in _items(info, root)], len(files) - len(audio))


def _items(info: storage.FileInfo, root: str) -> Iterator[SourceItem]:
    item_id = info.url.removeprefix(root).lstrip("/")
    item = SourceItem(item_id, info.url, info.size_bytes, info.version)
    try:
        yield from _format_of(info.url).split(item)
    except OSError as error:
        raise ConfigurationError(f"cannot read {info.url}: {error}") from error


def _format_of(url: str) -> SourceFormat:
    known = formats()
    chosen = (known[name] for name in known if _ends_with(url, known[name].SUFFIXES))
    return next(chosen, known[_LOOSE_FILES])


def _ends_with(url: str, suffixes: frozenset[str] | tuple[str, ...]) -> bool:
    return url.lower().endswith(tuple(suffixes))


def _fixed_folder(pattern: str) -> str:
    """The folders of a glob before its first wildcard."""
    fixed = []
    for part in pattern.split("/")[:-1]:
        if not _GLOB_CHARACTERS.isdisjoint(part):
            break
        fixed.append(part)
    return "/".join(fixed)
