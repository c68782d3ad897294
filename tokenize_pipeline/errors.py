"""What can go wrong in the pipeline, as one tree.

PipelineError
├── ConfigurationError      what was asked for cannot be done; nothing was written      exit code 2
├── RunFailedError          the run stopped; the same command resumes it                exit code 1
│   ├── DamagedOutputError  a file of the output is missing, damaged or not ours
│   └── SourceChangedError  a source is not what it was when the run was planned
├── LimitExceededError      the run finished, but past a limit that the user set        exit code 3
└── RejectionError          something in a source makes no tokens; it becomes a rejected row
    ├── AudioError          one recording
    └── ArchiveError        a file of many recordings, from some place on
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

# Why a recording was rejected. The words are stable: they stand in rejected.parquet.
REJECTION_CODES: Mapping[str, str] = MappingProxyType(
    {
        "undecodable": "no decoder could read it, or one stopped in the middle",
        "unreadable": "the file could not be opened: gone, a folder, or not permitted",
        "empty": "it holds no audio samples",
        "too_short": "it is shorter than the run accepts (--min-seconds)",
        "truncated": "it ends before the length or the end mark its container declares",
        "damaged": "its samples are not those whose checksum it carries",
        "too_long": "it is longer than the run accepts (--max-seconds)",
        "non_finite": "it holds samples that are NaN or infinite",
        "absurd_level": "it holds samples far beyond full scale",
        "unsupported": "its sample rate, channels or storage is none that we read",
        "decoder_crashed": "the decoder died on it",
        "decoder_timeout": "the decoder made no progress on it",
        "duplicate_id": "an earlier recording of the same archive has its name",
        "invalid_entry": "its entry in a manifest or table cannot be understood",
        "archive_truncated": "an archive ends too early: what came after the cut is missing",
        "archive_damaged": "a stretch of an archive cannot be read: what it held is missing",
        "quarantined": "its shard was given up: the workers that tried it failed or died",
    }
)


class PipelineError(Exception):
    """Root of every error that `tokenize_pipeline` raises on purpose."""

    exit_code: ClassVar[int] = 1


class ConfigurationError(PipelineError):
    """What was asked for cannot be done. Raised before anything is written."""

    exit_code = 2


class RunFailedError(PipelineError):
    """The run stopped before its end. Running the same command again resumes it."""


class DamagedOutputError(RunFailedError):
    """A file of the output is missing, damaged, or was not written by this program."""


class SourceChangedError(RunFailedError):
    """A source is not what it was when the run was planned."""


class LimitExceededError(PipelineError):
    """The run finished, but past a limit that the user set."""

    exit_code = 3


class RejectionError(PipelineError):
    """Something in a source makes no tokens; it becomes a rejected row.

    Args:
        code: one of `REJECTION_CODES`.
        detail: what was found, for people.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class AudioError(RejectionError):
    """One recording cannot become tokens."""


class ArchiveError(RejectionError):
    """A file of many recordings ends or breaks; what it held from there on is missing."""
