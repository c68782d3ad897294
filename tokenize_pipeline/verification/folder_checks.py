"""Integrity of the run folder: plan, commit records, parts and rejections add up."""

from collections import Counter
from collections.abc import Mapping, Sequence

from codec.base import CodecSpec
from codec.hashing import sha256_of_file
from tokenize_pipeline import storage
from tokenize_pipeline.commit import RunFolder, rejected_in
from tokenize_pipeline.errors import DamagedOutputError
from tokenize_pipeline.records import CommitRecord, Shard
from tokenize_pipeline.schema import part_spec, rejected_from_bytes
from tokenize_pipeline.verification.problems import ProblemLog


def check_folder(
    folder: RunFolder, plan: Sequence[Shard], commits: Mapping[int, CommitRecord], log: ProblemLog
) -> None:
    """Compare plan, commit records and the files under data/, without opening a part."""
    planned = {shard.index: shard for shard in plan}
    for index in sorted(planned.keys() - commits.keys()):
        log.add("shard_not_done", f"shard {index}", f"of {len(plan)} shards; run the job again")
    for index in sorted(commits.keys() - planned.keys()):
        log.add("shard_not_planned", f"shard {index}", f"the plan has {len(plan)} shards")
    named = {record.part for record in commits.values()}
    for info in storage.list_files(storage.join(folder.url, "data")):
        name = storage.name_of(info.url)
        if name not in named:
            log.add("part_unexpected", name, f"{info.size_bytes} bytes that no commit names")
    if planned.keys() <= commits.keys():  # the list is written when all shards are done
        _check_rejected(folder, commits, log)


def check_part(folder: RunFolder, record: CommitRecord, spec: CodecSpec, log: ProblemLog) -> bool:
    """Compare the bytes and the codec of a part with what was committed.

    Returns:
        Whether the part is there and can be opened.
    """
    if record.part is None:
        return False
    url = folder.part_url(record.part)
    info = storage.file_info(url)
    if info is None:
        log.add("part_missing", record.part, f"{record.rows} rows are gone; run the job again")
        return False
    with storage.open_input(url) as file:
        sha256 = sha256_of_file(file)
    if (info.size_bytes, sha256) != (record.size_bytes, record.sha256):
        found = f"{info.size_bytes} bytes, sha256 {sha256[:12]}"
        committed = f"{record.size_bytes} bytes, sha256 {(record.sha256 or 'none')[:12]}"
        log.add("part_damaged", record.part, f"{found}; committed were {committed}")
    return _check_spec(url, spec, log)


def check_counts(record: CommitRecord, rows: int, recordings: int, log: ProblemLog) -> None:
    """Compare what a part holds with what its commit record counts.

    Args:
        record: of the shard.
        rows: that the part has.
        recordings: that those rows come from.
        log: takes the problems.
    """
    where = record.part or f"shard {record.shard}"
    if rows != record.rows:
        log.add("row_count_differs", where, f"{rows} rows, the commit record counts {record.rows}")
    accounted = recordings + len(record.rejected)
    if accounted != record.recordings:
        detail = (
            f"{recordings} recordings in rows and {len(record.rejected)} rejected, "
            f"but {record.recordings} were read"
        )
        log.add("recording_lost", where, detail)


def _check_spec(url: str, spec: CodecSpec, log: ProblemLog) -> bool:
    name = storage.name_of(url)
    try:
        found = part_spec(url)
    except DamagedOutputError as error:
        log.add("part_damaged", name, str(error))
        return False
    if found != spec:
        detail = f"{found.name} {found.fingerprint[:12]}, the run has {spec.name} "
        log.add("part_of_other_codec", name, detail + spec.fingerprint[:12])
    return True


def _check_rejected(
    folder: RunFolder, commits: Mapping[int, CommitRecord], log: ProblemLog
) -> None:
    where = "_run/rejected.parquet"
    try:
        listed = rejected_from_bytes(storage.read_bytes(storage.join(folder.url, where)))
    except (OSError, ValueError) as error:
        log.add("rejected_list_differs", where, f"it cannot be read: {error}")
        return
    expected = rejected_in(commits)
    if Counter(r.code for r in listed) != Counter(r.code for r in expected):
        detail = f"{len(listed)} recordings, the commit records name {len(expected)}"
        log.add("rejected_list_differs", where, detail)
