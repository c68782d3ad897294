"""Times the reading side alone: python jobs/benchmark.py reading [AUDIO...].

Read, decode, mix to mono, resample to 24 kHz, on one core: the process that decodes has the same
one. Without AUDIO, ten minutes of synthetic speech at 16 kHz are encoded as FLAC and as MP3. Then a
shard of the same files is tokenized, and the share of the time is told in which the codec waited.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from codec.exact import one_thread
from tokenize_pipeline import storage
from tokenize_pipeline.audio import AudioReader, Decoders, OwnProcess
from tokenize_pipeline.benchmark.machine import heading
from tokenize_pipeline.benchmark.synthetic_files import write_synthetic
from tokenize_pipeline.benchmark.tables import table
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.decoders import DecodedFile
from tokenize_pipeline.errors import AudioError, PipelineError
from tokenize_pipeline.isolation import DecoderPool
from tokenize_pipeline.plan import plan_items
from tokenize_pipeline.progress import Tally
from tokenize_pipeline.records import Shard
from tokenize_pipeline.shard import tokenize_shard
from tokenize_pipeline.worker import open_codec

_ROUNDS = 5
_RATE, _CHANNELS = 24_000, 1  # what the codec takes


def main(argv: Sequence[str]) -> int:
    """Runs the benchmark.

    Args:
        argv: arguments without the names of the program and of this benchmark.

    Returns:
        0 when done, 2 for what cannot be done.
    """
    arguments = _parser().parse_args(argv)
    try:
        with TemporaryDirectory(prefix="benchmark-") as folder, _one_core(), one_thread():
            kinds = _given(arguments.audio) if arguments.audio else _synthetic(Path(folder))
            command = " ".join(["python jobs/benchmark.py reading", *argv])
            print(heading(command, "; one core", f"Median of {_ROUNDS} rounds, x real time. "))
            for name, urls in kinds.items():
                print(_reading_text(name, urls))
            print(_waiting_text(list(kinds.values()), arguments.codec, f"{folder}/out"))
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jobs/benchmark.py reading", description="Times reading, decoding and resampling."
    )
    parser.add_argument("audio", nargs="*", metavar="AUDIO", help="files, folders or globs")
    parser.add_argument(
        "--codec", default="tiny_24khz", help="that may have to wait (default: %(default)s)"
    )
    return parser


@contextmanager
def _one_core() -> Iterator[None]:
    """Keep this process, and those that it starts, to one core."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _given(sources: Sequence[str]) -> dict[str, list[str]]:
    return {"files given": [item.url for item in plan_items(sources)]}


def _synthetic(folder: Path) -> dict[str, list[str]]:
    return {f"{kind}, 16 kHz": write_synthetic(folder, kind) for kind in ("FLAC", "MP3")}


def _reading_text(name: str, urls: Sequence[str]) -> str:
    with DecoderPool() as pool:
        steps: Mapping[str, Callable[[], float]] = {
            "read": lambda: sum(_read(url) for url in urls),
            "read, decode": lambda: sum(_decode(url) for url in urls),
            "read, decode, mix, resample": lambda: _whole(urls, OwnProcess()),
            "the same, decoded in a process of its own": lambda: _whole(urls, pool),
        }
        seconds = steps["read, decode"]()
        for step in steps.values():
            step()  # once without a watch
        rows = [[step, f"{seconds / _seconds_of(work):,.0f}"] for step, work in steps.items()]
    return table([f"{name}, {len(urls)} files, {seconds:.0f} s", "x real time"], rows) + "\n"


def _seconds_of(work: Callable[[], object]) -> float:
    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times)


def _read(url: str) -> float:
    return float(len(storage.read_bytes(url)))


def _decode(url: str) -> float:
    """Seconds of audio in a file; 0 where it cannot be decoded."""
    try:
        with storage.open_input(url) as file:
            blocks = DecodedFile(file, url).blocks()
            return sum(len(block.samples) / block.sample_rate for block in blocks)
    except AudioError:
        return 0.0


def _whole(urls: Sequence[str], decoders: Decoders) -> float:
    """Seconds of audio that would reach the codec."""
    return sum(_samples_for_codec(url, decoders) for url in urls) / _RATE


def _samples_for_codec(url: str, decoders: Decoders) -> int:
    try:
        with storage.open_input(url) as file:
            reader = AudioReader(decoders.open(file, url), _RATE, _CHANNELS)
            return sum(block_CS.shape[1] for block_CS in reader.blocks())
    except AudioError:
        return 0


def _waiting_text(kinds: Sequence[Sequence[str]], codec_name: str, output: str) -> str:
    urls = [url for urls in kinds for url in urls]
    config = TokenizeConfig(tuple(urls), output, codec_name)
    shard = Shard(0, "0" * 10, tuple(item for url in urls for item in plan_items([url])))
    codec, tally = open_codec(config), Tally()
    start = time.perf_counter()
    with DecoderPool() as pool:
        record = tokenize_shard(shard, codec, config, tally=tally, decoders=pool)
    seconds = time.perf_counter() - start
    return (
        f"{codec_name} on the same core, {record.seconds / seconds:.0f} x real time: waited for "
        f"audio {100 * tally.waited_seconds / seconds:.1f} % of the time"
    )
