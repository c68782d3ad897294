"""Whether an MP3 was cut, without believing its header alone.

The first frame of many MP3s is no audio but tells how many bytes and frames follow (Xing, Info).
Editors that cut files leave it as it was, so that valid files declare too much. Those end with a
whole frame. A file counts as cut where both hold: the header declares more bytes than there are,
and the last frame is not whole.

Source: ISO/IEC 11172-3, 2.4.1.3 and 13818-3, 2.4.1.3 (frame header); Xing's VBR header.
"""

import struct
from typing import BinaryIO, NamedTuple

_BITRATES_KBPS = {  # by version 1 or not, and layer
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_SEARCHED_BYTES = 1 << 16  # for the first frame
_HAS_FRAMES, _HAS_BYTES = 1, 2
_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"3DI")


class _Frame(NamedTuple):
    is_version_1: bool
    is_mono: bool
    length_bytes: int


def mp3_cut_short(file: BinaryIO, size: int) -> str | None:
    """How an MP3 shows that it was cut; None where it shows nothing of the kind.

    Args:
        file: its position is lost.
        size: of the file, bytes.
    """
    start, frame = _first_frame(file)
    if frame is None:
        return None
    declared = _declared_bytes(_read(file, start, 4 + 32 + 16), frame)
    if declared is None or declared <= size - start:
        return None
    position = start
    while (found := _frame(header := _read(file, position, 11))) is not None:
        if position + found.length_bytes > size:
            return (
                f"the header declares {declared} bytes of frames, {size - start} are there, and "
                "the last frame is not whole"
            )
        position += found.length_bytes
    is_stub = 0 < len(header) < 4 and not header.startswith(_TAGS)
    if is_stub:
        return f"the header declares {declared} bytes of frames, {size - start} are there"
    return None


def _first_frame(file: BinaryIO) -> tuple[int, _Frame | None]:
    """Where the first frame begins that another follows, behind an ID3 tag if there is one."""
    start = 0
    tag = _read(file, 0, 10)
    if tag[:3] == b"ID3" and len(tag) == 10:
        start = 10 + sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(tag[:5:-1]))
    data = _read(file, start, _SEARCHED_BYTES)
    place = data.find(b"\xff")
    while place >= 0:
        frame = _frame(data[place : place + 4])
        if frame is not None:
            following = data[place + frame.length_bytes :][:4]
            if not following or _frame(following) is not None:
                return start + place, frame
        place = data.find(b"\xff", place + 1)
    return start, None


def _frame(header: bytes) -> _Frame | None:
    """What a frame header says; None where there is none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] < 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bitrate_index, rate_index = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer == 4 or bitrate_index in (0, 15) or rate_index == 3:
        return None
    is_version_1 = version == 3
    bitrate = _BITRATES_KBPS[is_version_1, layer][bitrate_index] * 1000
    sample_rate, padding = _SAMPLE_RATES[version][rate_index], header[2] >> 1 & 1
    if layer == 1:
        length_bytes = (12 * bitrate // sample_rate + padding) * 4
    else:
        halved = layer == 3 and not is_version_1
        length_bytes = (72 if halved else 144) * bitrate // sample_rate + padding
    return _Frame(is_version_1, header[3] >> 6 == 3, length_bytes)


def _declared_bytes(data: bytes, frame: _Frame) -> int | None:
    """Bytes of all frames that the first one declares, itself included."""
    side_bytes = (
        (17 if frame.is_mono else 32) if frame.is_version_1 else (9 if frame.is_mono else 17)
    )
    header = data[4 + side_bytes :]
    if header[:4] not in (b"Xing", b"Info") or len(header) < 16:
        return None
    flags = struct.unpack(">I", header[4:8])[0]
    if not flags & _HAS_BYTES:
        return None
    place = 12 if flags & _HAS_FRAMES else 8
    return int(struct.unpack(">I", header[place : place + 4])[0])


def _read(file: BinaryIO, start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)
