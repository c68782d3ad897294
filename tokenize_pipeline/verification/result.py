"""What verification found, as one value: for files, terminal and exit code."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from codec.base import CodecSpec
from tokenize_pipeline.verification.code_statistics import CodebookStatistics
from tokenize_pipeline.verification.limits import QualityLimits
from tokenize_pipeline.verification.problems import NOTICE_CODES, ProblemLog
from tokenize_pipeline.verification.round_trip import RoundTrip
from tokenize_pipeline.verification.scorecard import (
    METRICS,
    RANKING_METRIC,
    Metric,
    MetricStatistics,
    summarize,
)

FORMAT_VERSION = 2
NUM_WORST = 5  # recordings named for each metric


@dataclass(frozen=True)
class Totals:
    """What the dataset holds."""

    shards: int
    shards_done: int
    rows: int
    recordings: int  # that became rows
    frames: int
    seconds: float  # of audio in the rows
    part_bytes: int
    rejected: Mapping[str, int]  # recordings by reason

    @property
    def num_rejected(self) -> int:
        """Recordings that made no tokens."""
        return sum(self.rejected.values())


@dataclass(frozen=True)
class ShardCodes:
    """How the codes of one shard are spread."""

    shard: int
    part: str
    frames: int
    drift_bits: float  # from those of the dataset
    entropy_bits: tuple[float, ...]  # by codebook


@dataclass(frozen=True)
class VerifyResult:
    """All findings of one verification. The same dataset gives the same value every time."""

    url: str
    identity: Mapping[str, Any]  # of the run, from run.json
    spec: CodecSpec
    num_codebooks: int
    fraction: float  # of the audio that was asked for
    totals: Totals
    speed: float | None  # of tokenizing, x real time, pauses included; None where nothing says it
    trips: Sequence[RoundTrip]  # rows that were decoded, in the order of the dataset
    codebooks: Sequence[CodebookStatistics]
    shard_codes: Sequence[ShardCodes]  # in the order of the shards
    limits: QualityLimits
    log: ProblemLog
    notices: ProblemLog
    json_url: str
    report_url: str

    @property
    def exit_code(self) -> int:
        """0: nothing wrong; 3: problems, or limits exceeded."""
        return 3 if self.log else 0

    def statistics(self) -> dict[str, MetricStatistics | None]:
        """Each metric over the rows that were decoded; None if none of them has an answer."""
        return {metric.name: self.statistics_of(metric) for metric in METRICS}

    def statistics_of(self, metric: Metric) -> MetricStatistics | None:
        """One metric over the rows that were decoded."""
        return summarize(metric, (trip.scores for trip in self.trips))

    def worst(self, metric: Metric, count: int = NUM_WORST) -> list[RoundTrip]:
        """Rows by one metric, worst first; those without an answer left out."""
        scored = [
            (metric.badness(value), trip)
            for trip in self.trips
            if (value := trip.scores[metric.name]) is not None
        ]
        scored.sort(key=lambda pair: (-pair[0], pair[1].id, pair[1].start_sample))
        return [trip for _, trip in scored[:count]]

    def ranked(self) -> list[RoundTrip]:
        """All decoded rows, worst first by the metric that answers for any audio."""
        metric = next(metric for metric in METRICS if metric.name == RANKING_METRIC)
        return self.worst(metric, len(self.trips))

    def to_dict(self) -> dict[str, Any]:
        """The content of verify.json."""
        return {
            "format": FORMAT_VERSION,
            "exit_code": self.exit_code,
            "run": dict(self.identity),
            "codec": self.spec.to_dict(),
            "num_codebooks": self.num_codebooks,
            "totals": asdict(self.totals),
            "times_real_time": self.speed,
            "sample": {
                "fraction": self.fraction,
                "rows": len(self.trips),
                "seconds": sum(trip.seconds for trip in self.trips),
            },
            "metrics": {metric.name: self._metric_dict(metric) for metric in METRICS},
            "limits_source": self.limits.source,
            "reencoded": self.reencoded(),
            "codebooks": [
                {
                    **asdict(statistics),
                    "perplexity": statistics.perplexity,
                    "dead_entries": statistics.dead_entries,
                }
                for statistics in self.codebooks
            ],
            "shards": [asdict(shard) for shard in self.shard_codes],
            "damaged_parts": sorted(self.log.damaged_parts),
            "problems": _log_dict(self.log),
            "notices": _log_dict(self.notices),
        }

    def summary_lines(self) -> list[str]:
        """What the terminal shows."""
        totals = self.totals
        return [
            f"{totals.rows:,} rows, {totals.seconds / 3600:,.2f} hours, {totals.num_rejected:,} "
            f"rejected, {totals.shards_done:,} of {totals.shards:,} shards",
            f"{self.spec.name}, {self.num_codebooks} codebooks; {len(self.trips):,} rows decoded "
            f"and compared with their originals",
            "",
            f"  {'':24}{'mean':>10}{'median':>10}{'worst':>10}{'limit':>10}",
            *(self._metric_line(metric) for metric in METRICS),
            "",
            *self._problem_lines(),
            f"figures  {self.json_url}",
            f"report   {self.report_url}",
        ]

    def limit(self, metric: Metric) -> float | None:
        """The limit for the mean of a metric; None if there is none."""
        return self.limits.bounds.get(metric.name)

    def _metric_dict(self, metric: Metric) -> dict[str, Any]:
        statistics = self.statistics_of(metric)
        return {
            "unit": metric.unit,
            "better": metric.better,
            "limit": self.limit(metric),
            **({"count": 0} if statistics is None else asdict(statistics)),
            "worst_rows": [
                {"id": t.id, "start_sample": t.start_sample, "value": t.scores[metric.name]}
                for t in self.worst(metric)
            ],
        }

    def reencoded(self) -> dict[str, int]:
        """How many rows and codes were encoded again, and how many codes came out different."""
        again = [trip.again for trip in self.trips if trip.again is not None]
        return {
            "rows": len(again),
            "codes": sum(row.codes_compared for row in again),
            "codes_differing": sum(row.codes_differing for row in again),
        }

    def _metric_line(self, metric: Metric) -> str:
        name = f"{metric.title}{', ' + metric.unit if metric.unit else ''}"
        statistics = self.statistics_of(metric)
        if statistics is None:
            return f"  {name:24}{'-':>10}{'-':>10}{'-':>10}"
        figures = (statistics.mean, statistics.median, statistics.worst, self.limit(metric))
        cells = ("" if figure is None else f"{figure:.3f}" for figure in figures)
        return f"  {name:24}" + "".join(f"{cell:>10}" for cell in cells).rstrip()

    def _problem_lines(self) -> list[str]:
        if not self.log:
            return ["no problems found", *self._notice_lines()]
        more = [f"{code}: {count:,} more" for code, count in self.log.not_kept().items()]
        return [*(f"problem  {problem}" for problem in self.log), *more, *self._notice_lines()]

    def _notice_lines(self) -> list[str]:
        """One for each kind."""
        first = {notice.code: notice for notice in reversed(list(self.notices))}
        return [
            f"notice   {NOTICE_CODES[code]}: {count:,}, such as {first[code].where}"
            for code, count in self.notices.counts.items()
        ]


def _log_dict(log: ProblemLog) -> dict[str, Any]:
    return {"counts": dict(log.counts), "examples": [asdict(problem) for problem in log]}
