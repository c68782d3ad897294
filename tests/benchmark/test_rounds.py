"""Who is timed when, and what is made of the seconds."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tokenize_pipeline.benchmark.rounds import Spread, Stopwatch, interleaved, ratios
from tokenize_pipeline.benchmark.task import Contestant

SECONDS = st.floats(1e-3, 1e3)


def contestant(name: str, log: list[str]) -> Contestant:
    def decode() -> int:
        log.append(f"{name} decodes")
        return 0

    return Contestant(
        name,
        "float32",
        encode=lambda: log.append(f"{name} encodes"),
        prepare=lambda: log.append(f"{name} prepares"),
        decode=decode,
        is_reference=False,
    )


def test_contestants_take_turns_in_every_round() -> None:
    log: list[str] = []
    lines: list[str] = []

    def stopwatch(work: Callable[[], object]) -> float:
        work()
        return float(len(log))

    times = interleaved([contestant("a", log), contestant("b", log)], 2, stopwatch, lines.append)
    one_round = ["a encodes", "b encodes", "a decodes", "b decodes"]
    assert log == one_round * 2
    assert times == {
        ("a", "encode"): (1.0, 5.0),
        ("b", "encode"): (2.0, 6.0),
        ("a", "decode"): (3.0, 7.0),
        ("b", "decode"): (4.0, 8.0),
    }
    assert lines == ["round 1 of 2: 10.0 s", "round 2 of 2: 26.0 s"]


def test_ratio_is_taken_within_each_round() -> None:
    assert ratios(ours=[1.0, 2.0, 4.0], theirs=[3.0, 4.0, 20.0]) == Spread(3.0, 2.0, 5.0)


def test_ratio_needs_as_many_rounds_of_both() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


@given(st.lists(SECONDS, min_size=1, max_size=9), st.floats(0.1, 10))
def test_ratio_does_not_notice_a_machine_that_slows_down(theirs: list[float], ratio: float) -> None:
    found = ratios([seconds / ratio for seconds in theirs], theirs)
    assert (found.low, found.median, found.high) == pytest.approx((ratio, ratio, ratio))


@given(st.lists(SECONDS, min_size=1, max_size=9))
def test_spread_holds_all_values(values: list[float]) -> None:
    spread = Spread.of(values)
    assert spread.low <= spread.median <= spread.high
    assert {spread.low, spread.high} <= set(values)
    middle = sorted(values)[(len(values) - 1) // 2 : len(values) // 2 + 1]
    assert spread.median == pytest.approx(sum(middle) / len(middle))


def test_stopwatch_sets_the_threads_before_the_work() -> None:
    before = torch.get_num_threads()
    seen: list[int] = []
    try:
        torch.set_num_threads(1)
        seconds = Stopwatch("cpu", threads=3)(lambda: seen.append(torch.get_num_threads()))
    finally:
        torch.set_num_threads(before)
    assert seen == [3]
    assert 0 < seconds < 1
