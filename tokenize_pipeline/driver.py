"""The driver: from sources to a finished dataset. Only it writes plans, commit records and cards.

    sources -> items -> shards -> (workers) -> commit records -> rejected.parquet, card

Everything that can be wrong with the command is found before the first byte is written.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from codec import CodecSpec, list_codecs
from tokenize_pipeline import storage
from tokenize_pipeline.card import card_text
from tokenize_pipeline.cluster import Room, cluster
from tokenize_pipeline.commit import RunFolder, rejected_in
from tokenize_pipeline.committing import Committing
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.errors import ConfigurationError, LimitExceededError, RunFailedError
from tokenize_pipeline.lease import Lease
from tokenize_pipeline.metadata import FLAGS, agree_columns
from tokenize_pipeline.plan import (
    changed_items,
    codec_identity,
    differences,
    plan_shards,
    plan_sources,
    run_identity,
)
from tokenize_pipeline.pool import ShardPool
from tokenize_pipeline.progress import Progress, Tally
from tokenize_pipeline.records import CommitRecord, FailedShard, Shard, SourceItem
from tokenize_pipeline.summary import RunSummary, summarize
from tokenize_pipeline.worker import open_codec


@dataclass(frozen=True)
class Run:
    """A checked command: what will be done, and where."""

    config: TokenizeConfig
    folder: RunFolder
    spec: CodecSpec
    identity: dict[str, Any]
    shards: tuple[Shard, ...]
    ignored_files: int = 0  # of the sources; their names end like nothing that we read

    @property
    def recordings(self) -> int | None:
        """Recordings of all shards; None where only reading the sources will tell."""
        counts = [item.recordings for shard in self.shards for item in shard.items]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None


def prepare(config: TokenizeConfig) -> Run:
    """Check a command to the last detail without writing anything.

    Raises:
        ConfigurationError: it cannot be done, or the output holds something else.
        CodecError: the codec does not exist or cannot be used like that.
    """
    config = _with_absolute_paths(config)
    found = plan_sources(config.sources)
    spec = open_codec(config).spec
    codec = codec_identity(spec, config)
    shards = plan_shards(found.items, codec, _columns(config, found.items))
    identity = run_identity(codec, shards)
    run = Run(config, RunFolder(config.output), spec, identity, tuple(shards), found.ignored_files)
    _check_output(run)
    return run


def _columns(config: TokenizeConfig, items: Sequence[SourceItem]) -> dict[str, str]:
    """The columns of all parts besides those that every run has, type by name."""
    return agree_columns(items) | ({FLAGS: "list"} if config.keep else {})


def tokenize(run: Run) -> RunSummary:
    """Do what is left of a run. A finished one is left as it is.

    Returns:
        What the run has made in all, earlier sessions included.

    Raises:
        ConfigurationError: the output cannot be written to, or another driver is at work there.
        RunFailedError: the run stopped; the same command resumes it.
    """
    commits = _done(run)
    if len(commits) < len(run.shards):
        with cluster(run.config) as room, _driving(run) as lease:
            return _tokenize(run, room, lease)
    if not run.folder.is_finished():
        with _driving(run):
            return _finish(run, commits, ())
    return summarize(commits.values())


def check_limits(run: Run, summary: RunSummary) -> None:
    """Hold a finished run to what the user allows.

    Raises:
        LimitExceededError: too many recordings were rejected.
    """
    if quarantined := summary.rejected_by_code.get("quarantined"):
        raise LimitExceededError(
            f"{quarantined} of {summary.recordings} recordings are in shards that were given up; "
            f"{run.folder.url}/_run/quarantine says why, and the same command tries them again. "
            "The others are done"
        )
    if summary.rejected_fraction > run.config.max_rejected:
        raise LimitExceededError(
            f"{summary.rejected_text()} of {summary.recordings} recordings were rejected; "
            f"--max-rejected allows {run.config.max_rejected:.2%}. The others are done"
        )


def _with_absolute_paths(config: TokenizeConfig) -> TokenizeConfig:
    """Local paths as every process of the run can use them, wherever it was started."""
    codec = config.codec
    if codec not in list_codecs() and Path(codec).exists():
        codec = storage.absolute(codec)
    return replace(config, codec=codec, output=storage.absolute(config.output))


def _check_output(run: Run) -> None:
    """Refuse an output that holds anything but this run."""
    url = run.folder.url
    if run.folder.exists():
        found = differences(run.folder.identity(), run.identity)
        others = [text for text in found if not text.startswith("plan.")]
        if found != others and (changed := changed_items(run.folder.plan(), run.shards)):
            found = [*others, f"the sources have changed since: {changed}"]
        if found:
            raise ConfigurationError(
                f"{url} holds another run: {'; '.join(found)}. Choose another --output, or repeat "
                "the command of that run"
            )
    elif storage.file_info(url) is not None:
        raise ConfigurationError(f"the output is a file, not a folder: {url}")
    elif storage.list_files(storage.join(url, "data")):
        raise ConfigurationError(f"{url} holds data that is of no run; choose another --output")


def _done(run: Run) -> dict[int, CommitRecord]:
    """Commit records of the shards that need no more work."""
    return run.folder.finished(run.shards) if run.folder.exists() else {}


@contextmanager
def _driving(run: Run) -> Iterator[Lease]:
    """Be the only driver of a run for as long as the block runs."""
    with Lease(run.folder.lock_url) as lease:
        _check_output(run)  # again, now that nobody else writes
        try:
            yield lease
        except OSError as error:
            raise RunFailedError(f"{error.strerror or error}; the same command resumes") from error


def _tokenize(run: Run, room: Room, lease: Lease) -> RunSummary:
    """Do what is left, as the only driver."""
    run.folder.clean_staging()
    commits = _done(run)
    given_up = _work(run, room, lease, commits)
    lease.check()
    if failed := [shard for shard in given_up if not shard.quarantined]:
        raise RunFailedError(_failed_text(failed, len(run.shards)))
    return _finish(run, commits, given_up)


def _work(
    run: Run, room: Room, lease: Lease, commits: dict[int, CommitRecord]
) -> list[FailedShard]:
    """Have the shards that are left worked on; add to `commits`; return those given up."""
    left = [shard for shard in run.shards if shard.index not in commits]
    given_up = []
    sample_rate = run.spec.sample_rate
    with (
        Committing(run.folder, commits, sample_rate) as committing,
        Progress(run.recordings, sample_rate, committing.tally) as progress,
    ):

        def show(running: Tally) -> None:
            lease.check()
            progress.show(committing.tally + running)

        def begin() -> None:
            if not run.folder.exists():
                run.folder.start(run.identity, run.shards)

        for outcome in ShardPool(run.config, left, room).run(show, begin):
            if isinstance(outcome, CommitRecord):
                committing.add(outcome)
                continue
            given_up.append(outcome)
            if outcome.quarantined:
                run.folder.quarantine(outcome)
        committing.flush()
        show(Tally())
    return given_up


def _finish(
    run: Run, commits: dict[int, CommitRecord], given_up: Sequence[FailedShard]
) -> RunSummary:
    """Check what is there and write what is written last."""
    run.folder.parts.settle(commits.values())
    summary = summarize(commits.values(), given_up)
    run.folder.write_rejected(rejected_in(commits, given_up))
    run.folder.write_card(card_text(run.folder.identity(), summary))
    run.folder.release(commits)
    run.folder.clean_staging()
    return summary


def _failed_text(failed: Sequence[FailedShard], num_shards: int) -> str:
    first = failed[0]
    return (
        f"{len(failed)} of {num_shards} shards failed {first.attempts} times each; shard "
        f"{first.shard.index} (from {first.shard.items[0].id}): {first.cause}"
    )
