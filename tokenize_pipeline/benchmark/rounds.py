"""Timing: every contestant in turn, round after round, so that all meet the same machine."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from tokenize_pipeline.benchmark.task import Contestant

DIRECTIONS = ("encode", "decode")

Times = Mapping[tuple[str, str], tuple[float, ...]]  # by contestant and direction: seconds a round


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of a few values."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of at least one value."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True)
class Stopwatch:
    """Seconds that work takes, until a GPU has done it too.

    Args:
        device: "cpu" or "cuda".
        threads: CPU threads that torch uses; set before each measurement, for a contestant may
            have changed them.
    """

    device: str
    threads: int

    def __call__(self, work: Callable[[], object]) -> float:
        """Does the work once."""
        torch.set_num_threads(self.threads)
        self._finish()
        start = time.perf_counter()
        work()
        self._finish()
        return time.perf_counter() - start

    def _finish(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def interleaved(
    contestants: Sequence[Contestant],
    rounds: int,
    stopwatch: Callable[[Callable[[], object]], float],
    report: Callable[[str], None],
) -> Times:
    """Times all contestants: in every round all encode one after another, then all decode."""
    times: dict[tuple[str, str], list[float]] = {
        (contestant.name, direction): [] for contestant in contestants for direction in DIRECTIONS
    }
    for number in range(1, rounds + 1):
        for direction in DIRECTIONS:
            for contestant in contestants:
                work = contestant.encode if direction == "encode" else contestant.decode
                times[contestant.name, direction].append(stopwatch(work))
        taken = sum(values[-1] for values in times.values())
        report(f"round {number} of {rounds}: {taken:.1f} s")
    return {key: tuple(values) for key, values in times.items()}


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """How many times faster ours was than theirs, round by round."""
    pairs = zip(ours, theirs, strict=True)
    return Spread.of([their_seconds / our_seconds for our_seconds, their_seconds in pairs])
