"""sha256 of files and of plain values, as hexadecimal text."""

import hashlib
import json
from typing import Any, BinaryIO

_BLOCK_BYTES = 1 << 20


def sha256_of_file(file: BinaryIO) -> str:
    """Hash of what is left to read of a file, read in blocks."""
    digest = hashlib.sha256()
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


def sha256_of_values(values: Any) -> str:
    """Hash of values that JSON can hold; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
