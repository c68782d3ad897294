"""Members of a tar archive, in order, from a stream that is read once.

    | header | data, padded to 512 bytes | header | data | ... | 512 zeros | 512 zeros |

Python's own `tarfile` takes an archive that was cut between two members, or whose next header is
damaged, for one that ends there. Here only the block of zeros is the end. Long names and sizes
come in members of their own before the one they are about: GNU's (L) or those of pax (x, g).

Source: POSIX.1-2017, pax, "pax Interchange Format" and "ustar Interchange Format"; GNU tar manual,
"Basic Tar Format".
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

from tokenize_pipeline.archive_stream import ArchiveStream
from tokenize_pipeline.errors import ArchiveError

_BLOCK_BYTES = 512
_COPY_BYTES = 1 << 20
_MAX_EXTENSION_BYTES = 1 << 20  # of a long name, or of the records of pax
_PAX_SPARSE = "GNU.sparse."
_SPARSE_IS_EXTENDED = {True: 482, False: 504}  # place of the flag in the first and later headers
_KINDS = {
    tarfile.LNKTYPE: "link",
    tarfile.SYMTYPE: "link",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "device",
    tarfile.DIRTYPE: "folder",
    tarfile.GNUTYPE_SPARSE: "sparse",
}


@dataclass(frozen=True)
class TarMember:
    """One member of an archive."""

    name: str  # bytes that are no UTF-8 as surrogates
    kind: str  # "file", "sparse", "link", "device" or "folder"
    offset: int  # of its data in the (decompressed) archive
    size_bytes: int  # of its data


class TarReader:
    """Iterates over the members of an archive.

    Args:
        stream: at its start.
    """

    def __init__(self, stream: ArchiveStream) -> None:
        self._stream = stream
        self._name, self._data_end = "", 0  # of the member given last
        self._global_records: dict[str, str] = {}

    def __iter__(self) -> Iterator[TarMember]:
        """The members, until the end mark.

        Raises:
            ArchiveError: the archive ends without its end mark, or a header is damaged.
        """
        while (member := self._next_member()) is not None:
            yield member
        self._check_nothing_follows()

    def data(self) -> Iterator[bytes]:
        """The data of the member given last, in blocks.

        Raises:
            ArchiveError: the archive ends before.
        """
        while (left := self._data_end - self._stream.position) > 0:
            yield self._read(min(left, _COPY_BYTES))

    def check_whole(self) -> None:
        """See that the data of the member given last is there without reading it.

        Raises:
            ArchiveError: the archive ends before.
        """
        if self._data_end > self._stream.size_bytes:
            raise self._cut(self._stream.size_bytes)

    def _next_member(self) -> TarMember | None:
        """The next member, with what the extension members before it say."""
        records = dict(self._global_records)
        while (header := self._next_header()) is not None:
            if header.type == tarfile.GNUTYPE_LONGNAME:
                records["path"] = _text(self._extension(header.size).rstrip(b"\0"))
            elif header.type == tarfile.GNUTYPE_LONGLINK:
                self._extension(header.size)
            elif header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
                records.update(_pax_records(self._extension(header.size)))
            elif header.type == tarfile.XGLTYPE:
                self._global_records.update(_pax_records(self._extension(header.size)))
                records = {**self._global_records, **records}
            else:
                return self._member(header, records)
        return None

    def _member(self, header: tarfile.TarInfo, records: dict[str, str]) -> TarMember:
        kind = _KINDS.get(header.type, "file")
        if any(key.startswith(_PAX_SPARSE) for key in records):
            kind = "sparse"
        size_bytes = header.size
        if "size" in records:
            if not records["size"].isdigit():
                raise _damaged(f"a size of {records['size']!r}")
            size_bytes = int(records["size"])
        if kind not in ("file", "sparse"):
            size_bytes = 0  # whatever the header says, no data follows
        name = records.get("path", header.name)
        self._name, self._data_end = name, self._stream.position + size_bytes
        return TarMember(name, kind, self._stream.position, size_bytes)

    def _next_header(self) -> tarfile.TarInfo | None:
        """The next header, its checksum verified; None at the end mark."""
        padded_end = -(-self._data_end // _BLOCK_BYTES) * _BLOCK_BYTES
        self._stream.skip(padded_end - self._stream.position)
        block = self._read(_BLOCK_BYTES)
        if not any(block):
            return None
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise _damaged(f"{error} at byte {self._stream.position - _BLOCK_BYTES}") from error
        if header.size < 0:
            raise _damaged(f"a size of {header.size}")
        is_first = True
        while header.type == tarfile.GNUTYPE_SPARSE and block[_SPARSE_IS_EXTENDED[is_first]]:
            block, is_first = self._read(_BLOCK_BYTES), False
        return header

    def _extension(self, size_bytes: int) -> bytes:
        """The data of a member that is about the next one."""
        if size_bytes > _MAX_EXTENSION_BYTES:
            raise _damaged(f"a name or pax header of {size_bytes} bytes")
        data = self._read(size_bytes)
        self._data_end = self._stream.position
        return data

    def _read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) < size:
            raise self._cut(self._stream.position)
        return data

    def _cut(self, position: int) -> ArchiveError:
        where = f" inside {self._name}" if position < self._data_end else ""
        detail = f"it ends at byte {position}{where} without an end-of-archive mark"
        return ArchiveError("archive_truncated", detail)

    def _check_nothing_follows(self) -> None:
        """What stands behind the end mark would be lost without a word."""
        while block := self._stream.read(_COPY_BYTES):
            if any(block):
                raise _damaged("data follows the end-of-archive mark (two archives in one file?)")


def _damaged(found: str) -> ArchiveError:
    return ArchiveError("archive_damaged", f"no tar header: {found}")


def _pax_records(data: bytes) -> dict[str, str]:
    """Records of the form "<length> <key>=<value>" and a line feed."""
    records = {}
    while data.strip(b"\0"):
        length_text, space, _ = data.partition(b" ")
        length = int(length_text) if length_text.isdigit() and len(length_text) < 10 else 0
        record, data = data[len(length_text) + 1 : length], data[length:]
        key, equals, value = record.partition(b"=")
        if not (space and equals and value.endswith(b"\n")):
            raise _damaged("a record of pax that cannot be understood")
        records[_text(key)] = _text(value[:-1])
    return records


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
