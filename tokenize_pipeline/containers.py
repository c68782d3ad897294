"""What a container says about its own end, where decoders do not tell that a file was cut.

Decoders read most truncated files without complaint and give fewer samples. Many containers can be
asked: chunks and boxes declare their size, some headers the number of samples, and the last page of
an Ogg stream carries an end mark. FLAC and a few others declare their samples, which the decoder
reports. Raw streams (ADTS, AC-3) have no mark, and what the header of an MP3 says is often wrong;
see mp3_header.py.

Source: RFC 3533, section 6 (Ogg page header); RFC 9639, section 8.2 (STREAMINFO); Microsoft RIFF
specification; EBU Tech 3306 (RF64); Audio Interchange File Format 1.3; Apple Core Audio Format 1.0;
ISO/IEC 14496-12, 4.2 (boxes); Microsoft ASF specification, 2.1 and 5.1; NIST SPHERE headers;
DSF file format 1.01.
"""

import os
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

from tokenize_pipeline.mp3_header import mp3_cut_short
from tokenize_pipeline.watched_file import WatchedFile

_OGG_TAIL_BYTES = 1 << 16  # an Ogg page is at most 65,307 bytes
_OGG_END_OF_STREAM = 0x04
_FLAC_LENGTH_BYTES = 26  # of the file, up to the end of the total of samples in STREAMINFO
_FLAC_LENGTH_BITS = (1 << 36) - 1
_UNKNOWN_WAV_BYTES = 0x7FFF0000  # writers to pipes declare sizes from here up
_SPHERE_BYTES = 1024  # of a header
_MOST_CHUNKS = 10_000
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")

Chunk = tuple[bytes, int, int]  # name, where its content begins, bytes of content declared


def is_open_flac(file: BinaryIO | WatchedFile) -> bool:
    """Whether a file is a FLAC that does not say how many samples it has.

    Args:
        file: its position is lost.
    """
    file.seek(0)
    header = file.read(_FLAC_LENGTH_BYTES)
    if len(header) < _FLAC_LENGTH_BYTES or header[:4] != b"fLaC" or header[4] & 0x7F != 0:
        return False
    return int.from_bytes(header[18:26], "big") & _FLAC_LENGTH_BITS == 0


def cut_short(file: BinaryIO) -> str | None:
    """How a container shows that its file was cut; None where it shows nothing of the kind.

    Args:
        file: read from its start; its position is restored to the start.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(16)
    check = _check_for(start)
    detail = None if check is None else check(file, size)
    file.seek(0)
    return detail


def _check_for(start: bytes) -> Callable[[BinaryIO, int], str | None] | None:
    """The check for a file that begins like this."""
    checks: dict[bytes, Callable[[BinaryIO, int], str | None]] = {
        b"OggS": _ogg,
        b"RIFF": _riff,
        b"RF64": _riff,
        b"FORM": _aiff,
        b"caff": _caf,
        b"riff": _wave64,
        b".snd": _au,
        b"DSD ": _dsf,
        b"NIST": _sphere,
        _ASF_HEADER[:4]: _asf,
    }
    if start[:4] in checks:
        return checks[start[:4]]
    if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return _mp4
    if start[:3] == b"ID3" or (start[:1] == b"\xff" and start[1:2] >= b"\xe0"):
        return mp3_cut_short
    return None


def _ogg(file: BinaryIO, size: int) -> str | None:
    file.seek(max(0, size - _OGG_TAIL_BYTES))
    tail = file.read(_OGG_TAIL_BYTES)
    page = tail[max(0, tail.rfind(b"OggS")) :]
    num_segments = page[26] if len(page) > 26 else 255
    segment_lengths = page[27 : 27 + num_segments]
    if len(segment_lengths) < num_segments or len(page) < 27 + num_segments + sum(segment_lengths):
        return "the last Ogg page is not whole"
    if page[5] & _OGG_END_OF_STREAM:
        return None
    return "the last Ogg page carries no end-of-stream mark"


def _riff(file: BinaryIO, size: int) -> str | None:
    long_data_bytes = 0
    for name, start, declared in _chunks(file, size, 12, "<4sI", even=True):
        if name == b"ds64" and declared >= 16:
            long_data_bytes = struct.unpack("<8xQ", _read(file, start, 16))[0]
        if name == b"data":
            if declared == 0xFFFFFFFF and long_data_bytes:
                return _missing(name, long_data_bytes, size - start)
            unknown = declared >= _UNKNOWN_WAV_BYTES
            return None if unknown else _missing(name, declared, size - start)
    return None


def _aiff(file: BinaryIO, size: int) -> str | None:
    chunks = _chunks(file, size, 12, ">4sI", even=True)
    return _first_missing(chunks, size, {b"SSND"})


def _caf(file: BinaryIO, size: int) -> str | None:
    chunks = _chunks(file, size, 8, ">4sQ")
    found = next((chunk for chunk in chunks if chunk[0] == b"data"), None)
    if found is None or found[2] >= 1 << 63:  # -1: to the end of the file
        return None
    return _missing(found[0], found[2], size - found[1])


def _wave64(file: BinaryIO, size: int) -> str | None:
    chunks = ((name[:4], *rest) for name, *rest in _sized_chunks(file, size, 40, 8))
    return _first_missing(chunks, size, {b"data"})  # type: ignore[arg-type]  # a name and two numbers


def _asf(file: BinaryIO, size: int) -> str | None:
    named = {_ASF_HEADER: b"header", _ASF_DATA: b"data"}
    chunks = (
        (named.get(name, b""), start, declared)
        for name, start, declared in _sized_chunks(file, size, 0, 1)
    )
    return _first_missing(chunks, size, {b"header", b"data"})


def _mp4(file: BinaryIO, size: int) -> str | None:
    return _first_missing(_boxes(file, size), size, {b"moov", b"mdat", b"moof", b"ftyp"})


def _au(file: BinaryIO, size: int) -> str | None:
    header = _read(file, 4, 8)
    if len(header) < 8:
        return None
    start, declared = struct.unpack(">II", header)
    return None if declared == 0xFFFFFFFF else _missing(b"data", declared, size - start)


def _dsf(file: BinaryIO, size: int) -> str | None:
    header = _read(file, 12, 8)
    return _missing(b"file", int.from_bytes(header, "little"), size) if len(header) == 8 else None


def _sphere(file: BinaryIO, size: int) -> str | None:
    """NIST's text header: lines of name, type and value."""
    lines = _read(file, 0, _SPHERE_BYTES).decode("ascii", "replace").splitlines()
    values = {parts[0]: parts[2] for parts in (line.split(None, 2) for line in lines) if parts[2:]}
    counts = [values.get(n, "") for n in ("sample_count", "sample_n_bytes", "channel_count")]
    is_packed = "," in values.get("sample_coding", "")
    if is_packed or not all(count.isdecimal() and len(count) < 12 for count in counts):
        return None
    samples, width, channels = map(int, counts)
    return _missing(b"data", samples * width * channels, size - _SPHERE_BYTES)


def _chunks(
    file: BinaryIO, size: int, start: int, layout: str, *, even: bool = False
) -> Iterator[Chunk]:
    """Chunks of a name and a length without the header, from `start` on."""
    for _ in range(_MOST_CHUNKS):
        header = _read(file, start, struct.calcsize(layout))
        if len(header) < struct.calcsize(layout):
            return
        name, length = struct.unpack(layout, header)
        yield name, start + len(header), length
        start += len(header) + length + (length % 2 if even else 0)
        if start >= size:
            return


def _sized_chunks(file: BinaryIO, size: int, start: int, align: int) -> Iterator[Chunk]:
    """Chunks of a GUID and a length that counts the header, as Wave64 and ASF have them."""
    for _ in range(_MOST_CHUNKS):
        header = _read(file, start, 24)
        length = int.from_bytes(header[16:], "little")
        if len(header) < 24 or length < 24:
            return
        yield header[:16], start + 24, length - 24
        start += -(-length // align) * align
        if start >= size:
            return


def _boxes(file: BinaryIO, size: int) -> Iterator[Chunk]:
    """Boxes of an MP4 at the top level; one that reaches to the end declares nothing."""
    start = 0
    for _ in range(_MOST_CHUNKS):
        header = _read(file, start, 16)
        if len(header) < 8:
            return
        length, name = struct.unpack(">I4s", header[:8])
        used = 8
        if length == 1 and len(header) == 16:
            length, used = int.from_bytes(header[8:], "big"), 16
        if length < used or start >= size:
            return
        yield name, start + used, length - used
        start += length


def _first_missing(chunks: Iterator[Chunk], size: int, names: set[bytes]) -> str | None:
    """The first chunk of such a name that declares more than there is."""
    found = (
        _missing(name, declared, size - start) for name, start, declared in chunks if name in names
    )
    return next((text for text in found if text is not None), None)


def _missing(name: bytes, declared_bytes: int, present_bytes: int) -> str | None:
    if declared_bytes <= present_bytes:
        return None
    place = name.decode("ascii", "replace").strip()
    return f"the {place} chunk declares {declared_bytes} bytes, {max(0, present_bytes)} are there"


def _read(file: BinaryIO, start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)
