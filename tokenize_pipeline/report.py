"""The report: one HTML page that needs nothing else, to read and to listen.

Every text from the dataset (ids, paths, messages) is escaped: a file name may hold anything.
"""

import json
from collections.abc import Iterator, Sequence
from html import escape
from statistics import median

from tokenize_pipeline.storage import name_of
from tokenize_pipeline.verification.code_statistics import CodebookStatistics
from tokenize_pipeline.verification.examples import Example
from tokenize_pipeline.verification.listening import listening_section
from tokenize_pipeline.verification.markup import (
    definitions,
    heading_cell,
    note,
    number_cell,
    page,
    section,
    table,
    text_cell,
)
from tokenize_pipeline.verification.plots import drift_bars, histogram, usage_bars
from tokenize_pipeline.verification.problems import NOTICE_CODES, PROBLEM_CODES
from tokenize_pipeline.verification.result import VerifyResult
from tokenize_pipeline.verification.scorecard import METRICS, Metric
from tokenize_pipeline.verification.style import CSS

_SHARDS_NAMED = 5
_HEADLINE_METRICS = ("si_sdr", "log_mel_distance", "stoi")
_FOOTER = "<p>Made by tokenize-pipeline verify. The same figures are in _run/verify.json.</p>"


def render(result: VerifyResult, examples: Sequence[Example]) -> str:
    """The page as text.

    Args:
        result: what verification found.
        examples: recordings to listen to.
    """
    body = "".join(
        [
            _problems(result),
            listening_section(examples, result.spec),
            _quality(result),
            _distributions(result),
            _codebooks(result.codebooks),
            _shards(result),
            _notices(result),
            _rejected(result),
            _run(result),
        ]
    )
    title = f"{name_of(result.url)}: verification"
    return page(title, CSS, _headline(result), body, _FOOTER)


def _headline(result: VerifyResult) -> str:
    spec, count = result.spec, sum(result.log.counts.values())
    verdict = f"{count:,} problem{'s' if count > 1 else ''} found" if count else "No problems found"
    codec = f"{name_of(spec.name)}, {result.num_codebooks} codebooks"
    figures = "".join(
        f"<div><dt>{label}</dt><dd>{value} <small>{unit}</small></dd></div>"
        for label, value, unit in _headline_figures(result)
    )
    return (
        f"<h1>{escape(name_of(result.url))}</h1>\n"
        f'<p class="soft">Audio tokens by {escape(codec)} at {spec.sample_rate / 1000:g} kHz, '
        f'{_kbps(result):.3g} kbps. <span class="place">{escape(result.url)}</span></p>\n'
        f'<p class="verdict {"bad" if count else "good"}">{verdict}</p>\n'
        f'<dl class="figures">{figures}</dl>'
    )


def _headline_figures(result: VerifyResult) -> Iterator[tuple[str, str, str]]:
    """Label, figure and unit."""
    totals = result.totals
    yield "of audio", *_duration(totals.seconds)
    yield "tokens", *_count(totals.frames * result.num_codebooks)
    yield "recordings", f"{totals.recordings:,}", ""
    yield "rejected", f"{totals.num_rejected:,}", ""
    if result.speed is not None:
        yield "throughput", f"{result.speed:,.0f}", "x real time"
    for metric in METRICS:
        statistics = result.statistics_of(metric)
        if metric.name in _HEADLINE_METRICS and statistics is not None:
            yield f"mean {metric.title}", f"{statistics.mean:.2f}", metric.unit


def _duration(seconds: float) -> tuple[str, str]:
    return (f"{seconds / 60:.1f}", "min") if seconds < 3600 else (f"{seconds / 3600:,.1f}", "h")


def _count(number: int) -> tuple[str, str]:
    """A large number, short."""
    for power, unit in ((9, "billion"), (6, "million")):
        if number >= 10**power:
            return f"{number / 10**power:,.1f}", unit
    return f"{number:,}", ""


def _problems(result: VerifyResult) -> str:
    if not result.log:
        return ""
    meanings = {
        code: f"{PROBLEM_CODES[code]} ({count:,})" for code, count in result.log.counts.items()
    }
    rows = [
        [heading_cell(problem.code), text_cell(problem.where), text_cell(problem.detail)]
        for problem in result.log
    ]
    more = [note(f"{code}: {count:,} more") for code, count in result.log.not_kept().items()]
    found = table("What was found, and where", ["Problem", "Where", "Detail"], rows)
    return section("Problems", definitions(meanings), found, *more)


def _quality(result: VerifyResult) -> str:
    if not result.trips:
        return section("Quality", note("No recording was decoded."))
    figure, unit = _duration(sum(trip.seconds for trip in result.trips))
    return section(
        "Quality",
        note("Decoded audio against its original. STOI and PESQ say something of speech only."),
        table(
            f"{len(result.trips):,} rows compared, {figure} {unit} of audio",
            ["Metric", "#Mean", "#Median", "#Worst", "#Limit of mean", "#Rows"],
            [_quality_row(result, metric) for metric in METRICS],
        ),
        _reencoded(result),
        note(f"Limits: {result.limits.source}."),
    )


def _quality_row(result: VerifyResult, metric: Metric) -> list[str]:
    title = f"{metric.title}, {metric.unit}" if metric.unit else metric.title
    name = heading_cell(title, f"{metric.better} is better")
    statistics, limit = result.statistics_of(metric), result.limit(metric)
    if statistics is None:
        return [name, *[number_cell("-")] * 4, number_cell("0")]
    past = limit is not None and metric.badness(statistics.mean) > metric.badness(limit)
    return [
        name,
        number_cell(f"{statistics.mean:.3f}", past=past),
        number_cell(f"{statistics.median:.3f}"),
        number_cell(f"{statistics.worst:.3f}"),
        number_cell("-" if limit is None else f"{limit:g}"),
        number_cell(f"{statistics.count:,}"),
    ]


def _reencoded(result: VerifyResult) -> str:
    figures = result.reencoded()
    compared, differing = figures["codes"], figures["codes_differing"]
    if not compared:
        return ""
    share = f"{differing:,} ({differing / compared:.3%})" if differing else "none"
    return note(f"Encoded again, {share} of the {compared:,} codes came out different.")


def _distributions(result: VerifyResult) -> str:
    cards = "".join(_distribution(result, metric) for metric in METRICS)
    if not cards:
        return ""
    explanation = "Each decoded row counts once. A dashed line is the limit for the mean."
    return section("Distributions", note(explanation), f'<div class="books">{cards}</div>')


def _distribution(result: VerifyResult, metric: Metric) -> str:
    values = [v for trip in result.trips if (v := trip.scores[metric.name]) is not None]
    if not values or min(values) == max(values):
        return ""
    low, high, middle = min(values), max(values), median(values)
    unit = f" {metric.unit}" if metric.unit else ""
    text = f"{low:.3g} to {high:.3g}{unit}, half of the rows below {middle:.3g}"
    picture = histogram(values, result.limit(metric), f"Distribution of {metric.title}: {text}")
    ends = f'<p class="ends"><span>{low:.3g}</span><span>{high:.3g}{escape(unit)}</span></p>'
    return (
        f'<div class="book"><h3>{escape(metric.title)}</h3>{picture}{ends}'
        f"<p>median {middle:.3g}{escape(unit)}</p></div>"
    )


def _codebooks(codebooks: Sequence[CodebookStatistics]) -> str:
    explanation = (
        "How often the entries of each codebook occur, from the most to the least used. A flat "
        "picture is a codebook that carries as much as it can."
    )
    books = "".join(_codebook(number, book) for number, book in enumerate(codebooks))
    return section("Codebooks", note(explanation), f'<div class="books">{books}</div>')


def _codebook(number: int, book: CodebookStatistics) -> str:
    most_bits = (book.codebook_size - 1).bit_length()
    entropy = f"{book.entropy_bits:.2f} of {most_bits} bits"
    used = f"{book.used_entries:,} of {book.codebook_size:,} used"
    picture = usage_bars(book, f"Use of codebook {number}: {entropy}, {used}")
    return (
        f'<div class="book"><h3>Codebook {number}</h3>{picture}'
        f'<meter min="0" max="{most_bits}" value="{book.entropy_bits:.3f}" '
        f'aria-label="Entropy of codebook {number}">{entropy}</meter>'
        f"<p>{entropy}, perplexity {book.perplexity:,.0f}</p>"
        f"<p>pairs of codes {book.bigram_entropy_bits:.1f} bits</p>"
        f"<p>{used}, {book.dead_entries:,} never</p></div>"
    )


def _shards(result: VerifyResult) -> str:
    drifts = [shard.drift_bits for shard in result.shard_codes]
    if len(drifts) < 2:
        return ""
    farthest = sorted(result.shard_codes, key=lambda shard: (-shard.drift_bits, shard.shard))
    title = f"Drift of {len(drifts)} shards: from {min(drifts):.3f} to {max(drifts):.3f} bits"
    rows = [
        [
            heading_cell(shard.part),
            number_cell(f"{shard.drift_bits:.3f}"),
            number_cell(f"{sum(shard.entropy_bits) / len(shard.entropy_bits):.2f}"),
            number_cell(f"{shard.frames:,}"),
        ]
        for shard in farthest[:_SHARDS_NAMED]
    ]
    explanation = (
        "How differently the codes of each shard are spread than those of the whole dataset: "
        "Jensen-Shannon divergence, 0 for no difference, 1 bit for nothing in common. Shards of "
        "speech and of music differ; one that stands out among its like deserves a look."
    )
    head = ["Farthest from the others", "#Drift, bits", "#Entropy, bits", "#Frames"]
    picture = f'<div class="wide">{drift_bars(drifts, title)}</div>'
    return section("Shards", note(explanation), picture, table(title, head, rows))


def _notices(result: VerifyResult) -> str:
    if not result.notices:
        return ""
    first = {notice.code: notice for notice in reversed(list(result.notices))}
    rows = [
        [
            heading_cell(code),
            number_cell(f"{count:,}"),
            text_cell(f"{NOTICE_CODES[code]}, such as {first[code].where}: {first[code].detail}"),
        ]
        for code, count in result.notices.counts.items()
    ]
    explanation = "These are no faults: the audio, or the mixture of recordings, is like that."
    found = table("What was noticed", ["Notice", "#Times", "What it is"], rows)
    return section("Worth knowing", note(explanation), found)


def _rejected(result: VerifyResult) -> str:
    if not result.totals.rejected:
        return section("Rejected recordings", note("None: every recording became tokens."))
    by_count = sorted(result.totals.rejected.items(), key=lambda pair: (-pair[1], pair[0]))
    rows = [[heading_cell(code), number_cell(f"{count:,}")] for code, count in by_count]
    caption = "By reason; each one is listed in _run/rejected.parquet"
    return section("Rejected recordings", table(caption, ["Reason", "#Recordings"], rows))


def _run(result: VerifyResult) -> str:
    spec, totals = result.spec, result.totals
    values = {
        "Codec": f"{spec.name}, {spec.channels} channel{'s' if spec.channels > 1 else ''}",
        "Fingerprint": spec.fingerprint,
        "Codebooks": f"{result.num_codebooks} of {spec.codebook_size} entries each",
        "Frames": f"{totals.frames:,}, {spec.frames_per_second:g} a second",
        "Chunks": f"{spec.chunk_samples} samples" if spec.chunk_samples else "none",
        "Shards": f"{totals.shards_done:,} of {totals.shards:,} done",
        "Parts": f"{totals.part_bytes / 1e6:,.2f} MB",
    }
    raw = escape(json.dumps(result.identity, indent=2, sort_keys=True, ensure_ascii=False))
    details = f"<details><summary>run.json</summary><pre>{raw}</pre></details>"
    return section("The run", definitions(values), details)


def _kbps(result: VerifyResult) -> float:
    bits_per_code = (result.spec.codebook_size - 1).bit_length()
    return result.spec.frames_per_second * result.num_codebooks * bits_per_code / 1000
