"""The values that flow through the pipeline: plain, frozen, cheap to send between processes.

Dimension key: K codebooks, T frames.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FileInfo:
    """What a listing says about a file."""

    url: str
    size_bytes: int
    version: str  # etag or modification time; "" if unknown
    modified: float | None = None  # seconds since 1970, by the clock of the storage


@dataclass(frozen=True)
class SourceItem:
    """One file that a shard reads, or a range of lines of one."""

    id: str  # of the file, unique in the run; path relative to the source, with its extension
    url: str
    size_bytes: int  # of the file
    version: str  # etag or modification time; "" if unknown
    recordings: int | None = 1  # in it; None where only reading tells. One: not a shard by itself
    start_byte: int = 0  # where the lines begin
    stop_byte: int | None = None  # where they end; None: at the end of the file
    first_line: int = 0  # number of the first of them, from 0

    @property
    def key(self) -> tuple[str, int]:
        """What tells items of a run apart."""
        return self.url, self.start_byte

    def to_dict(self) -> dict[str, Any]:
        """Fields for JSON and for hashes; without those that have their usual value."""
        values = vars(self).items()
        return {name: value for name, value in values if getattr(SourceItem, name, ...) != value}


@dataclass(frozen=True)
class Shard:
    """The unit of work, retry, commit and resume. Makes one part."""

    index: int
    fingerprint: str  # 10 hex digits of a hash of the items and of the run's identity
    items: tuple[SourceItem, ...]
    columns: Mapping[str, str] = field(default_factory=dict)  # metadata: type by name

    @property
    def part_name(self) -> str:
        """Name of the part, known before any work is done."""
        return f"train-{self.index:06d}-{self.fingerprint}.parquet"

    @property
    def size_bytes(self) -> int:
        """Bytes of all items together."""
        return sum(item.size_bytes for item in self.items)


@dataclass(frozen=True)
class Segment:
    """A stretch of a longer recording."""

    offset_seconds: float = 0.0
    duration_seconds: float | None = None  # None: to the end


@dataclass(frozen=True)
class Recording:
    """One audio item inside a shard, not yet read."""

    id: str
    source: str  # where it is, for people and for the verifier
    name: str  # file name
    open: Callable[[], BinaryIO]  # its bytes, seekable; the caller closes them. Called once
    metadata: Mapping[str, Any] = field(default_factory=dict)
    segment: Segment | None = None  # the part of the audio that is meant; None: all of it


@dataclass(frozen=True)
class TokenRow:
    """One row of a part: a recording, or a piece of one, as tokens."""

    id: str
    codes: NDArray[np.uint16]  # [K, T]
    scales: NDArray[np.float32] | None  # [chunks]; None where the codec does not scale
    num_frames: int
    num_samples: int  # at the codec's rate
    start_sample: int  # where the row begins in its recording, at the codec's rate
    source: str
    source_sample_rate: int  # Hz
    source_channels: int
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RejectedRecording:
    """A recording that made no tokens, and why."""

    id: str
    source: str
    code: str  # one of errors.REJECTION_CODES
    detail: str


@dataclass(frozen=True)
class IgnoredFile:
    """A file in an archive that is neither audio nor beside any."""

    source: str


# What a source gives for each thing that it finds.
SourceEntry = Recording | RejectedRecording | IgnoredFile


@dataclass(frozen=True)
class CommitRecord:
    """What became of a shard. Its existence in the run folder says that the shard is done."""

    shard: int
    part: str | None  # file name under data/; None for a shard that made no rows
    recordings: int  # read, rejected ones included
    rows: int
    seconds: float  # of audio that became tokens
    sha256: str | None  # of the part
    size_bytes: int  # of the part
    rejected: tuple[RejectedRecording, ...]
    attempts: int
    ignored_files: int = 0  # in archives, neither audio nor beside any


@dataclass(frozen=True)
class Failure:
    """An error as text: the exception itself might not survive the way to the driver."""

    cause: str
    blames_shard: bool = True  # False for a fault of storage, which says nothing against the shard


@dataclass(frozen=True)
class FailedShard:
    """A shard that was given up."""

    shard: Shard
    attempts: int
    cause: str  # of the last attempt
    quarantined: bool  # its own fault, as far as one can tell

    def rejected(self) -> tuple[RejectedRecording, ...]:
        """Its items as recordings that made no tokens."""
        detail = f"shard {self.shard.index}, tried {self.attempts} times: {self.cause}"
        return tuple(
            RejectedRecording(item.id, item.url, "quarantined", detail) for item in self.shard.items
        )
