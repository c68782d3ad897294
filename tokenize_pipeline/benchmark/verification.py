"""Times verification against tokenizing: python jobs/benchmark.py verification [AUDIO...].

The same recordings are tokenized and then verified at the default fraction, both in this process:
every row checked, a sample decoded, measured and encoded again, the report written. Without AUDIO,
ten minutes of synthetic speech at 16 kHz are encoded as FLAC. Weights of the EnCodec are random:
its speed does not depend on what was learned.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from codec.encodec.config import ENCODEC_24KHZ
from tokenize_pipeline.benchmark.machine import heading
from tokenize_pipeline.benchmark.synthetic_files import write_synthetic
from tokenize_pipeline.benchmark.tables import table
from tokenize_pipeline.benchmark.weights import random_model
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.driver import prepare
from tokenize_pipeline.errors import PipelineError
from tokenize_pipeline.isolation import DecoderPool
from tokenize_pipeline.shard import tokenize_shard
from tokenize_pipeline.verification.settings import DEFAULT_FRACTION, VerifyConfig
from tokenize_pipeline.verify import verify_run
from tokenize_pipeline.worker import open_codec


@dataclass(frozen=True)
class Cost:
    """What tokenizing and verifying the same audio took."""

    audio_seconds: float
    compared_seconds: float
    tokenize_seconds: float
    verify_seconds: float

    @property
    def share(self) -> float:
        """Of the time of tokenizing that verifying takes."""
        return self.verify_seconds / self.tokenize_seconds


def main(argv: Sequence[str]) -> int:
    """Runs the benchmark.

    Args:
        argv: arguments without the names of the program and of this benchmark.

    Returns:
        0 when done, 2 for what cannot be done.
    """
    arguments = _parser().parse_args(argv)
    try:
        with TemporaryDirectory(prefix="benchmark-") as folder:
            sources = arguments.audio or write_synthetic(Path(folder, "audio"), "FLAC")
            codecs = {"tiny_24khz": "tiny_24khz", "encodec_24khz": _random(Path(folder, "codec"))}
            print(heading(" ".join(["python jobs/benchmark.py verification", *argv])))
            costs = {
                name: measure(codec, sources, str(Path(folder, name)), arguments.fraction)
                for name, codec in codecs.items()
                if arguments.codec in (name, None)
            }
            print(cost_table(costs))
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def measure(codec: str, sources: Sequence[str], output: str, fraction: float) -> Cost:
    """Tokenize into `output`, then verify it, with a watch on each."""
    config = TokenizeConfig(tuple(sources), output, codec=codec, max_rejected=1.0)
    run = prepare(config)
    loaded = open_codec(config)
    run.folder.start(run.identity, run.shards)
    with DecoderPool() as decoders:
        begun = time.perf_counter()
        for shard in run.shards:
            run.folder.commit(tokenize_shard(shard, loaded, config, decoders=decoders))
        tokenized = time.perf_counter()
    run.folder.write_rejected()
    between = time.perf_counter()
    result = verify_run(VerifyConfig(output, fraction=fraction))
    return Cost(
        audio_seconds=result.totals.seconds,
        compared_seconds=sum(trip.seconds for trip in result.trips),
        tokenize_seconds=tokenized - begun,
        verify_seconds=time.perf_counter() - between,
    )


def cost_table(costs: dict[str, Cost]) -> str:
    """The figures as Markdown."""
    head = ["", "audio, s", "compared, s", "tokenize, s", "verify, s", "verify / tokenize, %"]
    rows = [
        [
            name,
            f"{cost.audio_seconds:.0f}",
            f"{cost.compared_seconds:.0f}",
            f"{cost.tokenize_seconds:.1f}",
            f"{cost.verify_seconds:.1f}",
            f"{100 * cost.share:.1f}",
        ]
        for name, cost in costs.items()
    ]
    return table(head, rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jobs/benchmark.py verification", description="Times verification."
    )
    parser.add_argument("audio", nargs="*", metavar="AUDIO", help="files, folders or globs")
    parser.add_argument("--codec", choices=["tiny_24khz", "encodec_24khz"], help="default: both")
    parser.add_argument(
        "--fraction", type=float, default=DEFAULT_FRACTION, help="default: %(default)s"
    )
    return parser


def _random(folder: Path) -> str:
    random_model(ENCODEC_24KHZ, "cpu").save_pretrained(folder)
    return str(folder)
