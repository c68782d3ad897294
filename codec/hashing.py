"""sha256 of files and of plain values, as hexadecimal text."""

import hashlib
import json
from collections.abc import Iterable
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


def sha256_of_list(values: Iterable[Any]) -> str:
    """The same hash as that of a list of these values, which need not be in memory together."""
    digest = hashlib.sha256(b"[")
    for index, value in enumerate(values):
        digest.update(b", " if index else b"")
        digest.update(json.dumps(value, sort_keys=True).encode())
    digest.update(b"]")
    return digest.hexdigest()
