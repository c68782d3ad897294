"""The run folder: what the run is, what it will do, what is done.

    OUTPUT/_run/run.json             identity of the run; written after the plan, which it freezes
    OUTPUT/_run/plan.jsonl           one shard a line
    OUTPUT/_run/commits/000012.json  one per finished shard
    OUTPUT/_run/rejected.parquet     recordings that made no tokens, gathered from the commits

Workers publish parts. Everything here is written by the driver, and each file whole or not at all.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from codec.hashing import sha256_of_values
from tokenize_pipeline import storage
from tokenize_pipeline.errors import DamagedOutputError
from tokenize_pipeline.records import CommitRecord, RejectedRecording, Shard, SourceItem
from tokenize_pipeline.schema import rejected_to_bytes


class RunFolder:
    """The files of one output, by their names.

    Args:
        url: the OUTPUT of the run.
    """

    def __init__(self, url: str) -> None:
        self.url = storage.absolute(url)

    def exists(self) -> bool:
        """Whether a run was started here."""
        return storage.exists(self._run("run.json"))

    def identity(self) -> dict[str, Any]:
        """What the run is, from run.json.

        Raises:
            DamagedOutputError: there is no run here, or its identity cannot be read.
        """
        return _load_object(self._run("run.json"))

    def plan(self) -> list[Shard]:
        """The frozen shards, in order.

        Raises:
            DamagedOutputError: the plan is missing or cannot be read.
        """
        url = self._run("plan.jsonl")
        try:
            return [_shard_from_json(line) for line in _read(url).decode().splitlines()]
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedOutputError(f"{url} is damaged: {error}") from error

    def commits(self) -> dict[int, CommitRecord]:
        """The valid commit records, by shard. One that does not match its own hash is left out."""
        files = storage.list_files(self._run("commits"))
        records = [_commit_from_bytes(storage.read_bytes(info.url)) for info in files]
        return {record.shard: record for record in records if record is not None}

    def part_url(self, part: str) -> str:
        """Where the part of that file name is, or will be."""
        return storage.join(self.url, "data", part)

    def part_urls(self) -> list[str]:
        """Parts that valid commit records name, in the order of their shards."""
        commits = self.commits()
        parts = [commits[shard].part for shard in sorted(commits)]
        return [self.part_url(part) for part in parts if part is not None]

    def rejected(self) -> list[RejectedRecording]:
        """Every rejected recording that valid commit records name, in the order of the plan."""
        return rejected_in(self.commits())

    def holds(self, shard: Shard, record: CommitRecord) -> bool:
        """Whether what a commit record says of a shard is there: its part, at its size."""
        if record.part is None:
            return record.rows == 0
        info = storage.file_info(self.part_url(record.part))
        present = info is not None and info.size_bytes == record.size_bytes
        return present and record.part == shard.part_name

    def start(self, identity: Mapping[str, Any], shards: Iterable[Shard]) -> None:
        """Freeze the plan and then the identity. From here on only the same run may write here."""
        plan = "".join(f"{_shard_to_json(shard)}\n" for shard in shards)
        self._write(self._run("plan.jsonl"), plan.encode())
        self._write(self._run("run.json"), _pretty(identity))

    def publish(self, finished: Path) -> None:
        """Make a finished local file the part of the same name. Called by workers."""
        storage.put_file(finished, self.part_url(finished.name), staging=self._staging)

    def commit(self, record: CommitRecord) -> None:
        """Record that a shard is done."""
        self._write(self._run("commits", f"{record.shard:06d}.json"), _commit_to_bytes(record))

    def write_rejected(self) -> None:
        """Gather the rejected recordings of all commits into one file, also when there are none."""
        self._write(self._run("rejected.parquet"), rejected_to_bytes(self.rejected()))

    def write_card(self, text: str) -> None:
        """The dataset card, which makes `load_dataset(OUTPUT)` work."""
        self._write(storage.join(self.url, "README.md"), text.encode())

    def is_finished(self) -> bool:
        """Whether the files that are written last are there."""
        last = (storage.join(self.url, "README.md"), self._run("rejected.parquet"))
        return all(storage.exists(url) for url in last)

    def clean_staging(self) -> None:
        """Remove what workers that were killed left half copied."""
        for info in storage.list_files(self._staging):
            storage.delete(info.url)
        storage.delete_empty_folder(self._staging)

    @property
    def _staging(self) -> str:
        return self._run("staging")

    def _write(self, url: str, data: bytes) -> None:
        storage.write_bytes(url, data, staging=self._staging)

    def _run(self, *parts: str) -> str:
        return storage.join(self.url, "_run", *parts)


def rejected_in(commits: Mapping[int, CommitRecord]) -> list[RejectedRecording]:
    """Every rejected recording that commit records name, in the order of their shards."""
    return [item for shard in sorted(commits) for item in commits[shard].rejected]


def _shard_to_json(shard: Shard) -> str:
    return json.dumps(asdict(shard))


def _shard_from_json(line: str) -> Shard:
    values = json.loads(line)
    items = tuple(SourceItem(**item) for item in values["items"])
    return Shard(values["index"], values["fingerprint"], items)


def _commit_to_bytes(record: CommitRecord) -> bytes:
    values = asdict(record)
    return _pretty({**values, "record_sha256": sha256_of_values(values)})


def _commit_from_bytes(data: bytes) -> CommitRecord | None:
    """The record, or None for bytes that are not exactly what was written."""
    try:
        values = json.loads(data)
        if values.pop("record_sha256") != sha256_of_values(values):
            return None
        rejected = tuple(RejectedRecording(**item) for item in values.pop("rejected"))
        return CommitRecord(**values, rejected=rejected)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _pretty(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=1, sort_keys=True) + "\n").encode()


def _load_object(url: str) -> dict[str, Any]:
    try:
        values = json.loads(_read(url))
    except ValueError as error:
        raise DamagedOutputError(f"{url} is damaged: {error}") from error
    if not isinstance(values, dict):
        raise DamagedOutputError(f"{url} is damaged: it holds no JSON object")
    return values


def _read(url: str) -> bytes:
    try:
        return storage.read_bytes(url)
    except FileNotFoundError as error:
        raise DamagedOutputError(f"{url} does not exist: no run was started here") from error
