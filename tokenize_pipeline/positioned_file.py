"""A file of known size that is read by position, for readers that want to seek in it."""

import io
import os
from typing import Any


class PositionedFile(io.RawIOBase):
    """Keeps the position; what is read where is the business of `_read_at`.

    Args:
        size: in bytes.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._position = 0

    def _read_at(self, position: int, size: int) -> bytes | bytearray:
        """Up to `size` bytes, at least 1, from `position` on; all of them lie in the file."""
        raise NotImplementedError

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`; 0 at the end."""
        size = min(len(buffer), self._size - self._position)
        if size <= 0:
            return 0
        data = self._read_at(self._position, size)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"cannot seek to byte {base + offset}")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Position in bytes."""
        return self._position

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True
