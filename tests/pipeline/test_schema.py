"""Parts: what is written is read, the same bytes every time, and damage is noticed."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.fakes import MeanCodec
from tokenize_pipeline import schema
from tokenize_pipeline.errors import ConfigurationError, DamagedOutputError
from tokenize_pipeline.records import RejectedRecording, TokenRow
from tokenize_pipeline.schema import (
    check_part,
    part_rows,
    part_spec,
    read_part,
    rejected_from_bytes,
    rejected_to_bytes,
    write_part,
)

SPEC = MeanCodec().spec


def row(
    name: str, frames: int, codebooks: int = 8, chunks: int | None = None, size: int = 1024
) -> TokenRow:
    """A row of random codes that keeps the promises of the codec."""
    generator = np.random.default_rng(frames * 31 + codebooks)
    return TokenRow(
        id=name,
        codes=generator.integers(0, size, (codebooks, frames)).astype(np.uint16),
        scales=None if chunks is None else generator.random(chunks, dtype=np.float32),
        num_frames=frames,
        num_samples=frames * 320,
        start_sample=0,
        source=f"/corpus/{name}",
        source_sample_rate=16000,
        source_channels=1,
    )


def same(one: TokenRow, other: TokenRow) -> bool:
    """Equality with arrays compared by type, shape and content."""
    arrays = ((one.codes, other.codes), (one.scales, other.scales))
    if not all(_same_array(left, right) for left, right in arrays):
        return False
    nothing = np.zeros(0, np.uint16)
    return replace(one, codes=nothing, scales=None) == replace(other, codes=nothing, scales=None)


def _same_array(left: NDArray[Any] | None, right: NDArray[Any] | None) -> bool:
    if left is None or right is None:
        return left is right
    alike = (left.dtype, left.shape) == (right.dtype, right.shape)
    return alike and np.array_equal(left, right)


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
shapes = st.tuples(names, st.integers(0, 40), st.integers(1, 32), st.none() | st.integers(0, 5))


@given(st.lists(shapes, min_size=1, max_size=12))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_written_is_read(
    tmp_path: Path, written: list[tuple[str, int, int, int | None]]
) -> None:
    rows = [row(*values) for values in written]
    path = tmp_path / "part.parquet"
    assert write_part(path, rows, SPEC) == len(rows)
    found = list(read_part(str(path)))
    assert len(found) == len(rows)
    assert all(map(same, found, rows))
    assert part_spec(str(path)) == SPEC
    assert part_rows(str(path)) == len(rows)


def test_bytes_depend_on_the_rows_alone(tmp_path: Path) -> None:
    rows = [row(f"{index}", index) for index in range(1, 700, 3)]
    write_part(tmp_path / "one", rows, SPEC)
    write_part(tmp_path / "two", iter(rows), SPEC)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_no_rows_no_file(tmp_path: Path) -> None:
    assert write_part(tmp_path / "part", [], SPEC) == 0
    assert not (tmp_path / "part").exists()


def test_an_error_among_the_rows_is_passed_on(tmp_path: Path) -> None:
    def rows() -> Iterator[TokenRow]:
        yield row("good", 3)
        raise RuntimeError("the codec stopped")

    with pytest.raises(RuntimeError, match="the codec stopped"):
        write_part(tmp_path / "part", rows(), SPEC)


def test_row_groups_are_bounded_in_rows_and_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "ROW_GROUP_ROWS", 5)
    monkeypatch.setattr(schema, "ROW_GROUP_BYTES", 1000)
    frames = [1] * 12 + [40, 20, 3, 100, 1]  # 16 bytes a frame
    write_part(tmp_path / "part", [row(str(n), f) for n, f in enumerate(frames)], SPEC)
    metadata = pq.ParquetFile(tmp_path / "part").metadata
    groups = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    assert groups == [5, 5, 4, 1, 1, 1]


def test_a_part_is_read_row_group_by_row_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "ROW_GROUP_ROWS", 2)
    path = tmp_path / "part"
    write_part(path, [row(str(index), 50) for index in range(6)], SPEC)
    middle = pq.ParquetFile(path).metadata.row_group(1).column(1).data_page_offset + 20
    damage(path, middle)
    rows = read_part(str(path))
    assert [next(rows).id, next(rows).id] == ["0", "1"], "the first group is not damaged"
    with pytest.raises(DamagedOutputError, match="damaged"):
        next(rows)


def damage(path: Path, offset: int) -> None:
    """Flip one bit."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_a_flipped_bit_in_the_codes_is_noticed_wherever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "part"
    write_part(path, [row("a", 300), row("b", 200)], SPEC)
    whole = path.read_bytes()
    column = pq.ParquetFile(path).metadata.row_group(0).column(1)
    start = column.dictionary_page_offset
    for offset in range(start, start + column.total_compressed_size, 97):
        damage(path, offset)
        with pytest.raises(DamagedOutputError):
            check_part(str(path), SPEC, 2)
        path.write_bytes(whole)
    check_part(str(path), SPEC, 2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"num_samples": 320 * 5 + 1},
            "5 frames of codes, 5 declared, 6 expected for 1601 samples",
        ),
        ({"num_frames": 4}, "5 frames of codes, 4 declared"),
        ({"codes": np.full((8, 5), 1024, np.uint16)}, "code 1024, codebooks have 1024 entries"),
    ],
)
def test_a_row_that_breaks_a_promise_is_noticed(
    tmp_path: Path, wrong: dict[str, object], message: str
) -> None:
    broken = replace(row("x", 5), **wrong)  # type: ignore[arg-type]  # fields of any type
    write_part(tmp_path / "part", [broken], SPEC)
    with pytest.raises(DamagedOutputError, match=message):
        check_part(str(tmp_path / "part"), SPEC, 1)


def test_a_part_of_another_length_or_codec_is_noticed(tmp_path: Path) -> None:
    write_part(tmp_path / "part", [row("x", 5)], SPEC)
    with pytest.raises(DamagedOutputError, match="has 1 rows, 2 were written"):
        check_part(str(tmp_path / "part"), SPEC, 2)
    with pytest.raises(DamagedOutputError, match="names another codec than other"):
        check_part(str(tmp_path / "part"), replace(SPEC, name="other"), 1)


def test_what_is_no_part_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(DamagedOutputError, match="is damaged"):
        part_rows(str(tmp_path / "text"))
    (tmp_path / "other").write_bytes(rejected_to_bytes([]))
    with pytest.raises(DamagedOutputError, match="names no codec"):
        part_spec(str(tmp_path / "other"))


def test_metadata_becomes_columns(tmp_path: Path) -> None:
    rows = [
        replace(row("a", 2), metadata={"text": "hello", "speaker": 7, "snr": 1.5, "ok": True}),
        replace(row("b", 3), metadata={"text": None}),
    ]
    path = tmp_path / "part"
    columns = {"text": "string", "speaker": "int64", "snr": "float64", "ok": "bool"}
    write_part(path, rows, SPEC, columns)
    found = [dict(read.metadata) for read in read_part(str(path))]
    assert found == [rows[0].metadata, dict.fromkeys(columns)]
    loaded = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))
    key = json.loads(pq.ParquetFile(path).schema_arrow.metadata[b"huggingface"])
    assert key["info"]["features"] == loaded.features.to_dict()


def test_names_that_are_no_utf8_are_escaped(tmp_path: Path) -> None:
    odd = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    write_part(tmp_path / "part", [row(odd, 1)], SPEC)
    assert next(read_part(str(tmp_path / "part"))).id == "caf\\udce9.wav"


def test_ten_bits_take_little_more_than_ten_bits(tmp_path: Path) -> None:
    write_part(tmp_path / "part", [row(str(n), 1500) for n in range(20)], SPEC)
    codes = 20 * 1500 * 8
    assert (tmp_path / "part").stat().st_size / codes < 1.31  # bytes; the floor is 1.25


@pytest.mark.parametrize(
    ("size", "encoding"), [(1 << 15, "RLE_DICTIONARY"), (1 << 16, "BYTE_STREAM_SPLIT")]
)
def test_large_codebooks_are_split_by_bytes(tmp_path: Path, size: int, encoding: str) -> None:
    spec = replace(SPEC, codebook_size=size)
    rows = [row("a", 300, size=size)]
    write_part(tmp_path / "part", rows, spec)
    column = pq.ParquetFile(tmp_path / "part").metadata.row_group(0).column(1)
    assert encoding in column.encodings
    assert all(map(same, read_part(str(tmp_path / "part")), rows))


def test_codebooks_beyond_uint16_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has 65537 entries a codebook"):
        write_part(tmp_path / "part", [], replace(SPEC, codebook_size=65537))


def test_datasets_reads_the_types_that_the_key_declares(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    rows = [row("a", 4, chunks=2), row("b", 7, chunks=2)]
    write_part(path, rows, SPEC)
    key = json.loads(pq.ParquetFile(path).schema_arrow.metadata[b"huggingface"])
    loaded = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))
    assert key["info"]["features"] == loaded.features.to_dict()
    codes = datasets.List(datasets.List(datasets.Value("uint16")))
    assert loaded.features["codes"] == codes
    assert np.array_equal(np.array(loaded[1]["codes"]), rows[1].codes)


def test_rejected_recordings_round_trip() -> None:
    rejected = [RejectedRecording("a/é.wav", "s3://b/a", "empty", "it \x00 has")]
    assert rejected_from_bytes(rejected_to_bytes(rejected)) == rejected
    assert rejected_from_bytes(rejected_to_bytes([])) == []
