"""Metadata of recordings as columns: one schema for all parts of a run.

Planning looks at the first recordings of some of the sources and agrees on columns and their types.
A row then puts into each column what fits, and everything else, as a JSON object, into the column
`metadata`: nothing is lost, and all parts have the same columns whatever else turns up. Sources
without metadata have no columns, `metadata` included.

    type       takes
    bool       true and false
    int64      whole numbers
    float64    numbers
    string     text
    json       anything, written as JSON: where values are nested, or of several types

A name that a part has already is put behind `original_`: the `id` of a sidecar becomes
`original_id`.
"""

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from tokenize_pipeline.errors import ConfigurationError
from tokenize_pipeline.records import Recording, SourceItem
from tokenize_pipeline.schema import COLUMN_NAMES, stored_text
from tokenize_pipeline.sources import has_metadata, read_recordings

LEFT_OVER = "metadata"
FLAGS = "flags"  # why a recording would have been rejected; only where a run keeps some such

_PEEKED_ITEMS = 16  # evenly over all that may have metadata
_PEEKED_RECORDINGS = 16  # the first of each
_MOST_COLUMNS = 100
_TAKEN = frozenset({*COLUMN_NAMES, FLAGS, LEFT_OVER})


def agree_columns(items: Iterable[SourceItem]) -> dict[str, str]:
    """Columns of a run, type by name, from a look at its sources. The same for the same sources.

    Raises:
        ConfigurationError: a source cannot be read.
    """
    speaking = [item for item in items if has_metadata(item)]
    if not speaking:
        return {}
    step = max(1, -(-len(speaking) // _PEEKED_ITEMS))
    types: dict[str, str | None] = {}
    for item in speaking[::step]:
        for name, value in _first_values(item):
            if name in types or len(types) < _MOST_COLUMNS:
                types[name] = _join(types.get(name), _type(value))
    return {name: kind or "string" for name, kind in types.items()} | {LEFT_OVER: "json"}


def fit(metadata: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """The values of a row in its columns; None where there is nothing."""
    values: dict[str, Any] = {}
    left_over = {}
    for key, value in metadata.items():
        name = _column_name(key)
        if name in columns and name not in values and _fits(value, columns[name]):
            values[name] = _cast(value, columns[name])
        elif value is not None:
            left_over[key] = value
    if left_over and columns:
        values[LEFT_OVER] = _json(left_over)
    return {name: values.get(name) for name in columns}


def _first_values(item: SourceItem) -> list[tuple[str, Any]]:
    try:
        entries = list(islice(read_recordings(item), _PEEKED_RECORDINGS))
    except OSError as error:
        raise ConfigurationError(f"cannot read {item.url}: {error}") from error
    recordings = [entry for entry in entries if isinstance(entry, Recording)]
    return [
        (_column_name(key), value) for found in recordings for key, value in found.metadata.items()
    ]


def _column_name(key: str) -> str:
    return stored_text(f"original_{key}" if key in _TAKEN else key)


def _type(value: Any) -> str | None:
    """The narrowest type that takes a value; None for no value."""
    if value is None:
        return None
    kinds = ("bool", "int64", "float64", "string")
    return next((kind for kind in kinds if _fits(value, kind)), "json")


def _join(one: str | None, other: str | None) -> str | None:
    """The narrowest type that takes what either takes."""
    if one is None or other is None or one == other:
        return one or other
    return "float64" if {one, other} == {"int64", "float64"} else "json"


def _fits(value: Any, kind: str) -> bool:
    if value is None or kind == "json":
        return True
    if kind == "string":
        return isinstance(value, str)
    if isinstance(value, bool) or kind == "bool":
        return isinstance(value, bool) and kind == "bool"
    if kind == "int64":
        return isinstance(value, int) and -(1 << 63) <= value < 1 << 63
    return isinstance(value, float) or (isinstance(value, int) and abs(value) <= 1 << 53)


def _cast(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "json":
        return _json(value)
    return float(value) if kind == "float64" else value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
