"""An archive as one stream that is read once, whatever it is compressed with.

What the storage below runs into (a lost connection) is raised as it is. Everything else that goes
wrong is the archive's fault and becomes an `ArchiveError`.
"""

import gzip
import io
import os
import zlib
from types import TracebackType
from typing import BinaryIO, cast

import pyarrow as pa

from tokenize_pipeline import storage
from tokenize_pipeline.errors import ArchiveError
from tokenize_pipeline.watched_file import WatchedFile

_BUFFER_BYTES = 1 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class ArchiveStream:
    """The decompressed bytes of an archive. A context manager.

    Args:
        url: where the archive is; how it is compressed is told from its first bytes.

    Attributes:
        position: in the decompressed bytes.
        is_compressed: whether positions are not those of the file.
        size_bytes: of the file.
    """

    def __init__(self, url: str) -> None:
        self._raw = storage.open_input(url)
        self._watched = WatchedFile(self._raw)
        self._file = cast(BinaryIO, io.BufferedReader(self._watched, _BUFFER_BYTES))
        self.size_bytes = self._file.seek(0, os.SEEK_END)
        self._file.seek(0)
        magic = self._file.read(4)
        self._file.seek(0)
        self.position = 0
        self.is_compressed = magic.startswith(_GZIP) or magic == _ZSTD
        if magic.startswith(_GZIP):
            self._file = cast(BinaryIO, gzip.GzipFile(fileobj=self._file))
        elif magic == _ZSTD:
            self._file = pa.CompressedInputStream(pa.PythonFile(self._file, "r"), "zstd")

    def __enter__(self) -> "ArchiveStream":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._raw.close()

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; fewer only where the archive ends.

        Raises:
            ArchiveError: it cannot be decompressed.
        """
        try:
            data = self._file.read(size)
        except EOFError as error:
            raise ArchiveError("archive_truncated", "the compressed data ends too early") from error
        except (OSError, zlib.error) as error:
            self._watched.raise_failure()
            truncated = "Truncated" in str(error)  # what Arrow says
            code = "archive_truncated" if truncated else "archive_damaged"
            raise ArchiveError(code, f"decompression stopped: {error}") from error
        self._watched.raise_failure()
        self.position += len(data)
        return data

    def skip(self, size: int) -> None:
        """Go `size` bytes further, or to the end.

        Raises:
            ArchiveError: it cannot be decompressed.
        """
        if not self.is_compressed:
            self.position = min(self.position + size, self.size_bytes)
            self._file.seek(self.position)
            return
        while size > 0 and (data := self.read(min(size, _BUFFER_BYTES))):
            size -= len(data)
