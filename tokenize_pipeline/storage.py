"""Files anywhere: local paths go to the operating system, other URLs through fsspec.

A file becomes visible whole or not at all. Locally it is assembled beside its destination (or in a
staging folder on the same filesystem), flushed, renamed, and its folder flushed. Elsewhere it is
one whole-object upload. Nothing is ever streamed into an open remote file: fsspec publishes what
was written so far when an exception leaves the `with` block.
"""

import glob
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec

from tokenize_pipeline.errors import ConfigurationError

_REMOTE_BLOCK_BYTES = 4 << 20  # read at once from a remote file
_VERSION_KEYS = ("ETag", "etag", "LastModified", "last_modified", "mtime", "updated", "md5Hash")


@dataclass(frozen=True)
class FileInfo:
    """What a listing says about a file."""

    url: str
    size_bytes: int
    version: str  # etag or modification time; "" if unknown


def is_local(url: str) -> bool:
    """Whether `url` is a path on this machine."""
    return "://" not in url or url.startswith("file://")


def absolute(url: str) -> str:
    """`url` as every process of the run can use it: local paths made absolute."""
    if is_local(url):
        return os.path.abspath(os.path.expanduser(url.removeprefix("file://")))
    return url.rstrip("/")


def join(url: str, *parts: str) -> str:
    """A file or folder below `url`."""
    return "/".join([url.rstrip("/"), *parts])


def name_of(url: str) -> str:
    """Last part of the path."""
    return url.rstrip("/").rpartition("/")[2]


def folder_of(url: str) -> str:
    """The path without its last part."""
    return url.rstrip("/").rpartition("/")[0]


def exists(url: str) -> bool:
    """Whether there is a file or folder at `url`."""
    if is_local(url):
        return os.path.exists(_path(url))
    fs, path = _remote(url)
    return bool(fs.exists(path))


def is_folder(url: str) -> bool:
    """Whether `url` is a folder, or a prefix of remote objects."""
    if is_local(url):
        return os.path.isdir(_path(url))
    fs, path = _remote(url)
    return bool(fs.isdir(path))


def file_info(url: str) -> FileInfo | None:
    """What is known about the file at `url`; None if there is no such file."""
    if is_local(url):
        path = _path(url)
        return _local_info(path) if os.path.isfile(path) else None
    fs, path = _remote(url)
    try:
        info = fs.info(path)
    except FileNotFoundError:
        return None
    return _remote_info(url, info) if info["type"] == "file" else None


def list_files(url: str) -> list[FileInfo]:
    """Every file below the folder `url`, however deep, sorted by URL; none if it is no folder."""
    if is_local(url):
        return sorted(_walk(_path(url)), key=lambda info: info.url)
    fs, path = _remote(url)
    found = fs.find(path, detail=True)
    infos = [_remote_info(_remote_url(fs, url, path, name), found[name]) for name in found]
    return sorted(infos, key=lambda info: info.url)


def list_matches(pattern: str) -> list[str]:
    """URLs of the files and folders that match a glob, sorted."""
    if is_local(pattern):
        return sorted(glob.glob(_path(pattern), recursive=True))
    fs, path = _remote(pattern)
    return sorted(_remote_url(fs, pattern, path, name) for name in fs.glob(path))


def open_input(url: str) -> BinaryIO:
    """The file at `url` for reading, seekable.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if is_local(url):
        return open(_path(url), "rb")
    fs, path = _remote(url)
    return cast(BinaryIO, fs.open(path, "rb", block_size=_REMOTE_BLOCK_BYTES))


def read_bytes(url: str) -> bytes:
    """The whole file at `url`.

    Raises:
        FileNotFoundError: there is no such file.
    """
    with open_input(url) as file:
        return file.read()


def write_bytes(url: str, data: bytes, *, staging: str | None = None) -> None:
    """Make `data` the content of the file at `url`, whole or not at all.

    Args:
        url: where it goes.
        data: the content.
        staging: as in `put_file`.
    """
    if not is_local(url):
        fs, path = _remote(url)
        fs.pipe_file(path, data)
        return
    with _replacing(_path(url), staging) as temporary:
        temporary.write(data)


def put_file(local_path: str | Path, url: str, *, staging: str | None = None) -> None:
    """Make a copy of a local file the content of `url`, whole or not at all.

    Args:
        local_path: the finished file.
        url: where it goes.
        staging: local folder, on the filesystem of `url`, in which the copy is assembled; the
            folder of `url` when None. Not used for remote URLs.
    """
    if not is_local(url):
        fs, path = _remote(url)
        fs.put_file(str(local_path), path)
        return
    with _replacing(_path(url), staging) as temporary, open(local_path, "rb") as source:
        while block := source.read(1 << 20):
            temporary.write(block)


def delete(url: str) -> None:
    """Remove the file at `url`, if it is there."""
    try:
        if is_local(url):
            os.unlink(_path(url))
        else:
            fs, path = _remote(url)
            fs.rm_file(path)
    except FileNotFoundError:
        pass


def delete_empty_folder(url: str) -> None:
    """Remove a local folder that holds nothing. Remote folders are only prefixes."""
    if is_local(url) and os.path.isdir(_path(url)) and not os.listdir(_path(url)):
        os.rmdir(_path(url))


def _path(url: str) -> str:
    return url.removeprefix("file://")


def _remote(url: str) -> tuple[Any, str]:
    """The filesystem of `url` and the path in it. Listings are never cached: others write too."""
    try:
        fs, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise ConfigurationError(f"cannot open {url}: {error}") from error
    return fs, path


def _remote_url(fs: Any, asked: str, asked_path: str, name: str) -> str:
    """The URL of a listed name, spelled like the URL that was asked for, host included."""
    asked = asked.rstrip("/")
    if asked.endswith(asked_path):
        return asked[: len(asked) - len(asked_path)] + name
    return str(fs.unstrip_protocol(name))


def _local_info(path: str) -> FileInfo:
    """Size and time of a file; of a link that leads nowhere, that it is there."""
    if not os.path.exists(path):
        return FileInfo(path, 0, "")
    status = os.stat(path)
    return FileInfo(path, status.st_size, str(status.st_mtime_ns))


def _remote_info(url: str, info: dict[str, Any]) -> FileInfo:
    version = next((str(info[key]) for key in _VERSION_KEYS if info.get(key)), "")
    return FileInfo(url, info.get("size") or 0, version)


def _walk(top: str) -> Iterator[FileInfo]:
    """Files below `top`. Linked folders are entered, each real folder once."""
    seen: set[str] = set()
    for folder, subfolders, names in os.walk(top, followlinks=True):
        real_folder = os.path.realpath(folder)
        if real_folder in seen:
            subfolders.clear()
            continue
        seen.add(real_folder)
        subfolders.sort()
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) or os.path.islink(path):
                yield _local_info(path)


@contextmanager
def _replacing(path: str, staging: str | None) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` when the block ends well."""
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    os.makedirs(staging or folder, exist_ok=True)
    temporary_path = os.path.join(staging or folder, f".{name[:100]}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary_path, "xb") as temporary:
            yield temporary
            temporary.flush()
            os.fsync(temporary.fileno())
        os.replace(temporary_path, path)
        _flush_folder(folder)
    finally:
        if os.path.exists(temporary_path):
            os.unlink(temporary_path)


def _flush_folder(path: str) -> None:
    """Make a rename in `path` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
