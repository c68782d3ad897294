"""The tables: every figure in its cell, every column as wide as its widest cell."""

import pytest

from tests.benchmark.results import result
from tokenize_pipeline.benchmark.tables import benchmark_text, table


@pytest.fixture(scope="module")
def cells() -> dict[str, list[str]]:
    """Cells of every row of every table, by the first one."""
    lines = [line for line in benchmark_text(result()).splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in rows if row[0]}


def test_speed(cells: dict[str, list[str]]) -> None:
    assert cells["encode, theirs (batch 4)"] == [
        *("2.0 (1.5 to 3.0)", "1.0", "-", "4", "50 (float32)", "4"),
    ]
    assert cells["decode, fast"] == [
        *("6.0 (4.0 to 12.0)", "3.0", "1.50 (1.00 to 3.00)", "6", "400 (bfloat16)", "2"),
    ]


def test_batch_sizes_memory_flips_and_limits(cells: dict[str, list[str]]) -> None:
    text = benchmark_text(result())
    assert "| theirs |     1 |          4.00 |          3.00 |" in text
    assert "| theirs |    64 | out of memory | out of memory |" in text
    assert cells["fast"] == ["100", "250", "260", "-"]
    assert cells["ours, bfloat16"] == ["1.25", "50.00"]
    assert cells["ours, TF32"] == ["-", "-"]
    assert cells["matrix product, float32"] == ["100 GFLOP/s", "mm, size 512"]
    assert cells["memory copy, read and written"] == ["20.0 GB/s", "copy_"]


def test_where_the_figures_come_from_stands_above_them() -> None:
    head = benchmark_text(result()).partition("###")[0]
    wanted = ("Some CPU, 2 cores", "torch 2.11", "transformers 5.23", "abc1234+changes")
    assert [part for part in wanted if part not in head] == []
    assert "\n    python jobs/benchmark.py\n" in head


def test_columns_line_up() -> None:
    lines = table(["name", "a"], [["x", "1"], ["long name", "12345"]]).splitlines()
    assert lines == [
        "| name      |     a |",
        "| --------- | ----: |",
        "| x         |     1 |",
        "| long name | 12345 |",
    ]
