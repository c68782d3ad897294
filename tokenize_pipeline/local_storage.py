"""Files on this machine, through the operating system: replaced by a rename, and flushed."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from tokenize_pipeline.records import FileInfo


def path_of(url: str) -> str:
    """The path that a local URL names."""
    return url.removeprefix("file://")


def info(path: str) -> FileInfo:
    """Size and time of a file; of a link that leads nowhere, that it is there."""
    if not os.path.exists(path):
        return FileInfo(path, 0, "")
    status = os.stat(path)
    return FileInfo(path, status.st_size, str(status.st_mtime_ns), status.st_mtime)


def walk(top: str) -> Iterator[FileInfo]:
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
                yield info(path)


@contextmanager
def replacing(path: str, staging: str | None = None) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` when the block ends well.

    Args:
        path: what is replaced.
        staging: folder on the same filesystem in which it is written; that of `path` when None.
    """
    folder, name = os.path.split(path)
    _make_folder(folder)
    _make_folder(staging or folder)
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


def create(path: str, data: bytes) -> bool:
    """Write a file that is not there yet; False if it is. A reader may see it half written."""
    _make_folder(os.path.dirname(path))
    try:
        with open(path, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True


def _make_folder(path: str) -> None:
    """Make a folder and those above it, to stay there after a power cut."""
    if os.path.isdir(path):
        return
    above = os.path.dirname(path)
    _make_folder(above)
    os.makedirs(path, exist_ok=True)
    _flush_folder(above)


def _flush_folder(path: str) -> None:
    """Make what was made or renamed in `path` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
