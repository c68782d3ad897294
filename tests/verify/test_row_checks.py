"""Every fault of a row has its own name, and a sound row has none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.verify.runs import ScalarCodec, make_run, voice
from tokenize_pipeline.records import TokenRow
from tokenize_pipeline.schema import read_part
from tokenize_pipeline.verification.problems import PROBLEM_CODES, ProblemLog
from tokenize_pipeline.verification.row_checks import RowChecks, row_problems

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


@pytest.mark.parametrize(
    ("codec", "row", "expected"),
    [
        (PLAIN, replace(PLAIN_ROW, codes=PLAIN_ROW.codes[:3]), "codebook_count_differs"),
        (PLAIN, with_code(PLAIN_ROW, 256), "code_out_of_range"),
        (PLAIN, replace(PLAIN_ROW, codes=PLAIN_ROW.codes[:, :-1]), "frame_count_differs"),
        (PLAIN, replace(PLAIN_ROW, num_frames=1), "frame_count_differs"),
        (PLAIN, replace(PLAIN_ROW, num_samples=PLAIN_ROW.num_samples + 4), "frame_count_differs"),
        (PLAIN, replace(PLAIN_ROW, scales=np.ones(1, np.float32)), "scale_count_differs"),
        (NORMALIZING, replace(SCALED_ROW, scales=None), "scale_count_differs"),
        (NORMALIZING, replace(SCALED_ROW, scales=np.ones(2, np.float32)), "scale_count_differs"),
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


def test_only_sound_rows_pass_and_count_as_codes() -> None:
    log = ProblemLog()
    checks = RowChecks(PLAIN.spec, 4, log)
    passed = list(checks.sound_rows([PLAIN_ROW, with_code(PLAIN_ROW, 999)]))
    assert passed == [PLAIN_ROW]
    assert [(p.code, p.where) for p in log] == [("code_out_of_range", "a")]
    assert (checks.rows, checks.recordings) == (2, 2)
    assert {book.frames for book in checks.codes.statistics()} == {PLAIN_ROW.num_frames}


def test_rows_that_are_there_twice_are_named_once(tmp_path: Path, files: list[Path]) -> None:
    folder = make_run(tmp_path / "out", PLAIN, files)
    rows = [row for url in folder.part_urls() for row in read_part(url)]
    log = ProblemLog()
    checks = RowChecks(PLAIN.spec, 4, log)
    again = [*rows, rows[4], rows[4], replace(rows[2], id="2.flac#000001", start_sample=8)]
    assert len(list(checks.sound_rows(again))) == len(again)
    checks.check_ids(again)
    assert [str(p) for p in log] == ["id_twice: 4.flac: 3 rows have this id"]


def test_ids_that_differ_are_not_read_again() -> None:
    checks = RowChecks(PLAIN.spec, 4, ProblemLog())
    rows = [row_of(PLAIN, 0.01, row_id=str(i)) for i in range(50)]
    assert list(checks.sound_rows(rows)) == rows

    def unread() -> TokenRow:
        raise AssertionError("rows were read again for nothing")

    checks.check_ids(unread() for _ in [0])


def test_a_codebook_that_never_changes_is_a_problem_once_there_was_time() -> None:
    log = ProblemLog()
    checks = RowChecks(PLAIN.spec, 4, log)
    codes = PLAIN_ROW.codes.copy()
    codes[1] = 17
    constant = replace(PLAIN_ROW, codes=codes)
    short = replace(constant, codes=codes[:, :200], num_frames=200, num_samples=800)
    list(checks.sound_rows([short]))
    checks.check_codebooks()
    assert not log
    list(checks.sound_rows([constant]))
    checks.check_codebooks()
    assert [str(p) for p in log] == [
        f"constant_codebook: codebook 1: one code in all of its {200 + 5000} frames"
    ]


def test_the_log_counts_all_and_keeps_some() -> None:
    log = ProblemLog(kept_per_code=2)
    for number in range(5):
        log.add("id_twice", f"row {number}", "detail")
    log.add("part_missing", "part", "detail")
    assert log.counts == {"id_twice": 5, "part_missing": 1}
    assert [problem.where for problem in log] == ["row 0", "row 1", "part"]
    assert log.not_kept() == {"id_twice": 3}


def test_the_log_takes_no_unknown_code() -> None:
    with pytest.raises(KeyError, match="'nonsense' is no problem code"):
        ProblemLog().add("nonsense", "where", "detail")


def test_problem_codes_are_words_for_programs() -> None:
    assert all(code.replace("_", "").isalpha() and code.islower() for code in PROBLEM_CODES)
