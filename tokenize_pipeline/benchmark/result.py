"""What a benchmark found, as plain values for JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from tokenize_pipeline.benchmark.batch_sizes import BatchTrial
from tokenize_pipeline.benchmark.limits import MachineLimits
from tokenize_pipeline.benchmark.machine import Machine
from tokenize_pipeline.benchmark.memory import PeakMemory
from tokenize_pipeline.benchmark.rounds import DIRECTIONS, Spread, Times, ratios
from tokenize_pipeline.benchmark.task import Contestant


@dataclass(frozen=True)
class Row:
    """One contestant in one direction."""

    name: str
    direction: str  # "encode" or "decode"
    batch_size: int | None  # None where the codec makes its own batches
    seconds: tuple[float, ...]  # for all recordings, a round each
    times_real: Spread  # seconds of audio a second
    times_real_a_core: float | None  # the median over the CPU threads; None on a GPU
    gflops: float  # reached, at the median
    precision: str  # of the limit below
    limit_times_real: float  # at the machine's fastest matrix product
    share_of_limit: float  # of that, reached at the median
    ratios: Mapping[str, Spread]  # by reference: how many times faster, round by round


@dataclass(frozen=True)
class VariantResult:
    """All figures of one model."""

    variant: str
    sample_rate: int
    channels: int
    num_codebooks: int
    bandwidth_kbps: float
    recordings: int
    audio_seconds: float
    flop_per_audio_second: Mapping[str, float]  # by direction
    trials: tuple[BatchTrial, ...]
    rows: tuple[Row, ...]
    flips: Mapping[str, tuple[float, ...] | None]  # share of codes that differ, a codebook each
    memory: tuple[PeakMemory, ...]


@dataclass(frozen=True)
class BenchmarkResult:
    """All figures of a run."""

    command: str
    machine: Machine
    device: str
    threads: int
    rounds: int
    limits: MachineLimits
    variants: tuple[VariantResult, ...]

    def to_json(self) -> str:
        """The figures as JSON text."""
        return json.dumps(asdict(self), indent=2) + "\n"


def make_rows(
    contestants: Sequence[Contestant],
    times: Times,
    audio_seconds: float,
    flop_per_audio_second: Mapping[str, float],
    limits: MachineLimits,
    threads: int | None,
) -> tuple[Row, ...]:
    """Figures from seconds.

    Args:
        contestants: in the order of the rows.
        times: seconds of each round.
        audio_seconds: length of all recordings together.
        flop_per_audio_second: operations for a second of audio, by direction.
        limits: of the machine.
        threads: CPU threads; None on a GPU.
    """
    references = [contestant.name for contestant in contestants if contestant.is_reference]

    def row(contestant: Contestant, direction: str) -> Row:
        seconds = times[contestant.name, direction]
        real = Spread.of([audio_seconds / taken for taken in seconds])
        flop = flop_per_audio_second[direction]
        limit = limits.gflops(contestant.precision) * 1e9 / flop
        compared = [] if contestant.is_reference else references
        return Row(
            name=contestant.name,
            direction=direction,
            batch_size=None
            if contestant.batch_sizes is None
            else contestant.batch_sizes[direction],
            seconds=seconds,
            times_real=real,
            times_real_a_core=None if threads is None else real.median / threads,
            gflops=real.median * flop / 1e9,
            precision=contestant.precision,
            limit_times_real=limit,
            share_of_limit=real.median / limit,
            ratios={name: ratios(seconds, times[name, direction]) for name in compared},
        )

    return tuple(row(one, direction) for direction in DIRECTIONS for one in contestants)
