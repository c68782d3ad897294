"""The checksum of a FLAC's samples.

libFLAC gives silence for a damaged frame, and libsndfile does not say so. The file carries the MD5
of its samples as integers, so damage shows at the end.

Source: RFC 9639, section 8.2 (STREAMINFO).
"""

import hashlib
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from tokenize_pipeline.errors import AudioError
from tokenize_pipeline.watched_file import WatchedFile

_MD5_PLACE = slice(26, 42)  # of STREAMINFO, from the start of the file
_BITS = {"PCM_S8": 8, "PCM_16": 16, "PCM_24": 24}  # those that float32 holds exactly


class FlacChecksum:
    """Adds up the samples of a FLAC and compares them with what it declares.

    Args:
        file: its position is kept.
        subtype: libsndfile's name of the form of its samples.
    """

    def __init__(self, file: BinaryIO | WatchedFile, subtype: str) -> None:
        position = file.tell()
        file.seek(0)
        header = file.read(_MD5_PLACE.stop)
        file.seek(position)
        self._bits = _BITS.get(subtype)
        is_flac = header[:4] == b"fLaC" and header[4:5] in (b"\x00", b"\x80")
        declared = header[_MD5_PLACE] if is_flac else b""
        self._declared = declared if any(declared) and self._bits else None
        self._md5 = hashlib.md5(usedforsecurity=False)

    def update(self, samples_SC: NDArray[np.float32]) -> None:
        """Add the samples that follow."""
        if self._declared is None or self._bits is None:
            return
        full_scale = np.float32(1 << (self._bits - 1))
        if self._bits == 24:
            wide = (samples_SC * full_scale).astype("<i4")
            data = np.ascontiguousarray(wide).view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
        else:
            data = (samples_SC * full_scale).astype(f"<i{self._bits // 8}").tobytes()
        self._md5.update(data)

    def check(self) -> None:
        """To be called behind the last sample.

        Raises:
            AudioError: they are not the samples that the file was made of.
        """
        if self._declared is not None and self._md5.digest() != self._declared:
            raise AudioError("damaged", "the decoded samples do not match the MD5 of the FLAC")
