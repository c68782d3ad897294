"""What the machine can do, measured for a moment."""

import threading
import time

import pytest
import torch

from tokenize_pipeline.benchmark import limits
from tokenize_pipeline.benchmark.limits import MachineLimits, ProductLimit, measure_limits

MOMENT_SECONDS = 0.005


def test_every_precision_has_a_limit_and_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    found = measure_limits("cpu", threads=2, seconds=MOMENT_SECONDS)
    assert torch.get_num_threads() == before
    assert [limit.precision for limit in found.products] == ["float32", "bfloat16"]
    assert found.gflops("bfloat16") == found.products[1].gflops
    assert all(1 < limit.gflops < 1e6 for limit in found.products)
    assert 0.1 < found.copy_gb_per_second < 1e5


def test_rates_of_threads_that_work_at_once_add_up() -> None:
    workers = set[int]()

    def sleep() -> None:
        workers.add(threading.get_ident())
        time.sleep(0.02)

    one = limits._rate(lambda: sleep, "cpu", threads=1, seconds=0.3)
    three = limits._rate(lambda: sleep, "cpu", threads=3, seconds=0.3)
    assert len(workers) >= 3
    assert 10 < one <= 51
    assert 2 * one < three <= 153


def test_the_fastest_operation_is_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = iter([1.0, 1.0, 1.0, 1.0, 9.0, 1.0, 1.0, 1.0, 2.0])
    monkeypatch.setattr(limits, "_rate", lambda *arguments: next(rates))
    best = limits._best_product("cpu", 1, "float32", MOMENT_SECONDS)
    # 2 products a second of 1024 are more work than 9 of 512.
    assert best == ProductLimit("float32", 2 * 2 * 1024**3 / 1e9, "conv2d 1x1", 1024)


@pytest.mark.parametrize("operation", limits._OPERATIONS)
def test_operations_do_the_work_they_are_credited_with(operation: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        limits._OPERATIONS[operation](64, torch.float32, "cpu")()
    assert counter.get_total_flops() == 2 * 64**3


def test_an_unknown_precision_has_no_limit() -> None:
    with pytest.raises(StopIteration):
        MachineLimits((), 1.0).gflops("float32")
