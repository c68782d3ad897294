"""A benchmark from start to end."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch

from codec.encodec import EncodecConfig
from tokenize_pipeline.benchmark.batch_sizes import BatchTrial, best_batch_sizes, try_batch_sizes
from tokenize_pipeline.benchmark.flips import measure_flips
from tokenize_pipeline.benchmark.limits import MachineLimits, measure_limits
from tokenize_pipeline.benchmark.machine import describe_machine
from tokenize_pipeline.benchmark.memory import peak_memory
from tokenize_pipeline.benchmark.ours import OUR_PRECISIONS, our_contestant
from tokenize_pipeline.benchmark.recordings import recordings_from_files, synthetic_recordings
from tokenize_pipeline.benchmark.reference import TransformersSide, reference_contestant
from tokenize_pipeline.benchmark.result import BenchmarkResult, Row, VariantResult, make_rows
from tokenize_pipeline.benchmark.rounds import Stopwatch, interleaved
from tokenize_pipeline.benchmark.settings import BenchmarkSettings
from tokenize_pipeline.benchmark.task import Contestant, Task
from tokenize_pipeline.benchmark.work import flop_per_audio_second

Report = Callable[[str], None]


def run_benchmark(
    settings: BenchmarkSettings,
    configs: Mapping[str, EncodecConfig],
    command: str,
    report: Report,
) -> BenchmarkResult:
    """Measures everything that was asked for.

    Args:
        settings: the command line.
        configs: the models by the names of `settings.variants`.
        command: what was typed, for the result.
        report: told of the progress.

    Raises:
        ConfigurationError: it cannot be done as asked; raised before anything is timed.
    """
    settings.check(configs)
    machine = describe_machine(settings.device)
    report("reading recordings")
    tasks = {name: make_task(settings, configs[name]) for name in settings.variants}
    before = torch.get_num_threads()
    try:
        report("measuring the limits of the machine")
        limits = measure_limits(settings.device, settings.threads)
        variants = [
            run_variant(settings, name, task, limits, _prefixed(report, name))
            for name, task in tasks.items()
        ]
    finally:
        torch.set_num_threads(before)
    return BenchmarkResult(
        command,
        machine,
        settings.device,
        settings.threads,
        settings.rounds,
        limits,
        tuple(variants),
    )


def make_task(settings: BenchmarkSettings, config: EncodecConfig) -> Task:
    """The recordings for one model."""
    rate, channels = config.sampling_rate, config.audio_channels
    if settings.audio:
        recordings = recordings_from_files(settings.audio, settings.seconds, rate, channels)
    else:
        recordings = synthetic_recordings(settings.seconds, rate, channels)
    return Task(config, recordings, settings.num_codebooks, settings.device, settings.threads)


def run_variant(
    settings: BenchmarkSettings, name: str, task: Task, limits: MachineLimits, report: Report
) -> VariantResult:
    """Measures one model."""
    report(f"{len(task.recordings)} recordings, {task.audio_seconds:.1f} s")
    torch.set_num_threads(settings.threads)
    trials, references = _references(settings.batch_sizes, task, report)
    ours = [partial(our_contestant, task, precision) for precision in OUR_PRECISIONS]
    makers: list[Callable[[], Contestant]] = [*references, *ours]
    rows = _rows(makers, settings.rounds, task, limits, report)
    report("comparing codes")
    flips = measure_flips(task, TransformersSide(task, allow_tf32=False))
    report("measuring memory, each contestant in a process of its own")
    return VariantResult(
        variant=name,
        sample_rate=task.config.sampling_rate,
        channels=task.config.audio_channels,
        num_codebooks=task.num_codebooks,
        bandwidth_kbps=task.bandwidth_kbps,
        recordings=len(task.recordings),
        audio_seconds=task.audio_seconds,
        flop_per_audio_second=flop_per_audio_second(task),
        trials=trials,
        rows=rows,
        flips=flips,
        memory=tuple(peak_memory(make, task.device, task.threads) for make in makers),
    )


def _references(
    batch_sizes: Sequence[int], task: Task, report: Report
) -> tuple[tuple[BatchTrial, ...], list[Callable[[], Contestant]]]:
    """Transformers at its best batch sizes; on a GPU once more without TF32."""
    names = {"transformers": True}
    if task.device == "cuda":
        names["transformers, no TF32"] = False
    trials: list[BatchTrial] = []
    makers: list[Callable[[], Contestant]] = []
    for name, allow_tf32 in names.items():
        side = TransformersSide(task, allow_tf32)
        tried = try_batch_sizes(side, name, task, batch_sizes, report)
        trials += tried
        makers.append(
            partial(reference_contestant, task, name, allow_tf32, *best_batch_sizes(tried))
        )
    return tuple(trials), makers


def _rows(
    makers: Sequence[Callable[[], Contestant]],
    rounds: int,
    task: Task,
    limits: MachineLimits,
    report: Report,
) -> tuple[Row, ...]:
    """Makes the contestants, warms each up with a pass over everything, and times them."""
    contestants = []
    for make in makers:
        contestant = make()
        report(f"warming up {contestant.name}")
        contestant.prepare()
        contestant.decode()
        contestants.append(contestant)
    times = interleaved(contestants, rounds, Stopwatch(task.device, task.threads), report)
    flop = flop_per_audio_second(task)
    threads = task.threads if task.device == "cpu" else None
    return make_rows(contestants, times, task.audio_seconds, flop, limits, threads)


def _prefixed(report: Report, name: str) -> Report:
    return lambda line: report(f"{name}: {line}")
