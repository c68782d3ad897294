"""Figures for Prometheus, through Ray: what the workers of all runs of a cluster do.

Ray gives each figure the prefix `ray_`, counters the suffix `_total`, and all of them the labels of
the process: `NodeAddress`, `WorkerId`, `JobId`. They come when a shard ends and are sent every few
seconds, so the last shard of a run may be missing: commit records are what counts. Sums of
histograms are guessed by Ray from their buckets; the counters are exact.

docs/grafana-dashboard.json shows them.
"""

from functools import cache

from ray.util import metrics

from tokenize_pipeline.progress import Tally
from tokenize_pipeline.records import CommitRecord, Failure

# Counters: name, and what it counts.
COUNTERS = {
    "tokenize_audio_seconds": "Seconds of audio that became tokens",
    "tokenize_recordings": "Recordings that were read, rejected ones included",
    "tokenize_rejected": "Recordings that made no tokens, by code",
    "tokenize_shards": "Attempts at shards, by how they ended: done or failed",
    "tokenize_retries": "Attempts at shards beyond the first",
    "tokenize_decode_wait_seconds": "Seconds in which a codec waited for decoded audio",
    "tokenize_encode_seconds": "Seconds in which a codec encoded and rows were written",
    "tokenize_publish_seconds": "Seconds in which parts were checked and sent to the output",
}
# Histograms: name, what it measures, and the bounds of its buckets.
HISTOGRAMS: dict[str, tuple[str, list[float]]] = {
    "tokenize_shard_seconds": (
        "Seconds that a shard took",
        [1, 3, 10, 30, 60, 120, 300, 600, 1200, 2400, 4800],
    ),
    "tokenize_times_real": (
        "Speed of a worker over a shard, x real time",
        [1, 3, 10, 30, 100, 300, 1000, 3000, 10000],
    ),
}
_TAGS = {"tokenize_rejected": ("code",), "tokenize_shards": ("outcome",)}


def report_shard(
    outcome: CommitRecord | Failure, attempt: int, tally: Tally, seconds: float
) -> None:
    """Add an attempt at a shard to the figures. Called in the process of a worker.

    Args:
        outcome: of the attempt.
        attempt: its number, 1 for the first.
        tally: what was done, and where the time went.
        seconds: that it took.
    """
    done = isinstance(outcome, CommitRecord)
    _count("tokenize_shards", 1, outcome="done" if done else "failed")
    _count("tokenize_retries", attempt > 1)
    _count("tokenize_decode_wait_seconds", tally.waited_seconds)
    _count("tokenize_publish_seconds", tally.published_seconds)
    busy_seconds = seconds - tally.waited_seconds - tally.published_seconds
    _count("tokenize_encode_seconds", max(0.0, busy_seconds))
    _histogram("tokenize_shard_seconds").observe(seconds)
    if isinstance(outcome, CommitRecord):
        _count("tokenize_audio_seconds", outcome.seconds)
        _count("tokenize_recordings", outcome.recordings)
        for rejected in outcome.rejected:
            _count("tokenize_rejected", 1, code=rejected.code)
        _histogram("tokenize_times_real").observe(outcome.seconds / max(seconds, 1e-9))


def exported_names() -> list[str]:
    """The names as Prometheus sees them."""
    counters = [f"ray_{name}_total" for name in COUNTERS]
    ends = ("bucket", "count", "sum")
    return counters + [f"ray_{name}_{end}" for name in HISTOGRAMS for end in ends]


def _count(name: str, amount: float, **tags: str) -> None:
    if amount > 0:
        _counter(name).inc(amount, tags)


@cache
def _counter(name: str) -> metrics.Counter:
    return metrics.Counter(name, COUNTERS[name], _TAGS.get(name, ()))


@cache
def _histogram(name: str) -> metrics.Histogram:
    description, bounds = HISTOGRAMS[name]
    return metrics.Histogram(name, description, boundaries=bounds)
