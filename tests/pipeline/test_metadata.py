"""Metadata columns: agreed once, the same in all parts, nothing lost."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenize_pipeline import metadata as module
from tokenize_pipeline.metadata import agree_columns, fit
from tokenize_pipeline.sources import find_items


def columns_of(tmp_path: Path, *entries: dict[str, Any]) -> dict[str, str]:
    lines = [json.dumps({"audio_filepath": "x.wav", **entry}) for entry in entries]
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    columns = agree_columns(find_items(str(tmp_path / "m.jsonl")))
    assert columns.pop("audio_filepath") == "string"
    assert columns.pop("metadata") == "json"
    return columns


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a", None], "string"),
        ([1, 2], "int64"),
        ([1, 2.5], "float64"),
        ([True, False], "bool"),
        ([True, 1], "json"),
        (["1", 1], "json"),
        ([[1]], "json"),
        ([{"a": 1}], "json"),
        ([1 << 70], "json"),
        ([None], "string"),
    ],
)
def test_the_narrowest_type_that_takes_all_is_agreed_on(
    tmp_path: Path, values: list[Any], kind: str
) -> None:
    assert columns_of(tmp_path, *[{"x": value} for value in values]) == {"x": kind}


def test_names_that_a_part_has_already_are_changed(tmp_path: Path) -> None:
    found = columns_of(tmp_path, {"id": "a", "codes": 1, "metadata": 2})
    assert found == {
        "original_id": "string",
        "original_codes": "int64",
        "original_metadata": "int64",
    }
    columns = {"original_id": "string", "metadata": "json"}
    assert fit({"id": "a"}, columns) == {"original_id": "a", "metadata": None}


def test_loose_files_have_no_columns(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    assert agree_columns(find_items(str(tmp_path))) == {}
    assert fit({"a": 1}, {}) == {}


def test_only_so_many_columns_are_made(tmp_path: Path) -> None:
    found = columns_of(tmp_path, {f"k{n}": n for n in range(1000)})
    assert len(found) == module._MOST_COLUMNS - 1


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)


@given(
    metadata=st.dictionaries(st.sampled_from("abcdef"), VALUES),
    kinds=st.dictionaries(
        st.sampled_from("abcd"), st.sampled_from(["bool", "int64", "float64", "string", "json"])
    ),
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_nothing_is_lost(metadata: dict[str, Any], kinds: dict[str, str]) -> None:
    """What does not fit its column stands in the column for the rest."""
    columns = {**kinds, "metadata": "json"}
    row = fit(metadata, columns)
    assert row.keys() == columns.keys()
    left_over = json.loads(row["metadata"] or "{}")
    for name, value in metadata.items():
        if value is None:
            assert row.get(name) is None
        elif row.get(name) is None:
            assert left_over[name] == value
        else:
            found = json.loads(row[name]) if kinds[name] == "json" else row[name]
            assert found == value
