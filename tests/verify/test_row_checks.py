"""Every fault of a row has its own name, and a sound row has none."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verify.runs import ScalarCodec, voice
from tokenize_pipeline.records import TokenRow
from tokenize_pipeline.verification.problems import NOTICE_CODES, PROBLEM_CODES, ProblemLog
from tokenize_pipeline.verification.row_checks import place_problem, row_problems, with_neighbours

PLAIN, NORMALIZING = ScalarCodec(), ScalarCodec(normalizes=True)


def row_of(codec: ScalarCodec, seconds: float = 2.5, row_id: str = "a") -> TokenRow:
    encoded = codec.encode(voice(seconds, seed=1))
    return TokenRow(
        id=row_id,
        codes=encoded.codes.numpy().astype(np.uint16),
        scales=None if encoded.scales is None else encoded.scales.numpy(),
        num_frames=encoded.codes.shape[1],
        num_samples=encoded.num_samples,
        start_sample=0,
        source="a.wav",
        source_sample_rate=8000,
        source_channels=1,
    )


def with_code(row: TokenRow, code: int) -> TokenRow:
    codes = row.codes.copy()
    codes[2, 7] = code
    return replace(row, codes=codes)


def with_scale(row: TokenRow, scale: float) -> TokenRow:
    assert row.scales is not None
    scales = row.scales.copy()
    scales[1] = scale
    return replace(row, scales=scales)


def codes_of(row: TokenRow, codec: ScalarCodec) -> list[str]:
    return [code for code, _ in row_problems(row, codec.spec, 4)]


@pytest.mark.parametrize("codec", [PLAIN, NORMALIZING], ids=["plain", "normalizing"])
@pytest.mark.parametrize("seconds", [1 / 8000, 0.0005, 1.0, 1.0001, 2.5])
def test_a_sound_row_has_no_problem(codec: ScalarCodec, seconds: float) -> None:
    assert codes_of(row_of(codec, seconds), codec) == []


PLAIN_ROW, SCALED_ROW = row_of(PLAIN), row_of(NORMALIZING)
assert SCALED_ROW.scales is not None


@pytest.mark.parametrize(
    ("codec", "row", "expected"),
    [
        (PLAIN, replace(PLAIN_ROW, codes=PLAIN_ROW.codes[:3]), "codebook_count_differs"),
        (PLAIN, with_code(PLAIN_ROW, 256), "code_out_of_range"),
        (PLAIN, replace(PLAIN_ROW, codes=PLAIN_ROW.codes[:, :-1]), "frame_count_differs"),
        (PLAIN, replace(PLAIN_ROW, num_frames=1), "frame_count_differs"),
        (PLAIN, replace(PLAIN_ROW, num_samples=PLAIN_ROW.num_samples + 4), "frame_count_differs"),
        (PLAIN, replace(PLAIN_ROW, scales=np.ones(1, np.float32)), "scale_count_differs"),
        (NORMALIZING, replace(SCALED_ROW, scales=None), "scales_dropped"),
        (NORMALIZING, replace(SCALED_ROW, scales=np.ones(3, np.float32)), "scales_dropped"),
        (NORMALIZING, replace(SCALED_ROW, scales=SCALED_ROW.scales[:2]), "scale_count_differs"),
        (NORMALIZING, replace(SCALED_ROW, codes=SCALED_ROW.codes[:, 2000:]), "chunk_lost"),
        (NORMALIZING, replace(SCALED_ROW, codes=SCALED_ROW.codes[:, 1:]), "frame_count_differs"),
        (NORMALIZING, with_scale(SCALED_ROW, float("nan")), "scale_not_finite"),
        (NORMALIZING, with_scale(SCALED_ROW, float("inf")), "scale_not_finite"),
        (NORMALIZING, with_scale(SCALED_ROW, 0.0), "scale_not_finite"),
    ],
)
def test_each_fault_has_its_name_and_no_other(
    codec: ScalarCodec, row: TokenRow, expected: str
) -> None:
    assert codes_of(row, codec) == [expected]


def test_a_row_without_samples_is_a_problem() -> None:
    empty = replace(PLAIN_ROW, codes=PLAIN_ROW.codes[:, :0], num_frames=0, num_samples=0)
    assert codes_of(empty, PLAIN) == ["row_without_samples"]


@given(st.lists(st.integers(0, 3), max_size=6))
def test_neighbours_are_those_of_the_row(numbers: list[int]) -> None:
    rows = [replace(PLAIN_ROW, id=str(number)) for number in numbers]
    seen = list(with_neighbours(rows))
    assert [row for _, row, _ in seen] == rows
    assert [before for before, _, _ in seen] == [None, *rows][: len(rows)]
    assert [after for _, _, after in seen] == [*rows[1:], None][: len(rows)]


@pytest.mark.parametrize(
    ("start", "before", "expected"),
    [
        (0, None, None),
        (0, PLAIN_ROW, None),
        (PLAIN_ROW.num_samples, PLAIN_ROW, None),
        (8, None, "no row of its recording comes before"),
        (8, replace(PLAIN_ROW, source="b.wav"), "no row of its recording comes before"),
        (8, PLAIN_ROW, f"the row before it ends at {PLAIN_ROW.num_samples}"),
    ],
)
def test_rows_of_a_recording_follow_one_another(
    start: int, before: TokenRow | None, expected: str | None
) -> None:
    problem = place_problem(replace(PLAIN_ROW, start_sample=start), before)
    assert problem is None if expected is None else expected in str(problem)


def test_the_log_counts_all_and_keeps_some() -> None:
    log = ProblemLog(kept_per_code=2)
    for number in range(5):
        log.add("id_twice", f"row {number}", "detail")
    log.add("part_missing", "part", "detail")
    assert log.counts == {"id_twice": 5, "part_missing": 1}
    assert [problem.where for problem in log] == ["row 0", "row 1", "part"]
    assert log.not_kept() == {"id_twice": 3}


def test_logs_add_up_to_one_of_everything() -> None:
    first, second, whole = (ProblemLog(kept_per_code=3) for _ in range(3))
    for number in range(5):
        for log in (first if number < 2 else second, whole):
            log.add("id_twice", f"row {number}", "detail")
    first.merge(second)
    assert (first.counts, list(first)) == (whole.counts, list(whole))
    assert first.not_kept() == {"id_twice": 2}


def test_the_log_takes_no_unknown_code() -> None:
    with pytest.raises(KeyError, match="'nonsense' is no problem code"):
        ProblemLog().add("nonsense", "where", "detail")


def test_problem_codes_are_words_for_programs() -> None:
    assert all(
        code.replace("_", "").isalpha() and code.islower()
        for code in {**PROBLEM_CODES, **NOTICE_CODES}
    )
