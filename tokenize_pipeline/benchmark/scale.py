"""What a driver takes: python jobs/benchmark.py scale.

The driver is the real one: pool, Ray client, commit records, progress. Its workers only sleep, and
are many to an actor, since a thousand processes do not fit on one machine; what the driver sends,
waits for and writes is what it would send to a thousand actors.
"""

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.progress import Tally
from tokenize_pipeline.records import CommitRecord, Shard, SourceItem


class Sleepers:
    """An actor that stands for many workers. Imports nothing heavy."""

    def __init__(self, shard_seconds: float) -> None:
        self._shard_seconds = shard_seconds

    async def start(self) -> None:
        """Nothing to load."""

    async def work(self, shard: Shard, attempt: int) -> CommitRecord:
        """Sleep, a little shorter or longer each time."""
        await asyncio.sleep(self._shard_seconds * (0.5 + shard.index * 0.618 % 1))
        name, digest = shard.part_name, f"{shard.index:064x}"
        return CommitRecord(shard.index, name, 1000, 1000, 36000.0, digest, 1 << 25, (), attempt)

    async def tally(self) -> Tally:
        """Always moving."""
        return Tally(1, 0, time.monotonic_ns() % 1000)


def main(argv: Sequence[str]) -> int:
    """Runs the benchmark; prints what the driver took."""
    options = _options(argv)
    print(f"planning {options.files} files", file=sys.stderr)
    _print_plan(options.files)
    items = _items(options.shards)
    shards = [Shard(item.first_line, f"{item.first_line:010x}", (item,)) for item in items]
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        _print_run(options, shards, RunFolder(folder))
        _print_status(folder)
    return 0


def _print_plan(files: int) -> None:
    from tokenize_pipeline.plan import plan_shards, run_identity

    items, begun = _items(files), time.process_time()
    shards = plan_shards(items, {})
    identity = run_identity({}, shards)
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        RunFolder(folder).start(identity, shards)
        size_bytes = Path(folder, "_run", "plan.jsonl").stat().st_size
        begun_reading = time.process_time()
        assert sum(len(shard.items) for shard in RunFolder(folder).iterate_plan()) == files
    print(
        f"plan of {files} files: {len(shards)} shards, {size_bytes / 1e6:.0f} MB, "
        f"{begun_reading - begun:.1f} s to make and write, "
        f"{time.process_time() - begun_reading:.1f} s to read again, {_peak_text()}"
    )


def _print_run(options: argparse.Namespace, shards: Sequence[Shard], folder: RunFolder) -> None:
    from tokenize_pipeline.cluster import Room, cluster
    from tokenize_pipeline.committing import Committing
    from tokenize_pipeline.config import TokenizeConfig
    from tokenize_pipeline.pool import Crew, ShardPool, make_actor
    from tokenize_pipeline.progress import Progress

    class SleepingCrew(Crew):
        def __init__(self) -> None:
            super().__init__(Sleepers)
            kind = {"num_cpus": 0.001, "max_concurrency": 2 * options.workers}
            seconds = options.shard_seconds
            self._actors = [make_actor(self._worker, kind, seconds) for _ in range(options.actors)]
            self._made = 0

        def new(self, _config: object, _gpus: float) -> Any:
            self._made += 1
            return self._actors[self._made % len(self._actors)]

        def end(self, _actor: Any) -> None:
            """Others share it."""

    folder.start({}, shards)
    config = TokenizeConfig(("simulated",), folder.url, address="local")
    commits: dict[int, CommitRecord] = {}
    with (
        cluster(config),
        Committing(folder, commits, 24000) as committing,
        Progress(1000 * len(shards), 24000, Tally()) as progress,
    ):
        pool = ShardPool(config, shards, Room(options.workers, 0), SleepingCrew())
        cpu, wall = time.process_time(), time.monotonic()
        for outcome in pool.run(lambda tally: progress.show(committing.tally + tally)):
            assert isinstance(outcome, CommitRecord)
            committing.add(outcome)
        committing.flush()
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    assert len(commits) == len(shards)
    print(
        f"{len(shards)} shards by {options.workers} workers in {wall:.0f} s, "
        f"{len(shards) / wall:.0f} a second: {cpu / wall:.2f} cores, "
        f"{1000 * cpu / len(shards):.2f} ms of CPU a shard, {_peak_text()}"
    )


def _print_status(output: str) -> None:
    from tokenize_pipeline.status import read_status

    begun = time.process_time()
    status = read_status(output)
    seconds = time.process_time() - begun
    print(f"status of {status.shards_done} shards: {seconds:.1f} s of CPU")


def _items(count: int) -> list[SourceItem]:
    """Files with names as long as they are on an object store."""
    folders = "s3://bucket-of-somebody/corpus/speakers"
    return [
        SourceItem(
            id=f"speaker{index % 1000:04d}/{index:08d}.flac",
            url=f"{folders}/speaker{index % 1000:04d}/{index:08d}.flac",
            size_bytes=200000 + index % 1000,
            version=f'"{index:032x}"',
            first_line=index,
        )
        for index in range(count)
    ]


def _peak_text() -> str:
    """Resident memory of this process at its largest, Linux."""
    return f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB"


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="jobs/benchmark.py scale",
        description="What the driver takes with many workers, which sleep instead of encoding.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--files", type=int, default=1_000_000, metavar="N", help="to plan")
    parser.add_argument("--shards", type=int, default=100_000, metavar="N", help="to work on")
    parser.add_argument("--workers", type=int, default=1000, metavar="N", help="that sleep")
    parser.add_argument("--actors", type=int, default=4, metavar="N", help="that hold them")
    parser.add_argument(
        "--shard-seconds", type=float, default=2.0, metavar="S", help="that a shard takes"
    )
    return parser.parse_args(argv)
