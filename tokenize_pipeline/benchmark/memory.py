"""Peak memory of each contestant, in a process of its own.

In a common process whoever runs second works in memory that the first gave back, and seems to need
none. So a new process builds the contestant, encodes all recordings once, decodes them once, and
reads after each step the most memory it ever had resident. That includes Python, torch, the model
and the recordings: `start_bytes` is what these take, the rest is what the work needs.

The figure is VmHWM of /proc/self/status, reset before the work. `ru_maxrss` stands in elsewhere; it
cannot be reset, and a new process inherits it from its parent.
"""

import gc
import multiprocessing
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from tokenize_pipeline.benchmark.task import Contestant

_PROCESS = Path("/proc/self")


@dataclass(frozen=True)
class PeakMemory:
    """The most memory in use, up to the end of each step."""

    name: str  # of the contestant
    start_bytes: int  # resident, before the work
    encode_bytes: int
    decode_bytes: int
    device_bytes: int | None  # allocated by torch on the GPU, the model included


def peak_memory(make: Callable[[], Contestant], device: str, threads: int) -> PeakMemory:
    """Measures a contestant in a new process.

    Args:
        make: makes the contestant; sent to the process, so a partial of a function of a module.
        device: "cpu" or "cuda".
        threads: CPU threads.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as pool:
        return pool.submit(measure_here, make, device, threads).result()


def measure_here(make: Callable[[], Contestant], device: str, threads: int) -> PeakMemory:
    """Measures a contestant in this process; anything that ran before blurs the result."""
    torch.set_num_threads(threads)
    contestant = make()
    gc.collect()
    _forget_peak()
    start_bytes = _peak_bytes()
    contestant.encode()
    encode_bytes = _peak_bytes()
    contestant.prepare()
    contestant.decode()
    on_device = torch.cuda.max_memory_allocated() if device == "cuda" else None
    return PeakMemory(contestant.name, start_bytes, encode_bytes, _peak_bytes(), on_device)


def _forget_peak() -> None:
    """Lets the peak start again from what is resident now, where Linux allows it."""
    with suppress(OSError):
        (_PROCESS / "clear_refs").write_text("5", encoding="ascii")


def _peak_bytes() -> int:
    """The most memory this process had resident."""
    with suppress(OSError):
        for line in (
            (_PROCESS / "status").read_text(encoding="ascii", errors="replace").splitlines()
        ):
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
