"""The batch size that suits transformers best on this machine and this audio."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from tokenize_pipeline.benchmark.padded_batches import padded_batches
from tokenize_pipeline.benchmark.reference import EncodedBatch, TransformersSide
from tokenize_pipeline.benchmark.rounds import Stopwatch
from tokenize_pipeline.benchmark.task import Task
from tokenize_pipeline.errors import ConfigurationError


@dataclass(frozen=True)
class BatchTrial:
    """Transformers at one batch size: seconds for all recordings, None where memory was short."""

    name: str  # of the contestant
    batch_size: int
    encode_seconds: float | None
    decode_seconds: float | None


def try_batch_sizes(
    side: TransformersSide,
    name: str,
    task: Task,
    batch_sizes: Sequence[int],
    report: Callable[[str], None],
) -> tuple[BatchTrial, ...]:
    """Times one pass at every batch size; the longest batch runs before, to warm up.

    Sizes beyond the number of recordings are all the same, and tried once.
    """
    trials = []
    for batch_size in sorted({min(size, len(task.recordings)) for size in batch_sizes}):
        try:
            trials.append(_try(side, name, task, batch_size))
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            trials.append(BatchTrial(name, batch_size, None, None))
        report(f"{name}, {describe(trials[-1])}")
    return tuple(trials)


def best_batch_sizes(trials: Sequence[BatchTrial]) -> tuple[int, int]:
    """Batch sizes of the fastest trial of encoding and of decoding.

    Raises:
        ConfigurationError: memory was short at every size.
    """
    encoded = {t.encode_seconds: t.batch_size for t in trials if t.encode_seconds is not None}
    decoded = {t.decode_seconds: t.batch_size for t in trials if t.decode_seconds is not None}
    if not encoded or not decoded:
        raise ConfigurationError("transformers runs out of memory at every one of --batch-sizes")
    return encoded[min(encoded)], decoded[min(decoded)]


def describe(trial: BatchTrial) -> str:
    """A trial in words."""
    if trial.encode_seconds is None or trial.decode_seconds is None:
        return f"batch {trial.batch_size}: out of memory"
    seconds = f"encode {trial.encode_seconds:.2f} s, decode {trial.decode_seconds:.2f} s"
    return f"batch {trial.batch_size}: {seconds}"


def _try(side: TransformersSide, name: str, task: Task, batch_size: int) -> BatchTrial:
    stopwatch = Stopwatch(task.device, task.threads)
    batches = padded_batches(task.waveforms(), batch_size)
    stopwatch(lambda: side.decode(batches[-1:], side.encode(batches[-1:])))
    encoded: list[EncodedBatch] = []
    encode_seconds = stopwatch(lambda: encoded.extend(side.encode(batches)))
    decode_seconds = stopwatch(lambda: side.decode(batches, encoded))
    return BatchTrial(name, batch_size, encode_seconds, decode_seconds)
