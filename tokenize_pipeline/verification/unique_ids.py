"""Ids that occur twice in a dataset of any size, in bounded memory.

Of each row 12 bytes go to one of 256 files by the first byte of its key; two equal keys meet in
the same file, and one file at a time is read. A hundred million rows take 1.2 GB of disk for a
while, and about 10 MB of memory.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_RECORD = np.dtype([("key", "<u8"), ("shard", "<u4")])
_BUCKETS = 256


class SeenKeys:
    """The keys of all rows, on disk.

    Args:
        folder: for its files; empty.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, shard: int, keys: NDArray[np.uint64]) -> None:
        """Note the keys of the rows of a shard."""
        records = np.zeros(len(keys), dtype=_RECORD)
        records["key"], records["shard"] = np.sort(keys), shard
        buckets = (records["key"] >> np.uint64(56)).astype(np.int64)
        edges = np.searchsorted(buckets, np.arange(_BUCKETS + 1))
        for bucket in np.unique(buckets).tolist():
            with (self._folder / f"{bucket:02x}").open("ab") as file:
                file.write(records[edges[bucket] : edges[bucket + 1]].tobytes())

    def repeated(self) -> Iterator[tuple[int, frozenset[int]]]:
        """Keys that were noted more than once, and the shards that they are in."""
        for path in sorted(self._folder.iterdir()):
            records = np.fromfile(path, dtype=_RECORD)
            keys, counts = np.unique(records["key"], return_counts=True)
            for key in keys[counts > 1]:
                shards = records["shard"][records["key"] == key]
                yield int(key), frozenset(shards.tolist())
