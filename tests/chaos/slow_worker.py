"""Workers for real clusters: the codec of tests, slowed down so that kills meet it at work."""

import ctypes
import os
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from codec import EncodedAudio
from codec.base import Waveform
from tests.fakes import MeanCodec
from tests.pipeline.faulty_workers import UnpicklableError
from tokenize_pipeline.records import CommitRecord, Failure, Shard
from tokenize_pipeline.worker import Worker

SECONDS_A_RECORDING = 0.05
POISONS = ("os-exit", "segfault", "hang", "hang-in-c", "sys-exit", "unpicklable", "memory", "raise")


class SlowMeanCodec(MeanCodec):
    """Takes its time."""

    def encode_stream(
        self, recordings: Iterable[Waveform], num_codebooks: int | None = None
    ) -> Iterator[EncodedAudio]:
        for encoded in super().encode_stream(recordings, num_codebooks):
            time.sleep(SECONDS_A_RECORDING)
            yield encoded


class SlowWorker(Worker):
    """Encodes with `SlowMeanCodec`."""

    def start(self) -> Failure | None:
        self._codec = SlowMeanCodec()
        return None


class PoisonedWorker(SlowWorker):
    """Comes to harm by shards whose first recording is named after a poison."""

    def work(self, shard: Shard, attempt: int) -> CommitRecord | Failure:
        poison = shard.items[0].id.partition("/")[0]
        if poison == "unpicklable":
            raise UnpicklableError("secret")
        _take(poison)
        return super().work(shard, attempt)


def _take(poison: str) -> None:
    if poison == "os-exit":
        os._exit(1)
    if poison == "segfault":
        ctypes.string_at(0)
    if poison == "hang":
        time.sleep(3600)
    if poison == "hang-in-c":
        ctypes.PyDLL(None).sleep(3600)  # with the interpreter's lock held
    if poison == "sys-exit":
        sys.exit(0)
    if poison == "memory":
        _use_up_all_memory()
    if poison == "raise":
        raise RuntimeError("a bad shard")


def _use_up_all_memory() -> None:
    """Take memory until there is no more, which is soon."""
    used_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used_bytes + (64 << 20),) * 2)
    hoard = []
    while True:
        hoard.append(bytearray(1 << 20))
