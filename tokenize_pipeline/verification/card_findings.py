"""What verification found, for the dataset card."""

from collections.abc import Iterator

from tokenize_pipeline.verification.problems import PROBLEM_CODES
from tokenize_pipeline.verification.result import VerifyResult
from tokenize_pipeline.verification.scorecard import METRICS


def card_findings(result: VerifyResult) -> str:
    """The findings as Markdown."""
    return "\n".join([*_verdict(result), "", *_quality(result)])


def _verdict(result: VerifyResult) -> Iterator[str]:
    counts = result.log.counts
    if not counts:
        yield f"No problems were found in {result.totals.rows:,} rows."
        return
    yield f"Problems were found in {result.totals.rows:,} rows; `_run/verify.json` says where:"
    yield ""
    for code, count in counts.items():
        yield f"- `{code}`: {count:,}; {PROBLEM_CODES[code]}"


def _quality(result: VerifyResult) -> Iterator[str]:
    if not result.trips:
        yield "Nothing was decoded."
        return
    seconds = sum(trip.seconds for trip in result.trips)
    again = result.reencoded()
    differing = f"{again['codes_differing']:,} of {again['codes']:,} codes differ"
    if not again["codes_differing"]:
        differing = f"none of {again['codes']:,} codes differs"
    yield (
        f"{len(result.trips):,} rows, {seconds:,.0f} s of them, were decoded and compared with "
        f"their originals; encoded again, {differing}. `report.html` lets you hear it."
    )
    yield ""
    yield "| Metric | Mean | Median | Limit of the mean |"
    yield "|---|--:|--:|--:|"
    for metric in METRICS:
        statistics, limit = result.statistics_of(metric), result.limit(metric)
        if statistics is not None:
            unit = f" {metric.unit}" if metric.unit else ""
            bound = "" if limit is None else f"{limit:g}{unit}"
            figures = f"{statistics.mean:.2f}{unit} | {statistics.median:.2f}{unit} | {bound}"
            yield f"| {metric.title} | {figures} |"
    yield ""
    yield f"Limits: {result.limits.source}."
