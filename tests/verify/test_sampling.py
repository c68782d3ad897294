"""The sample depends on ids alone, and no more audio is compared than was asked for."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verify.test_row_checks import PLAIN, row_of
from tokenize_pipeline.records import TokenRow
from tokenize_pipeline.verification.excerpts import Excerpt
from tokenize_pipeline.verification.sampling import MOST_SUSPECTS, Sampler, row_key
from tokenize_pipeline.verification.still_codes import StillRun

ROW = row_of(PLAIN, 1.5)
ROWS = [replace(ROW, id=f"recording {number}.wav") for number in range(60)]
SECOND = PLAIN.spec.sample_rate


def sample(
    rows: list[TokenRow], budget: int | None, still: dict[str, StillRun] | None = None
) -> list[Excerpt]:
    sampler = Sampler(PLAIN.spec, "part", budget)
    for row in rows:
        sampler.add(row, ends_recording=True, still=(still or {}).get(row.id))
    return sampler.chosen()


def ids(excerpts: list[Excerpt]) -> set[str]:
    return {excerpt.row_id for excerpt in excerpts}


@given(st.permutations(ROWS[:12]), st.integers(0, 12 * 12_000))
def test_order_does_not_matter(rows: list[TokenRow], budget: int) -> None:
    assert ids(sample(rows, budget)) == ids(sample(ROWS[:12], budget))


@given(st.integers(0, 60 * 12_000))
def test_no_more_is_compared_than_asked_for_but_at_least_a_second(budget: int) -> None:
    excerpts = sample(ROWS, budget)
    compared = sum(excerpt.num_samples for excerpt in excerpts)
    assert max(SECOND, budget - SECOND) <= compared <= max(SECOND, budget)
    assert min(excerpt.num_samples for excerpt in excerpts) >= SECOND


def test_larger_budgets_hold_the_smaller_samples() -> None:
    samples = [ids(sample(ROWS, seconds * SECOND)) for seconds in (1, 5, 20, 60)]
    assert all(small <= large for small, large in pairwise(samples))
    assert [len(one) for one in samples] == [1, 3, 13, 40]


def test_without_a_budget_every_row_is_taken_whole_and_in_order() -> None:
    excerpts = sample(ROWS, None)
    assert [excerpt.row_id for excerpt in excerpts] == [row.id for row in ROWS]
    assert {excerpt.num_samples for excerpt in excerpts} == {ROW.num_samples}


def test_no_rows_give_no_sample() -> None:
    assert sample([], 100) == []


def test_the_sample_holds_the_beginning_of_a_recording() -> None:
    """Only there can codes be held against those of the audio."""
    pieces = [replace(row, start_sample=12_000 * number) for number, row in enumerate(ROWS)]
    for first in (0, 7):
        (excerpt,) = sample([*pieces[1:], replace(ROWS[first], start_sample=0)], 0)
        assert excerpt.can_be_encoded
        assert excerpt.row_id == ROWS[first].id


def test_a_recording_that_says_something_is_preferred() -> None:
    silent = replace(ROW, codes=np.zeros_like(ROW.codes))
    rows = [replace(silent, id=row.id) for row in ROWS]
    rows[17] = ROWS[17]
    assert ids(sample(rows, 0)) == {ROWS[17].id}


def test_rows_that_stand_still_are_looked_at_besides() -> None:
    still = StillRun(first_frame=100, frames=4000, codebook=None, is_silence=False)
    suspects = {row.id: still for row in ROWS[10:20]}
    excerpts = sample(ROWS, 0, suspects)
    found = [excerpt for excerpt in excerpts if excerpt.still is not None]
    assert len(found) in (MOST_SUSPECTS, MOST_SUSPECTS + 1)
    assert ids(found) <= set(suspects)
    assert max(excerpt.num_samples for excerpt in found) == 100 * 4 + SECOND


def test_a_long_row_is_compared_by_its_beginning() -> None:
    long = replace(
        ROW, codes=np.tile(ROW.codes, 40), num_frames=120_000, num_samples=480_000, id="long"
    )
    (excerpt,) = sample([long], None)
    assert excerpt.num_samples == 30 * SECOND


def test_pieces_of_a_recording_have_keys_of_their_own() -> None:
    assert len({row_key(f"a.wav#{index:06d}") for index in range(1000)}) == 1000


@pytest.mark.parametrize("budget", [0, 100_000])
def test_memory_holds_the_sample_only(budget: int) -> None:
    sampler = Sampler(PLAIN.spec, "part", budget)
    for row in ROWS:
        sampler.add(row, ends_recording=True)
        assert len(sampler._heap) <= budget // ROW.num_samples + 1
