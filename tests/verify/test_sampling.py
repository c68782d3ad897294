"""The sample depends on ids alone."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verify.test_row_checks import PLAIN, row_of
from tokenize_pipeline.records import TokenRow
from tokenize_pipeline.verification.sampling import row_key, sample_rows

ROW = row_of(PLAIN, 0.001)
ROWS = [replace(ROW, id=f"recording {number}.wav") for number in range(4000)]


def sampled(rows: list[TokenRow], fraction: float) -> set[str]:
    return {row.id for row in sample_rows(rows, fraction)}


@given(st.permutations(ROWS[:30]), st.floats(0, 1))
def test_order_does_not_matter(rows: list[TokenRow], fraction: float) -> None:
    assert sampled(rows, fraction) == sampled(ROWS[:30], fraction)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_a_row_is_chosen_whatever_else_there_is(fraction: float) -> None:
    few = ROWS[:200]
    assert sampled(ROWS, fraction) & {row.id for row in few} == sampled(few, fraction)


def test_larger_fractions_hold_the_smaller_ones() -> None:
    samples = [sampled(ROWS, fraction) for fraction in (0.1, 0.3, 0.9, 1.0)]
    assert all(small <= large for small, large in pairwise(samples))
    assert len(samples[-1]) == len(ROWS)


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_the_fraction_is_about_right(fraction: float) -> None:
    assert len(sampled(ROWS, fraction)) == pytest.approx(fraction * len(ROWS), rel=0.15)


@given(st.integers(1, 30), st.sampled_from([0.0, 1e-12]))
def test_there_is_always_one_row(count: int, fraction: float) -> None:
    assert len(sampled(ROWS[:count], fraction)) == 1


def test_no_rows_give_no_sample() -> None:
    assert sampled([], 0.5) == set()


def test_rows_are_passed_on_as_they_come() -> None:
    def endless() -> Iterator[TokenRow]:
        while True:
            yield ROWS[0]

    assert next(sample_rows(endless(), 1.0)) is ROWS[0]


def test_pieces_of_a_recording_have_keys_of_their_own() -> None:
    assert len({row_key(f"a.wav#{index:06d}") for index in range(1000)}) == 1000
