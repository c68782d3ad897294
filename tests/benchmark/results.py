"""A result made by hand."""

from tokenize_pipeline.benchmark.batch_sizes import BatchTrial
from tokenize_pipeline.benchmark.limits import MachineLimits, ProductLimit
from tokenize_pipeline.benchmark.machine import Machine
from tokenize_pipeline.benchmark.memory import PeakMemory
from tokenize_pipeline.benchmark.result import BenchmarkResult, Row, VariantResult, make_rows
from tokenize_pipeline.benchmark.task import Contestant

AUDIO_SECONDS = 12.0
FLOP = {"encode": 2e9, "decode": 1e9}
LIMITS = MachineLimits(
    (ProductLimit("float32", 100.0, "mm", 512), ProductLimit("bfloat16", 400.0, "linear", 1024)),
    copy_gb_per_second=20.0,
)
TIMES = {
    ("theirs", "encode"): (4.0, 6.0, 8.0),
    ("theirs", "decode"): (3.0, 3.0, 3.0),
    ("fast", "encode"): (2.0, 2.0, 2.0),
    ("fast", "decode"): (1.0, 2.0, 3.0),
}


def contestants() -> list[Contestant]:
    """One of theirs in float32, one of ours in bfloat16; neither does anything."""
    sizes = {"encode": 4, "decode": 1}
    return [
        Contestant("theirs", "float32", list, _nothing, int, True, sizes),
        Contestant("fast", "bfloat16", list, _nothing, int, False),
    ]


def rows(threads: int | None = 2) -> tuple[Row, ...]:
    """Rows of those two."""
    return make_rows(contestants(), TIMES, AUDIO_SECONDS, FLOP, LIMITS, threads)


def result(threads: int | None = 2) -> BenchmarkResult:
    """A run of one model."""
    variant = VariantResult(
        variant="24khz",
        sample_rate=24_000,
        channels=1,
        num_codebooks=2,
        bandwidth_kbps=1.5,
        recordings=3,
        audio_seconds=AUDIO_SECONDS,
        flop_per_audio_second=FLOP,
        trials=(BatchTrial("theirs", 1, 4.0, 3.0), BatchTrial("theirs", 64, None, None)),
        rows=rows(threads),
        flips={"ours, bfloat16": (0.0125, 0.5), "ours, TF32": None},
        memory=(PeakMemory("fast", 100_000_000, 250_000_000, 260_000_000, None),),
    )
    machine = Machine("Some CPU", 2, None, "3.11", "2.11", "5.23", "abc1234+changes")
    return BenchmarkResult("python jobs/benchmark.py", machine, "cpu", 2, 3, LIMITS, (variant,))


def _nothing() -> None:
    pass
