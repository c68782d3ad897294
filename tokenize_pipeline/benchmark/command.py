"""The command line of the benchmark."""

import argparse
import importlib
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from codec.encodec import EncodecConfig
from tokenize_pipeline.benchmark.machine import available_cores
from tokenize_pipeline.benchmark.run import run_benchmark
from tokenize_pipeline.benchmark.settings import (
    BATCH_SIZES,
    DEFAULT_CODEBOOKS,
    DEFAULT_ROUNDS,
    DEFAULT_SECONDS,
    VARIANTS,
    BenchmarkSettings,
)
from tokenize_pipeline.benchmark.tables import benchmark_text
from tokenize_pipeline.errors import PipelineError

# Benchmarks of their own, each a module with a `main`.
_OTHERS = ("pipeline", "reading", "scale", "verification")


def main(argv: Sequence[str], configs: Mapping[str, EncodecConfig] = VARIANTS) -> int:
    """Runs the benchmark.

    Args:
        argv: arguments without the name of the program.
        configs: models by name; tests give smaller ones.

    Returns:
        0 when done, 2 for what cannot be done.
    """
    if argv and argv[0] in _OTHERS:
        # Imported when asked for: machines with GPUs may have torch and no decoder.
        other = importlib.import_module(f"tokenize_pipeline.benchmark.{argv[0]}")
        exit_code: int = other.main(argv[1:])
        return exit_code
    settings = parse(argv, configs)
    command = shlex.join(["python", "jobs/benchmark.py", *argv])
    try:
        result = run_benchmark(settings, configs, command, _progress())
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    text = benchmark_text(result)
    print(text, end="")
    if settings.output is not None:
        settings.output.write_text(result.to_json(), encoding="utf-8")
    if settings.markdown is not None:
        settings.markdown.write_text(text, encoding="utf-8")
    return 0


def parse(argv: Sequence[str], configs: Mapping[str, EncodecConfig]) -> BenchmarkSettings:
    """The command line as settings."""
    arguments = _parser(configs).parse_args(argv)
    variants = tuple(configs) if arguments.variant == "both" else (arguments.variant,)
    return BenchmarkSettings(
        audio=tuple(arguments.audio),
        device=arguments.device,
        variants=variants,
        seconds=arguments.seconds or DEFAULT_SECONDS[arguments.device],
        num_codebooks=arguments.num_codebooks,
        threads=arguments.threads,
        rounds=arguments.rounds,
        batch_sizes=tuple(arguments.batch_sizes or BATCH_SIZES[arguments.device]),
        output=arguments.output,
        markdown=arguments.markdown,
    )


def _parser(configs: Mapping[str, EncodecConfig]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jobs/benchmark.py",
        description="Times our EnCodec against the one of transformers, with the same random "
        "weights, on the same audio, in turns. Three others, by a first argument: `pipeline`, what "
        "the pipeline leaves of a codec's speed; `reading`, what reading, decoding and resampling "
        "take; `scale`, what the driver takes with many workers.",
    )
    parser.add_argument(
        "audio",
        nargs="*",
        metavar="AUDIO",
        help="file, folder or glob of audio; without any, synthetic recordings of 1 to 20 s",
    )

    parser.add_argument(
        "--device",
        choices=list(BATCH_SIZES),
        default="cpu",
        help="where both sides run (default: %(default)s)",
    )
    parser.add_argument(
        "--variant",
        choices=[*configs, "both"],
        default="both",
        help="which model (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=_positive(float),
        metavar="N",
        help="audio in all, the last recording is cut (default: 120, or 3600 with CUDA)",
    )
    parser.add_argument(
        "--num-codebooks",
        type=_positive(int),
        default=DEFAULT_CODEBOOKS,
        metavar="K",
        help="codebooks to encode with (default: %(default)s)",
    )
    parser.add_argument(
        "--threads",
        type=_positive(int),
        default=available_cores(),
        metavar="N",
        help="CPU threads of both sides (default: all cores, here %(default)s)",
    )
    parser.add_argument(
        "--rounds",
        type=_positive(int),
        default=DEFAULT_ROUNDS,
        metavar="R",
        help="times that everything is timed (default: %(default)s)",
    )
    parser.add_argument(
        "--batch-sizes",
        type=_positive(int),
        nargs="+",
        metavar="B",
        help="for transformers to choose from "
        "(default: 1 2 4 8 on a CPU, 1 8 32 64 with CUDA; ours has none)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="all figures")
    parser.add_argument("--markdown", type=Path, metavar="FILE.md", help="the tables")
    return parser


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    """A parser of numbers above zero."""

    def parse_number(text: str) -> float:
        number = kind(text)
        if not 0 < number < float("inf"):
            raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
        return number

    parse_number.__name__ = kind.__name__
    return parse_number


def _progress() -> Callable[[str], None]:
    """Prints lines to stderr with the seconds since now."""
    start = time.monotonic()

    def report(line: str) -> None:
        print(f"{time.monotonic() - start:6.1f} s  {line}", file=sys.stderr, flush=True)

    return report
