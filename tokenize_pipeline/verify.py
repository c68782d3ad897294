"""Is a dataset of tokens any good: check every row, decode a sample of them, measure, show.

    run folder -> folder checks
    shards -> [ every row, round trips of a sample ] in this process or on a Ray cluster
           -> merged findings, limits -> verify.json, report.html, card

Shards are verified one by one and their findings added up, so memory does not grow with the
dataset, and the result is the same wherever and in whatever order they were verified.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence

import torch

from codec import Codec
from codec.exact import one_thread
from tokenize_pipeline import storage
from tokenize_pipeline.card import with_verification
from tokenize_pipeline.cluster import cluster
from tokenize_pipeline.errors import PipelineError, RunFailedError
from tokenize_pipeline.pool import Crew, ShardPool
from tokenize_pipeline.records import FailedShard
from tokenize_pipeline.report import render
from tokenize_pipeline.status import read_status
from tokenize_pipeline.verification.card_findings import card_findings
from tokenize_pipeline.verification.examples import Example, choose, load_examples
from tokenize_pipeline.verification.findings import ShardFindings
from tokenize_pipeline.verification.folder_checks import check_folder
from tokenize_pipeline.verification.limits import exceeded, limits_for
from tokenize_pipeline.verification.merging import MergedFindings
from tokenize_pipeline.verification.opened_run import (
    CommittedShard,
    OpenedRun,
    load_run_codec,
    open_run,
)
from tokenize_pipeline.verification.problems import Problem, ProblemLog
from tokenize_pipeline.verification.result import Totals, VerifyResult
from tokenize_pipeline.verification.scorecard import METRICS
from tokenize_pipeline.verification.settings import VerifyConfig
from tokenize_pipeline.verification.shard_check import ShardVerifier
from tokenize_pipeline.verification.worker import VerifyWorker

# Above this a cluster is worth its start: some minutes of work for one process.
LARGEST_ALONE_SECONDS = 20 * 3600.0  # of audio


def verify_run(config: VerifyConfig) -> VerifyResult:
    """Verify the output of a run; write verify.json and the report.

    Raises:
        ConfigurationError: there is no run, or a cluster cannot be reached.
        DamagedOutputError: the run cannot be read at all.
        RunFailedError: the cluster was lost, or verify.json or the report cannot be written.
    """
    run = open_run(config.output)
    problems, notices = ProblemLog(), ProblemLog()
    threads = torch.get_num_threads()
    with one_thread():  # inside operators; the codec works on recordings side by side
        codec = load_run_codec(run, config.device, threads, problems, config.gpu_slots)
        check_folder(run.folder, run.plan, run.commits, problems)
        with MergedFindings(run) as merged:
            for found in _findings(run, config, codec):
                if isinstance(found, Problem):
                    problems.take(found)
                else:
                    merged.add(found)
            merged.finish(problems, notices)
            result = _result(run, config, merged, problems, notices)
        examples = [] if codec is None else _examples(run, result, codec)
        page = render(result, examples)
    _write(result.json_url, _json_text(result))
    _write(result.report_url, page)
    _update_card(run, result)
    return result


def _findings(
    run: OpenedRun, config: VerifyConfig, codec: Codec | None
) -> Iterator[ShardFindings | Problem]:
    """What each shard that made a part shows, as it comes."""
    shards = run.shards_with_parts()
    if not _wants_cluster(run, config):
        verifier = ShardVerifier(run, codec, config.share)
        yield from map(verifier.verify, shards)
        return
    with cluster(config) as room:
        for found in ShardPool(config, shards, room, Crew(VerifyWorker)).run(lambda _: None):
            yield _given_up(found) if isinstance(found, FailedShard) else found


def _wants_cluster(run: OpenedRun, config: VerifyConfig) -> bool:
    """Whether a cluster was asked for, or the dataset is large enough for one."""
    if not run.commits:
        return False
    asked = config.workers is not None or config.address is not None
    seconds = sum(record.seconds for record in run.commits.values())
    return asked or seconds > LARGEST_ALONE_SECONDS


def _given_up(failed: FailedShard) -> Problem:
    assert isinstance(failed.shard, CommittedShard), "only such shards were given to the pool"
    where = failed.shard.record.part or f"shard {failed.shard.index}"
    return Problem("shard_not_verified", where, f"tried {failed.attempts} times: {failed.cause}")


def _result(
    run: OpenedRun,
    config: VerifyConfig,
    merged: MergedFindings,
    problems: ProblemLog,
    notices: ProblemLog,
) -> VerifyResult:
    result = VerifyResult(
        url=run.folder.url,
        identity=run.identity,
        spec=run.spec,
        num_codebooks=run.num_codebooks,
        fraction=config.share,
        totals=_totals(run, merged),
        speed=_speed(run),
        trips=merged.trips,
        codebooks=merged.codes.statistics(),
        shard_codes=merged.shard_codes,
        limits=limits_for(run.spec, run.num_codebooks),
        log=problems,
        notices=notices,
        json_url=storage.join(run.folder.url, "_run", "verify.json"),
        report_url=storage.absolute(config.report or storage.join(run.folder.url, "report.html")),
    )
    _check_limits(result)
    return result


def _check_limits(result: VerifyResult) -> None:
    """Note each metric whose mean is past its limit, and the rows that are worst by it."""
    past = exceeded(result.limits, result.statistics())
    for metric in METRICS:
        if metric.name in past:
            worst = ", ".join(trip.id for trip in result.worst(metric, 3))
            result.log.add("limit_exceeded", metric.name, f"{past[metric.name]}; worst: {worst}")


def _totals(run: OpenedRun, merged: MergedFindings) -> Totals:
    reasons = Counter(item.code for c in run.commits.values() for item in c.rejected)
    return Totals(
        shards=len(run.plan),
        shards_done=sum(shard.index in run.commits for shard in run.plan),
        rows=merged.rows,
        recordings=merged.recordings,
        frames=merged.frames,
        seconds=merged.samples / run.spec.sample_rate,
        part_bytes=sum(record.size_bytes for record in run.commits.values()),
        rejected=dict(sorted(reasons.items())),
    )


def _speed(run: OpenedRun) -> float | None:
    """How fast the run was, if its files still say so."""
    try:
        status = read_status(run.folder.url)
    except PipelineError:
        return None
    return status.overall_speed if status.state == "finished" else None


def _examples(run: OpenedRun, result: VerifyResult, codec: Codec) -> Sequence[Example]:
    """The recordings of the report, read again: audio is not kept while measuring."""
    return load_examples(choose(result.ranked()), run, codec)


def _update_card(run: OpenedRun, result: VerifyResult) -> None:
    """Put the figures on the dataset card, if there is one."""
    card = run.folder.card()
    if card is None:
        return
    updated = with_verification(card, card_findings(result))
    if updated != card:
        run.folder.write_card(updated)


def _json_text(result: VerifyResult) -> str:
    return json.dumps(result.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _write(url: str, text: str) -> None:
    try:
        storage.write_bytes(url, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise RunFailedError(f"cannot write {url}: {error}") from error
