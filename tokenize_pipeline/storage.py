"""Files anywhere: local paths go to the operating system, other URLs through fsspec.

A file becomes visible whole or not at all. Locally it is assembled beside its destination (or in a
staging folder on the same filesystem), flushed, renamed, and its folder flushed. Elsewhere it is
one whole-object upload. Nothing is ever streamed into an open remote file: fsspec publishes what
was written so far when an exception leaves the `with` block.

What goes wrong with a file is an OSError, wherever the file is.
"""

import glob
import os
import posixpath
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, TypeVar

from tokenize_pipeline import local_storage, records, remote_storage
from tokenize_pipeline.local_storage import path_of
from tokenize_pipeline.remote_storage import faults_of, filesystem, url_of

_REQUESTS_AT_ONCE = 32  # of remote storage, where each takes tens of milliseconds

FileInfo = records.FileInfo
Answer = TypeVar("Answer")


def is_local(url: str) -> bool:
    """Whether `url` is a path on this machine."""
    return "://" not in url or url.startswith("file://")


def absolute(url: str) -> str:
    """`url` as every process of the run can use it: local paths made absolute."""
    if is_local(url):
        return os.path.abspath(os.path.expanduser(path_of(url)))
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


def resolve(path: str, folder: str) -> str:
    """A path or URL as it is meant in a file that lies in `folder`."""
    if "://" in path or os.path.isabs(path):
        return absolute(path)
    if is_local(folder):
        return absolute(os.path.join(path_of(folder), path))
    scheme, _, rest = folder.partition("://")
    return f"{scheme}://{posixpath.normpath(join(rest, path))}"


def exists(url: str) -> bool:
    """Whether there is a file or folder at `url`."""
    if is_local(url):
        return os.path.exists(path_of(url))
    with faults_of(url):
        fs, path = filesystem(url)
        return bool(fs.exists(path))


def is_folder(url: str) -> bool:
    """Whether `url` is a folder, or a prefix of remote objects."""
    if is_local(url):
        return os.path.isdir(path_of(url))
    with faults_of(url):
        fs, path = filesystem(url)
        return bool(fs.isdir(path))


def file_info(url: str) -> FileInfo | None:
    """What is known about the file at `url`; None if there is no such file."""
    if is_local(url):
        path = path_of(url)
        return local_storage.info(path) if os.path.isfile(path) else None
    try:
        with faults_of(url):
            fs, path = filesystem(url)
            found = fs.info(path)
    except FileNotFoundError:
        return None
    return remote_storage.info(url, found) if found["type"] == "file" else None


def list_files(url: str) -> list[FileInfo]:
    """Every file below the folder `url`, however deep, sorted by URL; none if it is no folder."""
    if is_local(url):
        return sorted(local_storage.walk(path_of(url)), key=lambda info: info.url)
    with faults_of(url):
        fs, path = filesystem(url)
        found = fs.find(path, detail=True)
    infos = [remote_storage.info(url_of(fs, url, path, name), found[name]) for name in found]
    return sorted(infos, key=lambda info: info.url)


def list_matches(pattern: str) -> list[str]:
    """URLs of the files and folders that match a glob, sorted."""
    if is_local(pattern):
        return sorted(glob.glob(path_of(pattern), recursive=True))
    with faults_of(pattern):
        fs, path = filesystem(pattern)
        return sorted(url_of(fs, pattern, path, name) for name in fs.glob(path))


def open_input(url: str) -> BinaryIO:
    """The file at `url` for reading, seekable.

    Raises:
        FileNotFoundError: there is no such file.
    """
    return open(path_of(url), "rb") if is_local(url) else remote_storage.open_file(url)


def read_bytes(url: str) -> bytes:
    """The whole file at `url`.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if is_local(url):
        with open_input(url) as file:
            return file.read()
    with faults_of(url):
        fs, path = filesystem(url)
        return bytes(fs.cat_file(path))


def for_each(ask: Callable[[str], Answer], urls: Sequence[str]) -> Iterator[Answer]:
    """What `ask` says of each URL, in order. Remote storage is asked many things at once."""
    if all(is_local(url) for url in urls):
        yield from map(ask, urls)
        return
    with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as threads:
        yield from threads.map(ask, urls)


def write_bytes(url: str, data: bytes, *, staging: str | None = None) -> None:
    """Make `data` the content of the file at `url`, whole or not at all.

    Args:
        url: where it goes.
        data: the content.
        staging: as in `put_file`.
    """
    if is_local(url):
        with local_storage.replacing(path_of(url), staging) as temporary:
            temporary.write(data)
        return
    with faults_of(url):
        fs, path = filesystem(url)
        fs.pipe_file(path, data)


def create_bytes(url: str, data: bytes) -> bool:
    """Make `data` the content of a file that is not there yet; False if it is there.

    Of several who try at once one succeeds. `data` should be of its writer alone: where the answer
    to a request was lost, finding it there means success.
    """
    if is_local(url):
        return local_storage.create(path_of(url), data)
    return remote_storage.create(url, data)


def put_file(local_path: str | Path, url: str, *, staging: str | None = None) -> None:
    """Make a copy of a local file the content of `url`, whole or not at all.

    Args:
        local_path: the finished file.
        url: where it goes.
        staging: local folder, on the filesystem of `url`, in which the copy is assembled; the
            folder of `url` when None. Not used for remote URLs.
    """
    if not is_local(url):
        remote_storage.put_file(str(local_path), url)
        return
    with (
        local_storage.replacing(path_of(url), staging) as temporary,
        open(local_path, "rb") as file,
    ):
        while block := file.read(1 << 20):
            temporary.write(block)


def delete(url: str) -> None:
    """Remove the file at `url`, if it is there."""
    try:
        if is_local(url):
            os.unlink(path_of(url))
            return
        with faults_of(url):
            fs, path = filesystem(url)
            fs.rm_file(path)
    except FileNotFoundError:
        pass


def delete_files_below(url: str) -> None:
    """Remove every file in the folder `url`, and a local folder itself if it is then empty."""
    for info in list_files(url):
        delete(info.url)
    delete_empty_folder(url)


def delete_empty_folder(url: str) -> None:
    """Remove a local folder that holds nothing. Remote folders are only prefixes."""
    if is_local(url) and os.path.isdir(path_of(url)) and not os.listdir(path_of(url)):
        os.rmdir(path_of(url))


def abort_uploads(url: str) -> None:
    """Forget what was begun to be uploaded below the folder `url` and never came to be a file."""
    if not is_local(url):
        remote_storage.abort_uploads(url)
