"""How far a run is, from its output folder alone: `tokenize-pipeline status OUTPUT`.

    run.json -> when it began
    lock/ -> whether a driver lives, which says so there every few seconds
    plan.jsonl, a line at a time -> bytes that each shard reads
    listing of commits/ -> which shards are done, and when
    some commit records -> hours, rejected recordings, retries

Never more than `RECENT_RECORDS + OLDER_RECORDS` commit records are read, so that a run of 100,000
shards costs a listing and a thousand small reads. What the others hold is then estimated by the
bytes that their shards read, and the figures say "about".
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.errors import ConfigurationError
from tokenize_pipeline.records import CommitRecord, FileInfo

RECENT_RECORDS = 200  # all read; the present speed is theirs
OLDER_RECORDS = 800  # read of those before, evenly spaced in time
DEAD_SECONDS = 180.0  # without a sign of life: many beats of a driver, and clocks that disagree


@dataclass(frozen=True)
class RunStatus:
    """How far a run is."""

    output: str
    state: str  # "finished", "running", or "stopped": no driver is at work
    shards_done: int
    shards: int
    source_bytes_done: int
    source_bytes: int
    audio_hours: float  # made into tokens
    rejected: int  # recordings
    retries: int  # attempts beyond the first, of shards that are done
    is_estimate: bool  # of the three above: only some commit records were read
    speed: float | None  # x real time, of the last shards
    overall_speed: float | None  # x real time since the beginning, pauses included
    seconds_since_start: float
    seconds_since_commit: float | None
    seconds_left: float | None  # at the present speed; None while nobody can say
    end: str | None  # that as a time, UTC

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Commit:
    """A commit record that was read, with when it was written."""

    record: CommitRecord
    time: float


def read_status(output: str, now: float | None = None) -> RunStatus:
    """Look at a run without touching it.

    Args:
        output: OUTPUT of the run.
        now: seconds since 1970; the clock's when None.

    Raises:
        ConfigurationError: there is no run at `output`.
        DamagedOutputError: its identity or its plan cannot be read.
    """
    now = time.time() if now is None else now
    folder = RunFolder(output)
    begun = folder.start_time()
    if begun is None:
        raise ConfigurationError(
            f"{output} holds no run: there is no _run/run.json in it; give the --output of tokenize"
        )
    sizes = {shard.index: shard.size_bytes for shard in folder.iterate_plan()}
    files = sorted(
        (info for info in folder.commit_files() if _shard(info) in sizes), key=_time_and_url
    )
    done_bytes = sum(sizes[_shard(info)] for info in files)
    read = _read(folder, _chosen(files))
    read_bytes = sum(sizes[commit.record.shard] for commit in read)
    scale = done_bytes / read_bytes if read_bytes else 1.0
    audio_seconds = scale * sum(commit.record.seconds for commit in read)
    state = _state(folder, len(files) == len(sizes), now)
    until = now if state == "running" else max([begun, *(commit.time for commit in read)])
    speed, bytes_a_second = _rates(read[-RECENT_RECORDS:], sizes, until)
    left = _seconds_left(sum(sizes.values()) - done_bytes, bytes_a_second, state)
    return RunStatus(
        output=folder.url,
        state=state,
        shards_done=len(files),
        shards=len(sizes),
        source_bytes_done=done_bytes,
        source_bytes=sum(sizes.values()),
        audio_hours=audio_seconds / 3600,
        rejected=round(scale * sum(len(commit.record.rejected) for commit in read)),
        retries=round(scale * sum(commit.record.attempts - 1 for commit in read)),
        is_estimate=len(read) < len(files),
        speed=speed,
        overall_speed=audio_seconds / (until - begun) if until > begun else None,
        seconds_since_start=now - begun,
        seconds_since_commit=now - files[-1].modified if files and files[-1].modified else None,
        seconds_left=left,
        end=None if left is None else _utc(now + left),
    )


def status_lines(status: RunStatus) -> list[str]:
    """The status for people."""
    about = "about " if status.is_estimate else ""
    share = status.source_bytes_done / status.source_bytes if status.source_bytes else 1.0
    lines = [
        f"{status.output}: {_state_text(status)}",
        f"{status.shards_done} of {status.shards} shards, {share:.1%} of the bytes",
        f"{about}{status.audio_hours:.2f} hours of audio, {about}{status.rejected} rejected, "
        f"{about}{status.retries} retries",
    ]
    if status.speed is not None:
        lines.append(f"{status.speed:.1f} x real time, the last {RECENT_RECORDS} shards")
    if status.overall_speed is not None:
        began = _duration(status.seconds_since_start)
        lines.append(f"{status.overall_speed:.1f} x real time since it began {began} ago")
    if status.seconds_left is not None and status.state != "finished":
        lines.append(f"{_duration(status.seconds_left)} left: ends about {status.end}")
    return lines


def _chosen(files: Sequence[FileInfo]) -> list[FileInfo]:
    """The last ones, and of those before some, evenly spaced."""
    older, recent = files[:-RECENT_RECORDS], files[-RECENT_RECORDS:]
    count = min(len(older), OLDER_RECORDS)
    return [*(older[index * len(older) // count] for index in range(count)), *recent]


def _read(folder: RunFolder, files: Sequence[FileInfo]) -> list[_Commit]:
    """The valid ones of these commit records, in the same order."""
    return [
        _Commit(record, info.modified or 0.0)
        for record, info in zip(folder.read_commits(files), files, strict=True)
        if record is not None
    ]


def _state(folder: RunFolder, all_done: bool, now: float) -> str:
    alive = folder.driver_time()
    if alive is not None and now - alive <= DEAD_SECONDS:
        return "running"
    return "finished" if all_done and folder.is_finished() else "stopped"


def _rates(
    commits: Sequence[_Commit], sizes: Mapping[int, int], until: float
) -> tuple[float | None, float | None]:
    """Seconds of audio, and bytes of sources, a second. The first commit is where time begins."""
    seconds = until - commits[0].time if commits else 0.0
    if len(commits) < 2 or seconds <= 0:
        return None, None
    later = [commit.record for commit in commits[1:]]
    audio_seconds = sum(record.seconds for record in later)
    return audio_seconds / seconds, sum(sizes[record.shard] for record in later) / seconds


def _seconds_left(bytes_left: int, bytes_a_second: float | None, state: str) -> float | None:
    if state == "finished":
        return 0.0
    return bytes_left / bytes_a_second if bytes_a_second and state == "running" else None


def _state_text(status: RunStatus) -> str:
    if status.state == "finished":
        return "finished"
    ago = status.seconds_since_commit
    last = "no shard done yet" if ago is None else f"last shard done {_duration(ago)} ago"
    hint = "; the same tokenize command goes on" if status.state == "stopped" else ""
    return f"{status.state}, {last}{hint}"


def _shard(info: FileInfo) -> int:
    """The shard that a commit record is of, by its name; -1 for what is no commit record."""
    name = info.url.rpartition("/")[2].removesuffix(".json")
    return int(name) if name.isdigit() else -1


def _time_and_url(info: FileInfo) -> tuple[float, str]:
    return info.modified or 0.0, info.url


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
