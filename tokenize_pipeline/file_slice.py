"""A stretch of a file as a file of its own."""

from typing import BinaryIO

from tokenize_pipeline.positioned_file import PositionedFile


class FileSlice(PositionedFile):
    """Bytes [start, start + size) of a file, which is closed with the slice.

    Args:
        file: seekable.
        start: in bytes.
        size: in bytes.
    """

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        super().__init__(size)
        self._file = file
        self._start = start

    def _read_at(self, position: int, size: int) -> bytes:
        self._file.seek(self._start + position)
        return self._file.read(size)

    def close(self) -> None:
        """Close the file too."""
        self._file.close()
        super().close()
