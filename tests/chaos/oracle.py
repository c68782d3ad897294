"""What every disturbed run is held to: the output of the undisturbed one."""

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from tokenize_pipeline import storage
from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.records import CommitRecord
from tokenize_pipeline.schema import read_part

_TIMES_OF_THE_RUN = ("_run/run.json", "_run/verify.json", "report.html")


@dataclass(frozen=True)
class Output:
    """All that matters of an output."""

    files: dict[str, str]  # hash of each by name; commit records apart
    commits: dict[int, CommitRecord]  # but for the number of attempts
    rows: Counter[str]  # by id

    def rows_lost(self, wanted: "Output") -> int:
        """Rows that it should have and has not."""
        return (wanted.rows - self.rows).total()

    def rows_doubled(self, wanted: "Output") -> int:
        """Rows that it has and should not have."""
        return (self.rows - wanted.rows).total()


def read_output(url: str) -> Output:
    """Read an output, local or not."""
    folder = RunFolder(url)
    infos = storage.list_files(folder.url)
    names = {info.url: info.url.removeprefix(folder.url).lstrip("/") for info in infos}
    hashes = {
        name: hashlib.sha256(storage.read_bytes(found)).hexdigest()
        for found, name in names.items()
        if not name.startswith("_run/commits/") and name not in _TIMES_OF_THE_RUN
    }
    commits = {index: replace(record, attempts=0) for index, record in folder.commits().items()}
    parts = [
        found for found, name in names.items() if name.endswith(".parquet") and "data/" in name
    ]
    rows: Counter[str] = Counter(row.id for found in parts for row in read_part(found))
    return Output(hashes, commits, rows)


def assert_same(found: Output, wanted: Output) -> None:
    """The same parts, byte for byte, the same records, and not one file more."""
    assert found.rows == wanted.rows
    assert found.commits == wanted.commits
    assert found.files == wanted.files


def differing_files(found: Output, wanted: Output) -> dict[str, Any]:
    """Files in which two outputs differ, for a look."""
    names = found.files.keys() | wanted.files.keys()
    return {
        name: (found.files.get(name), wanted.files.get(name))
        for name in names
        if found.files.get(name) != wanted.files.get(name)
    }
