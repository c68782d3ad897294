"""What a container says about its own end, where decoders do not tell that a file was cut.

Decoders read a truncated WAV or Ogg file without complaint and give fewer samples. Both containers
can be asked: a WAV declares the bytes of its data, and the last page of an Ogg stream carries an
end mark. FLAC declares its samples, which the decoder reports; MP3 has no mark worth trusting.

Source: RFC 3533, section 6 (Ogg page header); RFC 9639, section 8.2 (STREAMINFO); Microsoft
RIFF specification; EBU Tech 3306 (RF64).
"""

import os
import struct
from typing import BinaryIO

from tokenize_pipeline.watched_file import WatchedFile

_OGG_TAIL_BYTES = 1 << 16  # an Ogg page is at most 65,307 bytes
_OGG_END_OF_STREAM = 0x04
_FLAC_LENGTH_BYTES = 26  # of the file, up to the end of the total of samples in STREAMINFO
_FLAC_LENGTH_BITS = (1 << 36) - 1
_UNKNOWN_WAV_BYTES = 0x7FFF0000  # writers to pipes declare sizes from here up


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
    file.seek(0)
    magic = file.read(12)
    detail = None
    if magic[:4] == b"OggS":
        detail = _ogg_cut_short(file)
    elif magic[:4] in (b"RIFF", b"RF64") and magic[8:] == b"WAVE":
        detail = _wav_cut_short(file)
    file.seek(0)
    return detail


def _ogg_cut_short(file: BinaryIO) -> str | None:
    size = file.seek(0, os.SEEK_END)
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


def _wav_cut_short(file: BinaryIO) -> str | None:
    size = file.seek(0, os.SEEK_END)
    position = 12
    long_data_bytes = 0
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"ds64" and length >= 16:
            long_data_bytes = struct.unpack("<8xQ", file.read(16))[0]
        if name == b"data":
            declared = long_data_bytes if length == 0xFFFFFFFF else length
            return _missing_data(declared, size - position - 8)
        position += 8 + length + length % 2
    return None


def _missing_data(declared_bytes: int, present_bytes: int) -> str | None:
    unknown = _UNKNOWN_WAV_BYTES <= declared_bytes <= 0xFFFFFFFF
    if unknown or declared_bytes <= present_bytes:
        return None
    return f"the data chunk declares {declared_bytes} bytes, {present_bytes} are there"
