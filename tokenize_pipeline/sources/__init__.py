"""Where recordings come from: one file of this package a format, found by its name.

A format is a module with

    SUFFIXES                  how names of files in that format end
    read_recordings(item)     the recordings in a file, in order, with bounded memory

`find_items` turns what the user typed (file, folder, glob; any fsspec URL) into items, and
`read_recordings` reads an item by the format that its name ends with.
"""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Protocol, cast

from tokenize_pipeline import storage
from tokenize_pipeline.errors import ConfigurationError
from tokenize_pipeline.records import Recording, SourceItem

_GLOB_CHARACTERS = frozenset("*?[")
_LOOSE_FILES = "files"  # the format of whatever ends like no other
_PLANNED_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".parquet", ".jsonl")


class SourceFormat(Protocol):
    """What every module of this package offers."""

    SUFFIXES: frozenset[str]

    def read_recordings(self, item: SourceItem) -> Iterator[Recording]:
        """The recordings in a file, in order."""
        ...


@cache
def formats() -> Mapping[str, SourceFormat]:
    """The formats by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    return MappingProxyType({name: cast(SourceFormat, m) for name, m in modules.items()})


def read_recordings(item: SourceItem) -> Iterator[Recording]:
    """The recordings in a file, by the format that its name ends with."""
    known = formats()
    chosen = (known[name] for name in known if _ends_with(item.url, known[name].SUFFIXES))
    return next(chosen, known[_LOOSE_FILES]).read_recordings(item)


def find_items(source: str) -> list[SourceItem]:
    """Every file that a source stands for, with ids relative to the source, sorted by URL.

    A file named outright is taken as it is. In folders and behind globs, files count whose names
    end like audio. Folders are searched to the bottom.

    Raises:
        ConfigurationError: there is no such source, nothing in it is audio, or its format is not
            supported.
    """
    url = storage.absolute(source)
    info = storage.file_info(url)
    if info is not None:
        _check_supported(url)
        return [_item(info, storage.folder_of(url))]
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


def _audio_items(source: str, files: list[storage.FileInfo], root: str) -> list[SourceItem]:
    suffixes = frozenset().union(*(known.SUFFIXES for known in formats().values()))
    items = [_item(info, root) for info in files if _ends_with(info.url, suffixes)]
    if not items:
        raise ConfigurationError(
            f"no audio files in {source}: none of its {len(files)} files has a name that ends "
            "like audio (name files outright to have them read anyway)"
        )
    return items


def _check_supported(url: str) -> None:
    if _ends_with(url, _PLANNED_SUFFIXES):
        raise ConfigurationError(
            f"{storage.name_of(url)} is in a format that is not supported yet; supported: audio "
            "files, folders of them and globs"
        )


def _item(info: storage.FileInfo, root: str) -> SourceItem:
    item_id = info.url.removeprefix(root).lstrip("/")
    return SourceItem(item_id, info.url, info.size_bytes, info.version)


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
