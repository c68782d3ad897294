"""Figures from seconds."""

import json

import pytest

from tests.benchmark.results import result, rows
from tokenize_pipeline.benchmark.rounds import Spread


def test_rows_hold_every_contestant_in_both_directions() -> None:
    assert [(row.direction, row.name) for row in rows()] == [
        ("encode", "theirs"),
        ("encode", "fast"),
        ("decode", "theirs"),
        ("decode", "fast"),
    ]


def test_reference_is_compared_with_nobody() -> None:
    theirs = rows()[0]
    assert theirs.ratios == {}
    assert theirs.batch_size == 4
    assert theirs.times_real == Spread(2.0, 1.5, 3.0)
    assert theirs.times_real_a_core == 1.0
    assert theirs.gflops == pytest.approx(4.0)
    assert theirs.limit_times_real == pytest.approx(50.0)
    assert theirs.share_of_limit == pytest.approx(0.04)


def test_others_are_held_against_the_limit_of_their_own_precision() -> None:
    encode, decode = rows()[1], rows()[3]
    assert encode.ratios == {"theirs": Spread(3.0, 2.0, 4.0)}
    assert encode.batch_size is None
    assert encode.limit_times_real == pytest.approx(200.0)
    assert encode.share_of_limit == pytest.approx(6 / 200)
    assert decode.ratios == {"theirs": Spread(1.5, 1.0, 3.0)}
    assert decode.limit_times_real == pytest.approx(400.0)
    assert decode.gflops == pytest.approx(6.0)


def test_a_gpu_has_no_figure_a_core() -> None:
    assert {row.times_real_a_core for row in rows(threads=None)} == {None}


def test_json_holds_the_rounds_and_the_figures() -> None:
    values = json.loads(result().to_json())
    assert values["machine"]["commit"] == "abc1234+changes"
    encode = values["variants"][0]["rows"][1]
    assert encode["seconds"] == [2.0, 2.0, 2.0]
    assert encode["ratios"]["theirs"] == {"median": 3.0, "low": 2.0, "high": 4.0}
    assert values["variants"][0]["flips"]["ours, TF32"] is None
