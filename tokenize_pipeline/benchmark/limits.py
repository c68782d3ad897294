"""What the machine can do: matrix products and memory copies, with all threads at once.

A matrix product is measured as each of the operations a model might be made of, in several sizes;
the best one is the limit. On a CPU every Python thread runs products of its own on one torch
thread, all at the same time, as a codec would that runs one batch a thread: torch releases the
interpreter meanwhile.

Dimension key: B batch, C channels, H height, W width, M N rows and columns.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import torch
from torch.nn import functional

from tokenize_pipeline.benchmark.precision import TF32, dtype_of, precisions, tf32

Work = Callable[[], object]

_MATRIX_SIZES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"cpu": (256, 512, 1024), "cuda": (2048, 4096, 8192)}
)
_COPY_BYTES: Mapping[str, int] = MappingProxyType({"cpu": 1 << 26, "cuda": 1 << 30})
_MEASURE_SECONDS = 0.25
_GRID_WIDTH = 16  # of the picture that a 1x1 convolution sees; its area is the matrix size


@dataclass(frozen=True)
class ProductLimit:
    """The fastest matrix product of a precision."""

    precision: str
    gflops: float  # 1e9 operations a second, two a multiply-add
    operation: str
    size: int  # of the square matrices


@dataclass(frozen=True)
class MachineLimits:
    """What the machine can do at most."""

    products: tuple[ProductLimit, ...]
    copy_gb_per_second: float  # 1e9 bytes a second, read and written ones added

    def gflops(self, precision: str) -> float:
        """The limit of a precision."""
        return next(limit.gflops for limit in self.products if limit.precision == precision)


def measure_limits(device: str, threads: int, seconds: float = _MEASURE_SECONDS) -> MachineLimits:
    """Measures the machine.

    Args:
        device: "cpu" or "cuda".
        threads: CPU threads that work at once.
        seconds: that each measurement takes.
    """
    at_once = threads if device == "cpu" else 1
    best = [_best_product(device, at_once, precision, seconds) for precision in precisions(device)]
    copies = _rate(partial(_make_copy, device), device, at_once, seconds)
    return MachineLimits(tuple(best), copies * 2 * _COPY_BYTES[device] / 1e9)


def _best_product(device: str, threads: int, precision: str, seconds: float) -> ProductLimit:
    found = []
    for operation, make in _OPERATIONS.items():
        for size in _MATRIX_SIZES[device]:
            with tf32(precision == TF32):
                prepare = partial(make, size, dtype_of(precision), device)
                rate = _rate(prepare, device, threads, seconds)
            found.append(ProductLimit(precision, rate * 2 * size**3 / 1e9, operation, size))
    return max(found, key=lambda limit: limit.gflops)


def _rate(prepare: Callable[[], Work], device: str, threads: int, seconds: float) -> float:
    """How often work is done a second, by all threads together."""
    together = threading.Barrier(threads)
    before = torch.get_num_threads()

    def measure() -> float:
        torch.set_num_threads(1)
        with torch.inference_mode():
            work = prepare()
            work()
            together.wait()
            return _repeat(work, device, seconds)

    try:
        with ThreadPoolExecutor(threads) as pool:
            return sum(future.result() for future in [pool.submit(measure) for _ in range(threads)])
    finally:
        torch.set_num_threads(before)


def _repeat(work: Work, device: str, seconds: float) -> float:
    """How often work is done a second, by this thread."""
    times = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        times += 1
    return times / elapsed


def _make_mm(size: int, dtype: torch.dtype, device: str) -> Work:
    a_MN = torch.randn(size, size, device=device, dtype=dtype)
    return partial(torch.mm, a_MN, a_MN.clone())


def _make_linear(size: int, dtype: torch.dtype, device: str) -> Work:
    x_MN = torch.randn(size, size, device=device, dtype=dtype)
    return partial(functional.linear, x_MN, x_MN.clone())


def _make_convolution(size: int, dtype: torch.dtype, device: str) -> Work:
    """A 1x1 convolution with channels last: a product of [area, channels] and [channels, out]."""
    x_BCHW = torch.randn(1, size, _GRID_WIDTH, size // _GRID_WIDTH, device=device, dtype=dtype)
    weight_CCHW = torch.randn(size, size, 1, 1, device=device, dtype=dtype)
    last = torch.channels_last
    return partial(
        functional.conv2d,
        x_BCHW.contiguous(memory_format=last),
        weight_CCHW.contiguous(memory_format=last),
    )


def _make_copy(device: str) -> Work:
    source = torch.zeros(_COPY_BYTES[device], dtype=torch.uint8, device=device)
    return partial(torch.empty_like(source).copy_, source)


_OPERATIONS: Mapping[str, Callable[[int, torch.dtype, str], Work]] = MappingProxyType(
    {"mm": _make_mm, "linear": _make_linear, "conv2d 1x1": _make_convolution}
)
