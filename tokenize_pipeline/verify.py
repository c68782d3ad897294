"""Is a dataset of tokens any good: check every row, decode a sample of them, measure, show.

    run folder -> folder checks
    parts -> [ bytes and codec -> every row -> row checks -> sample ] -> groups -> round trips
          -> ids, codebooks, limits -> verify.json, report.html, VerifyResult

Parts are read one after another and row by row, and sampled rows gathered into groups of bounded
size, so memory does not grow with the dataset.
"""

import json
from collections import Counter, deque
from collections.abc import Iterator, Sequence

import torch

from codec import Codec
from codec.exact import one_thread
from tokenize_pipeline import storage
from tokenize_pipeline.errors import ConfigurationError, RunFailedError
from tokenize_pipeline.report import render
from tokenize_pipeline.verification.examples import Example, choose, load
from tokenize_pipeline.verification.folder_checks import check_counts, check_folder, check_part
from tokenize_pipeline.verification.limits import exceeded, limits_for
from tokenize_pipeline.verification.opened_run import OpenedRun, load_run_codec, open_run
from tokenize_pipeline.verification.pairs import SampledRow
from tokenize_pipeline.verification.problems import Problem, ProblemLog
from tokenize_pipeline.verification.result import Totals, VerifyResult
from tokenize_pipeline.verification.round_trip import RoundTrip, measure_rows
from tokenize_pipeline.verification.row_checks import RowChecks
from tokenize_pipeline.verification.sampling import sample_rows
from tokenize_pipeline.verification.scorecard import METRICS

DEFAULT_FRACTION = 0.1


def verify_run(
    url: str,
    *,
    fraction: float = DEFAULT_FRACTION,
    deep: bool = False,
    report: str | None = None,
    device: str = "cpu",
) -> VerifyResult:
    """Verify the output of a run; write verify.json and the report.

    Args:
        url: OUTPUT of the run.
        fraction: of the rows of each shard to decode and compare with the original, 0 to 1; at
            least one row a shard.
        deep: decode every row, whatever the fraction.
        report: where the report goes; OUTPUT/report.html when None.
        device: where the codec runs.

    Raises:
        ConfigurationError: there is no run at `url`, or the fraction is none.
        DamagedOutputError: the run cannot be read at all.
        RunFailedError: verify.json or the report cannot be written.
    """
    if not 0 <= fraction <= 1:
        raise ConfigurationError(f"--fraction must lie within 0 and 1, got {fraction:g}")
    run, log = open_run(url), ProblemLog()
    threads = torch.get_num_threads()
    with one_thread():  # inside operators; the codec works on recordings side by side
        codec = load_run_codec(run, device, threads, log)
        result = _inspect(run, codec, 1.0 if deep else fraction, report, log)
        page = render(result, [] if codec is None else _examples(run, result, codec))
    _write(result.json_url, _json_text(result))
    _write(result.report_url, page)
    return result


def _inspect(
    run: OpenedRun, codec: Codec | None, fraction: float, report: str | None, log: ProblemLog
) -> VerifyResult:
    checks = RowChecks(run.spec, run.num_codebooks, log)
    check_folder(run.folder, run.plan, run.commits, log)
    trips = list(_round_trips(run, checks, codec, fraction, log))
    checks.check_ids(run.all_rows())
    checks.check_codebooks()
    result = VerifyResult(
        url=run.folder.url,
        identity=run.identity,
        spec=run.spec,
        num_codebooks=run.num_codebooks,
        fraction=fraction,
        totals=_totals(run, checks),
        trips=trips,
        codebooks=checks.codes.statistics(),
        limits=limits_for(run.spec),
        log=log,
        json_url=storage.join(run.folder.url, "_run", "verify.json"),
        report_url=storage.absolute(report or storage.join(run.folder.url, "report.html")),
    )
    _check_limits(result)
    return result


def _round_trips(
    run: OpenedRun, checks: RowChecks, codec: Codec | None, fraction: float, log: ProblemLog
) -> Iterator[RoundTrip]:
    """Check every part and every row of it; round trip the sampled rows."""
    sampled = _sampled_rows(run, checks, fraction, log)
    if codec is None:
        deque(sampled, maxlen=0)  # for the sake of the checks
        return
    for found in measure_rows(sampled, codec):
        problem = found if isinstance(found, Problem) else found.problem
        if problem is not None:
            log.add(problem.code, problem.where, problem.detail)
        if isinstance(found, RoundTrip):
            yield found


def _sampled_rows(
    run: OpenedRun, checks: RowChecks, fraction: float, log: ProblemLog
) -> Iterator[SampledRow]:
    """Check every part and every row of it; pass on a sample of the sound ones."""
    for record in run.parts():
        if not check_part(run.folder, record, run.spec, log):
            continue
        rows_before, recordings_before = checks.rows, checks.recordings
        part = str(record.part)
        sound = checks.sound_rows(run.rows(part, log))
        for row in sample_rows(sound, fraction):
            yield SampledRow(row, part, run.items(record.shard))
        rows, recordings = checks.rows - rows_before, checks.recordings - recordings_before
        check_counts(record, rows, recordings, log)


def _check_limits(result: VerifyResult) -> None:
    """Note each metric whose mean is past its limit, and the rows that are worst by it."""
    if result.limits is None:
        return
    past = exceeded(result.limits, result.statistics())
    for metric in METRICS:
        if metric.name in past:
            worst = ", ".join(trip.id for trip in result.worst(metric, 3))
            result.log.add("limit_exceeded", metric.name, f"{past[metric.name]}; worst: {worst}")


def _totals(run: OpenedRun, checks: RowChecks) -> Totals:
    reasons = Counter(item.code for c in run.commits.values() for item in c.rejected)
    return Totals(
        shards=len(run.plan),
        shards_done=sum(shard.index in run.commits for shard in run.plan),
        rows=checks.rows,
        recordings=checks.recordings,
        frames=checks.num_frames,
        seconds=checks.num_samples / run.spec.sample_rate,
        part_bytes=sum(record.size_bytes for record in run.parts()),
        rejected=dict(sorted(reasons.items())),
    )


def _examples(run: OpenedRun, result: VerifyResult, codec: Codec) -> Sequence[Example]:
    """The recordings of the report, read again: audio is not kept while measuring."""
    chosen = {choice.key: choice for choice in choose(result.ranked())}
    loaded: dict[int, Example] = {}
    for record in run.parts():
        here = [choice for choice in chosen.values() if choice.trip.part == record.part]
        if here:
            rows = run.rows(str(record.part), ProblemLog())
            found = load(here, rows, run.items(record.shard), codec)
            loaded.update((example.choice.key, example) for example in found)
    return [loaded[key] for key in chosen if key in loaded]


def _json_text(result: VerifyResult) -> str:
    return json.dumps(result.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _write(url: str, text: str) -> None:
    try:
        storage.write_bytes(url, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise RunFailedError(f"cannot write {url}: {error}") from error
