"""The run folder: what the run is, what it will do, what is done.

    OUTPUT/_run/run.json             identity of the run; written after the plan, which it freezes
    OUTPUT/_run/plan.jsonl           one shard a line
    OUTPUT/_run/commits/000012.json  one per finished shard
    OUTPUT/_run/quarantine/000012.json  one per shard that was given up, until it is done after all
    OUTPUT/_run/rejected.parquet     recordings that made no tokens, gathered from the commits
    OUTPUT/_run/lock/                who drives the run at this moment

Workers publish parts. Everything here is written by the driver, and each file whole or not at all.
"""

import errno
import json
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tokenize_pipeline import storage
from tokenize_pipeline.errors import DamagedOutputError
from tokenize_pipeline.parts import PartsFolder, holds
from tokenize_pipeline.record_json import (
    commit_from_bytes,
    commit_to_bytes,
    failed_to_bytes,
    shard_from_json,
    shard_to_json,
    to_bytes,
)
from tokenize_pipeline.records import CommitRecord, FailedShard, FileInfo, RejectedRecording, Shard
from tokenize_pipeline.schema import rejected_to_bytes
from tokenize_pipeline.scratch import scratch_folder


class RunFolder:
    """The files of one output, by their names.

    Args:
        url: the OUTPUT of the run.
    """

    def __init__(self, url: str) -> None:
        self.url = storage.absolute(url)
        self.parts = PartsFolder(storage.join(self.url, "data"))

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
        return list(self.iterate_plan())

    def iterate_plan(self) -> Iterator[Shard]:
        """The frozen shards, in order, one at a time.

        Raises:
            DamagedOutputError: the plan is missing or cannot be read.
        """
        url = self._run("plan.jsonl")
        try:
            with storage.open_input(url) as file:
                yield from map(shard_from_json, file)
        except FileNotFoundError as error:
            raise DamagedOutputError(_missing(url)) from error
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedOutputError(f"{url} is damaged: {error}") from error

    def commits(self) -> dict[int, CommitRecord]:
        """The valid commit records, by shard. One that does not match its own hash is left out."""
        records = self.read_commits(self.commit_files())
        return {record.shard: record for record in records if record is not None}

    def commit_files(self) -> list[FileInfo]:
        """What a listing says of the commit records, valid or not."""
        return storage.list_files(self._run("commits"))

    def read_commits(self, files: Iterable[FileInfo]) -> Iterator[CommitRecord | None]:
        """These commit records, in order; None for one that does not match its own hash."""
        urls = [info.url for info in files]
        return map(commit_from_bytes, storage.for_each(storage.read_bytes, urls))

    def start_time(self) -> float | None:
        """When the run was begun, in seconds since 1970; None if there is none."""
        info = storage.file_info(self._run("run.json"))
        return None if info is None else info.modified or 0.0

    def driver_time(self) -> float | None:
        """When a driver gave its last sign of life; None if the last one has ended."""
        return max(
            (info.modified or 0.0 for info in storage.list_files(self.lock_url)), default=None
        )

    def finished(self, shards: Iterable[Shard]) -> dict[int, CommitRecord]:
        """Records of the shards whose parts are there, at their sizes, and not known as damaged."""
        commits, sizes = self.commits(), self.parts.sizes()
        held = [
            commits[shard.index]
            for shard in shards
            if shard.index in commits and holds(shard, commits[shard.index], sizes)
        ]
        suspects = self._suspects()
        damaged = self.parts.damaged(record for record in held if record.part in suspects)
        return {record.shard: record for record in held if record.part not in damaged}

    def part_url(self, part: str) -> str:
        """Where the part of that file name is, or will be."""
        return self.parts.part_url(part)

    def part_urls(self) -> list[str]:
        """Parts that valid commit records name, in the order of their shards."""
        commits = self.commits()
        parts = [commits[shard].part for shard in sorted(commits)]
        return [self.part_url(part) for part in parts if part is not None]

    def rejected(self) -> list[RejectedRecording]:
        """Every rejected recording that valid commit records name, in the order of the plan."""
        return rejected_in(self.commits())

    def start(self, identity: Mapping[str, Any], shards: Iterable[Shard]) -> None:
        """Freeze the plan and then the identity. From here on only the same run may write here."""
        url = self._run("plan.jsonl")
        with scratch_folder("plan-") as folder, _named(url):
            plan = folder / "plan.jsonl"
            with plan.open("w", encoding="utf-8") as file:
                file.writelines(f"{shard_to_json(shard)}\n" for shard in shards)
            storage.put_file(plan, url, staging=self._staging)
        self._write(self._run("run.json"), to_bytes(identity))

    def publish(self, finished: Path) -> None:
        """Make a finished local file the part of the same name. Called by workers."""
        url = self.part_url(finished.name)
        with _named(url):
            storage.put_file(finished, url, staging=self._staging)

    def commit(self, record: CommitRecord) -> None:
        """Record that a shard is done."""
        self._write(self._run("commits", f"{record.shard:06d}.json"), commit_to_bytes(record))

    def quarantine(self, failed: FailedShard) -> None:
        """Record that a shard was given up."""
        url = self._run("quarantine", f"{failed.shard.index:06d}.json")
        self._write(url, failed_to_bytes(failed))

    def release(self, shards: Container[int]) -> None:
        """Forget that shards were given up once."""
        for info in storage.list_files(self._run("quarantine")):
            if int(storage.name_of(info.url).partition(".")[0]) in shards:
                storage.delete(info.url)
        storage.delete_empty_folder(self._run("quarantine"))

    def write_rejected(self, rejected: Iterable[RejectedRecording] | None = None) -> None:
        """List the rejected recordings in one file, also when there are none.

        Args:
            rejected: in the order of the plan; those of all commits when None.
        """
        listed = self.rejected() if rejected is None else rejected
        self._write(self._run("rejected.parquet"), rejected_to_bytes(listed))

    def card(self) -> str | None:
        """The dataset card as it is; None if there is none."""
        try:
            return storage.read_bytes(storage.join(self.url, "README.md")).decode()
        except FileNotFoundError:
            return None

    def write_card(self, text: str) -> None:
        """The dataset card, which makes `load_dataset(OUTPUT)` work."""
        self._write(storage.join(self.url, "README.md"), text.encode())

    def is_finished(self) -> bool:
        """Whether the files that are written last are there, and none that goes before the end."""
        last = (storage.join(self.url, "README.md"), self._run("rejected.parquet"))
        passing = (self._run("quarantine"), self._staging, self.lock_url)
        return all(map(storage.exists, last)) and not any(map(storage.list_files, passing))

    def clean_staging(self) -> None:
        """Remove what workers that were killed left half copied or half uploaded."""
        storage.delete_files_below(self._staging)
        storage.abort_uploads(self.url)

    def _suspects(self) -> set[str]:
        """Parts that the last verification found damaged. They may have been made anew since."""
        try:
            return set(json.loads(storage.read_bytes(self._run("verify.json")))["damaged_parts"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return set()

    @property
    def _staging(self) -> str:
        return self._run("staging")

    @property
    def lock_url(self) -> str:
        """Folder for the lease of the driver."""
        return self._run("lock")

    def _write(self, url: str, data: bytes) -> None:
        with _named(url):
            storage.write_bytes(url, data, staging=self._staging)

    def _run(self, *parts: str) -> str:
        return storage.join(self.url, "_run", *parts)


@contextmanager
def _named(url: str) -> Iterator[None]:
    """Have faults inside the block say what could not be written."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno or errno.EIO, f"cannot write {url}: {reason}") from error


def rejected_in(
    commits: Mapping[int, CommitRecord], given_up: Iterable[FailedShard] = ()
) -> list[RejectedRecording]:
    """Every rejected recording that records name, in the order of their shards."""
    by_shard = {index: commits[index].rejected for index in commits if commits[index].rejected}
    by_shard.update((failed.shard.index, failed.rejected()) for failed in given_up)
    return [item for index in sorted(by_shard) for item in by_shard[index]]


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
        raise DamagedOutputError(_missing(url)) from error


def _missing(url: str) -> str:
    return f"{url} does not exist: no run was started here"
