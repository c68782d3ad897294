"""Parts and the list of rejected recordings as Parquet: the schema, its writer and its reader.

Codes are `list<list<uint16>>` [K][T] with dictionary encoding and zstd, 1.26 bytes for a 10-bit
code. [T][K] would load tens of times slower. uint16 without a dictionary is stored as INT32, so
codebooks too large for a dictionary to pay are byte-stream-split instead. Every page carries a
checksum: without one a flipped byte is read silently, even under zstd.

The bytes of a part depend on its rows and on the version of pyarrow, on nothing else.

Dimension key: K codebooks, T frames.
"""

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from codec.base import CodecSpec
from tokenize_pipeline.errors import ConfigurationError, DamagedOutputError
from tokenize_pipeline.records import RejectedRecording, TokenRow
from tokenize_pipeline.storage import open_input

# A row group is the unit of streaming: closed at whichever of the two comes first.
ROW_GROUP_ROWS = 512
ROW_GROUP_BYTES = 8 << 20  # of codes in memory

_LARGEST_DICTIONARY = 1 << 15  # entries; above it byte-stream-split is smaller
_LARGEST_CODEBOOK = 1 << 16  # entries that fit uint16
_SPEC_KEY = b"codec_spec"
_CODES_PATH = "codes.list.element.list.element"

_COLUMNS = (
    pa.field("id", pa.string()),
    pa.field("codes", pa.list_(pa.list_(pa.uint16()))),
    pa.field("scales", pa.list_(pa.float32())),
    pa.field("num_frames", pa.int32()),
    pa.field("num_samples", pa.int64()),
    pa.field("start_sample", pa.int64()),
    pa.field("source", pa.string()),
    pa.field("source_sample_rate", pa.int32()),
    pa.field("source_channels", pa.int32()),
)
# Types of metadata columns; see metadata.py for what they take.
_METADATA_TYPES = {
    "bool": pa.bool_(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "string": pa.string(),
    "json": pa.string(),
    "list": pa.list_(pa.string()),
}
COLUMN_NAMES = tuple(field.name for field in _COLUMNS)

_REJECTED_SCHEMA = pa.schema(
    [pa.field(name, pa.string()) for name in ("id", "source", "code", "detail")]
)


def part_schema(spec: CodecSpec, metadata_columns: Mapping[str, str] | None = None) -> pa.Schema:
    """Arrow schema of a part, with the keys that `datasets` and our own reader look for."""
    others = (metadata_columns or {}).items()
    fields = [*_COLUMNS, *(pa.field(name, _METADATA_TYPES[kind]) for name, kind in others)]
    features = {field.name: _feature(field.type) for field in fields}
    return pa.schema(
        fields,
        metadata={
            b"huggingface": json.dumps({"info": {"features": features}}).encode(),
            _SPEC_KEY: json.dumps(spec.to_dict(), sort_keys=True).encode(),
        },
    )


def write_part(
    path: str | Path,
    rows: Iterable[TokenRow],
    spec: CodecSpec,
    metadata_columns: Mapping[str, str] | None = None,
) -> int:
    """Write rows as they come to a local file; return how many. No rows, no file.

    Args:
        path: local scratch file; publish it whole afterwards.
        rows: consumed lazily, one row group in memory at a time.
        spec: codec that made the codes.
        metadata_columns: names in `TokenRow.metadata` that become columns, with their types.

    Raises:
        ConfigurationError: the codebooks are too large for uint16.
    """
    if spec.codebook_size > _LARGEST_CODEBOOK:
        raise ConfigurationError(
            f"{spec.name} has {spec.codebook_size} entries a codebook; "
            f"parts hold at most {_LARGEST_CODEBOOK}"
        )
    schema = part_schema(spec, metadata_columns)
    writer: pq.ParquetWriter | None = None
    total_rows = 0
    try:
        for group in _row_groups(rows):
            writer = writer or pq.ParquetWriter(path, schema, **_encoding(spec.codebook_size))
            writer.write_table(_table(group, schema), row_group_size=ROW_GROUP_ROWS)
            total_rows += len(group)
    finally:
        if writer is not None:
            writer.close()
    return total_rows


def read_part(url: str) -> Iterator[TokenRow]:
    """Rows of a part, one row group in memory at a time, every page checked.

    Raises:
        DamagedOutputError: it is no part of ours, or a page does not match its checksum.
        FileNotFoundError: there is no such file.
    """
    with _opened(url) as file:
        for index in range(file.num_row_groups):
            yield from _rows(file.read_row_group(index))


def part_spec(url: str) -> CodecSpec:
    """The codec that made a part.

    Raises:
        DamagedOutputError: it is no part of ours.
    """
    with _opened(url) as file:
        metadata = file.schema_arrow.metadata or {}
    if _SPEC_KEY not in metadata:
        raise DamagedOutputError(f"{url} was not written by this program: it names no codec")
    return CodecSpec.from_dict(json.loads(metadata[_SPEC_KEY]))


def part_rows(url: str) -> int:
    """How many rows a part says it has.

    Raises:
        DamagedOutputError: it is no Parquet file.
    """
    with _opened(url) as file:
        return int(file.metadata.num_rows)


def check_part(url: str, spec: CodecSpec, rows: int) -> None:
    """Read a part to its end and hold every row to what the codec says of it.

    Raises:
        DamagedOutputError: the part is not what was to be written.
    """
    if part_spec(url) != spec:
        raise DamagedOutputError(f"{url} names another codec than {spec.name}")
    count = 0
    for row in read_part(url):
        count += 1
        _check_row(url, row, spec)
    if count != rows:
        raise DamagedOutputError(f"{url} has {count} rows, {rows} were written")


def rejected_to_bytes(rejected: Iterable[RejectedRecording]) -> bytes:
    """The list of rejected recordings as a Parquet file. May be empty."""
    rows = [
        {
            "id": stored_text(r.id),
            "source": stored_text(r.source),
            "code": r.code,
            "detail": stored_text(r.detail),
        }
        for r in rejected
    ]
    buffer = io.BytesIO()
    table = pa.Table.from_pylist(rows, schema=_REJECTED_SCHEMA)
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def rejected_from_bytes(data: bytes) -> list[RejectedRecording]:
    """The rejected recordings back from `rejected_to_bytes`."""
    table = pq.read_table(io.BytesIO(data), page_checksum_verification=True)
    return [RejectedRecording(**row) for row in table.to_pylist()]


def _check_row(url: str, row: TokenRow, spec: CodecSpec) -> None:
    where = f"{url}, row {row.id}"
    frames = spec.num_frames(row.num_samples)
    if not row.codes.shape[1] == row.num_frames == frames:
        raise DamagedOutputError(
            f"{where}: {row.codes.shape[1]} frames of codes, {row.num_frames} declared, {frames} "
            f"expected for {row.num_samples} samples"
        )
    if row.codes.size and row.codes.max() >= spec.codebook_size:
        raise DamagedOutputError(
            f"{where}: code {row.codes.max()}, codebooks have {spec.codebook_size} entries"
        )


def _feature(arrow_type: pa.DataType) -> dict[str, Any]:
    """The `datasets` description of a column type."""
    if pa.types.is_list(arrow_type):
        return {"feature": _feature(arrow_type.value_type), "_type": "List"}
    names = {pa.float32(): "float32", pa.float64(): "float64"}
    return {"dtype": names.get(arrow_type, str(arrow_type)), "_type": "Value"}


def _encoding(codebook_size: int) -> dict[str, Any]:
    small = ["scales.list.element", "num_frames", "source_sample_rate", "source_channels"]
    options: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}
    if codebook_size <= _LARGEST_DICTIONARY:
        return {**options, "use_dictionary": [*small, _CODES_PATH]}
    return {**options, "use_dictionary": small, "use_byte_stream_split": [_CODES_PATH]}


def _row_groups(rows: Iterable[TokenRow]) -> Iterator[list[TokenRow]]:
    group: list[TokenRow] = []
    size_bytes = 0
    for row in rows:
        if group and size_bytes + row.codes.nbytes > ROW_GROUP_BYTES:
            yield group
            group, size_bytes = [], 0
        group.append(row)
        size_bytes += row.codes.nbytes
        if len(group) == ROW_GROUP_ROWS:
            yield group
            group, size_bytes = [], 0
    if group:
        yield group


def _table(rows: Sequence[TokenRow], schema: pa.Schema) -> pa.Table:
    plain = {
        "id": [stored_text(row.id) for row in rows],
        "num_frames": [row.num_frames for row in rows],
        "num_samples": [row.num_samples for row in rows],
        "start_sample": [row.start_sample for row in rows],
        "source": [stored_text(row.source) for row in rows],
        "source_sample_rate": [row.source_sample_rate for row in rows],
        "source_channels": [row.source_channels for row in rows],
    }
    nested = {"codes": _codes_array(rows), "scales": [row.scales for row in rows]}
    extra = {
        name: [_storable(row.metadata.get(name)) for row in rows]
        for name in schema.names[len(_COLUMNS) :]
    }
    columns = {**plain, **nested, **extra}
    arrays = [pa.array(columns[field.name], type=field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _codes_array(rows: Sequence[TokenRow]) -> pa.Array:
    """Codes of many rows without a Python object for each: values and two levels of offsets."""
    values = np.concatenate([row.codes.reshape(-1) for row in rows])
    lengths = np.repeat([row.codes.shape[1] for row in rows], [len(row.codes) for row in rows])
    frames = pa.ListArray.from_arrays(_offsets(lengths), pa.array(values, type=pa.uint16()))
    return pa.ListArray.from_arrays(_offsets([len(row.codes) for row in rows]), frames)


def _offsets(lengths: Sequence[int] | NDArray[np.int64]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))


def _rows(table: pa.Table) -> Iterator[TokenRow]:
    codes = table["codes"].combine_chunks()
    plain = table.drop_columns(["codes"]).to_pylist()
    per_codebook = codes.flatten()
    values = per_codebook.flatten().to_numpy()
    row_ends = _ends(codes)
    frame_ends = _ends(per_codebook)
    for row, start, end in zip(plain, row_ends[:-1], row_ends[1:], strict=True):
        flat = values[frame_ends[start] : frame_ends[end]]
        yield _row(
            row, flat.reshape(end - start, -1) if flat.size else flat.reshape(end - start, 0)
        )


def _ends(lists: pa.Array) -> NDArray[np.int64]:
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _row(row: dict[str, Any], codes: NDArray[np.uint16]) -> TokenRow:
    scales = row["scales"]
    return TokenRow(
        codes=codes,
        scales=None if scales is None else np.asarray(scales, dtype=np.float32),
        metadata={name: row[name] for name in row if name not in COLUMN_NAMES},
        **{name: row[name] for name in COLUMN_NAMES if name not in ("codes", "scales")},
    )


@contextmanager
def _opened(url: str) -> Iterator[pq.ParquetFile]:
    with open_input(url) as source:
        try:
            yield pq.ParquetFile(source, page_checksum_verification=True)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise DamagedOutputError(f"{url} is damaged: {error}") from error


def stored_text(value: str) -> str:
    """`value` with what UTF-8 cannot carry (bytes of odd file names) written as escapes."""
    return value.encode("utf-8", "backslashreplace").decode()


def _storable(value: Any) -> Any:
    return stored_text(value) if isinstance(value, str) else value
