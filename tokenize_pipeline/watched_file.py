"""A file for decoders written in C."""

import io
import os
from typing import Any, BinaryIO


class WatchedFile(io.RawIOBase):
    """Passes a file on and remembers what reading it ran into.

    Decoders written in C turn an exception of Python into the end of the file, so that a lost
    connection would look like a short recording.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._failure: OSError | None = None

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`; 0 at the end, and after a failure."""
        try:
            data = self._file.read(len(buffer))
        except OSError as error:
            self._failure = error
            return 0
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move; a place before the start is refused by staying where we are."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):
            return self._file.tell()

    def tell(self) -> int:
        """Position in bytes."""
        return self._file.tell()

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def raise_failure(self) -> None:
        """Raise what reading ran into, if anything."""
        if self._failure is not None:
            raise self._failure
