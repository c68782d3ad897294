"""The driver: from sources to a finished dataset. Only it writes plans, commit records and cards.

    sources -> items -> shards -> (workers) -> commit records -> rejected.parquet, card

Everything that can be wrong with the command is found before the first byte is written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from codec import CodecSpec, list_codecs
from tokenize_pipeline import storage
from tokenize_pipeline.card import card_text
from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.errors import ConfigurationError, LimitExceededError, RunFailedError
from tokenize_pipeline.plan import (
    changed_items,
    codec_identity,
    differences,
    plan_items,
    plan_shards,
    run_identity,
)
from tokenize_pipeline.pool import FailedShard, ShardPool, cluster
from tokenize_pipeline.progress import Progress, Tally
from tokenize_pipeline.records import CommitRecord, Shard
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

    @property
    def recordings(self) -> int:
        """Items of all shards."""
        return sum(len(shard.items) for shard in self.shards)


def prepare(config: TokenizeConfig) -> Run:
    """Check a command to the last detail without writing anything.

    Raises:
        ConfigurationError: it cannot be done, or the output holds something else.
        CodecError: the codec does not exist or cannot be used like that.
    """
    config = _with_absolute_paths(config)
    items = plan_items(config.sources)
    spec = open_codec(config).spec
    codec = codec_identity(spec, config)
    shards = plan_shards(items, codec)
    run = Run(config, RunFolder(config.output), spec, run_identity(codec, shards), tuple(shards))
    _check_output(run)
    return run


def tokenize(run: Run) -> RunSummary:
    """Do what is left of a run.

    Returns:
        What the run has made in all, earlier sessions included.

    Raises:
        RunFailedError: shards failed; the same command tries them again.
    """
    commits = _done(run)
    left = [shard for shard in run.shards if shard.index not in commits]
    if left:
        with cluster(run.config):
            pool = ShardPool(run.config, left)
            _start(run)
            failed = _work(run, pool, commits)
        if failed:
            raise RunFailedError(_failed_text(failed, len(run.shards)))
    summary = summarize(commits.values())
    if left or not run.folder.is_finished():
        run.folder.write_rejected()
        run.folder.write_card(card_text(run.folder.identity(), summary))
    run.folder.clean_staging()
    return summary


def check_limits(run: Run, summary: RunSummary) -> None:
    """Hold a finished run to what the user allows.

    Raises:
        LimitExceededError: too many recordings were rejected.
    """
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
        if changed := changed_items(run.folder.plan(), run.shards):
            found = [text for text in found if not text.startswith("plan.")]
            found.append(f"the sources have changed since: {changed}")
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
    if not run.folder.exists():
        return {}
    commits = run.folder.commits()
    records = ((shard, commits.get(shard.index)) for shard in run.shards)
    return {
        shard.index: record
        for shard, record in records
        if record is not None and run.folder.holds(shard, record)
    }


def _start(run: Run) -> None:
    if run.folder.exists():
        run.folder.clean_staging()
        return
    try:
        run.folder.start(run.identity, run.shards)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError(f"cannot write to {run.folder.url}: {reason}") from error


def _work(run: Run, pool: ShardPool, commits: dict[int, CommitRecord]) -> list[FailedShard]:
    """Have the shards worked on and commit what comes; return those that were given up."""
    failed = []
    before = _tally(commits.values(), run.spec)
    with Progress(run.recordings, run.spec.sample_rate, before) as progress:

        def show(running: Tally) -> None:
            progress.show(_tally(commits.values(), run.spec) + running)

        for outcome in pool.run(show):
            if isinstance(outcome, FailedShard):
                failed.append(outcome)
            else:
                run.folder.commit(outcome)
                commits[outcome.shard] = outcome
        show(Tally())
    return failed


def _tally(commits: Iterable[CommitRecord], spec: CodecSpec) -> Tally:
    """Commit records in the terms of a progress line."""
    summary = summarize(commits)
    samples = round(summary.seconds * spec.sample_rate)
    return Tally(summary.recordings, summary.rejected, samples)


def _failed_text(failed: Sequence[FailedShard], num_shards: int) -> str:
    first = failed[0]
    return (
        f"{len(failed)} of {num_shards} shards failed {first.attempts} times each; shard "
        f"{first.shard.index} (from {first.shard.items[0].id}): {first.cause}"
    )
