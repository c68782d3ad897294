"""Parquet files with audio in them, as Hugging Face datasets are published.

The audio is a column of struct<bytes: binary, path: string>: the one that the key "huggingface" of
the schema calls Audio, else the first of that type. A row without bytes may name a file by its
path, relative to the folder of the Parquet file. All other columns become metadata, and the path
too. The number of the row, from 0, is its id.

Rows come in small batches, so memory is bounded by a page of the file. A row group that cannot be
read is one rejected row, and reading goes on behind it.
"""

import base64
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from tokenize_pipeline import storage
from tokenize_pipeline.errors import ArchiveError
from tokenize_pipeline.records import Recording, RejectedRecording, SourceEntry, SourceItem
from tokenize_pipeline.watched_file import WatchedFile

SUFFIXES = frozenset({".parquet"})

_BATCH_ROWS = 8
_BUFFER_BYTES = 1 << 20  # read at once from a column of a row group
_MAGIC = b"PAR1"
_DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError, UnicodeDecodeError)


def split(item: SourceItem) -> Iterator[SourceItem]:
    """A file is a shard by itself."""
    yield replace(item, recordings=None)


def read_recordings(item: SourceItem) -> Iterator[SourceEntry]:
    """The recordings of a file, in order."""
    with storage.open_input(item.url) as raw:
        watched = WatchedFile(raw)
        try:
            file = _open(watched)
            column = _audio_column(file.schema_arrow)
        except ArchiveError as error:
            yield RejectedRecording(item.id, item.url, error.code, error.detail)
            return
        row = 0
        for index in range(file.num_row_groups):
            num_rows = file.metadata.row_group(index).num_rows
            try:
                yield from _row_group(item, file, index, column, row)
            except _DAMAGE as error:
                watched.raise_failure()
                place = f"row group {index}"
                detail = f"{place}, rows {row} to {row + num_rows - 1}: {error}"
                source, item_id = f"{item.url}/{place}", f"{item.id}/{place}"
                yield RejectedRecording(item_id, source, "archive_damaged", detail)
            row += num_rows


def _open(watched: WatchedFile) -> pq.ParquetFile:
    """The file, its footer read.

    Raises:
        ArchiveError: it is no Parquet file, or lacks its end.
    """
    end = watched.seek(0, io.SEEK_END)
    watched.seek(max(0, end - len(_MAGIC)))
    if watched.read(len(_MAGIC)) != _MAGIC:
        watched.raise_failure()
        raise ArchiveError("archive_truncated", "a Parquet file ends with PAR1, this one does not")
    watched.seek(0)
    try:
        return pq.ParquetFile(
            pa.PythonFile(watched, "r"),
            buffer_size=_BUFFER_BYTES,
            pre_buffer=False,
            page_checksum_verification=True,
        )
    except _DAMAGE as error:
        watched.raise_failure()
        raise ArchiveError("archive_damaged", f"no Parquet file: {error}") from error


def _audio_column(schema: pa.Schema) -> str:
    """The name of the column with the audio.

    Raises:
        ArchiveError: there is none.
    """
    fitting = [field.name for field in schema if _is_audio(field.type)]
    features = _features(schema)
    declared = [name for name in fitting if _feature_type(features.get(name)) == "Audio"]
    others = [name for name in fitting if _feature_type(features.get(name)) in (None, "Audio")]
    if not (declared or others):
        columns = ", ".join(schema.names)
        detail = f"no column of struct<bytes: binary, path: string> among {columns}"
        raise ArchiveError("unsupported", detail)
    return str((declared or others)[0])


def _is_audio(column_type: pa.DataType) -> bool:
    if not pa.types.is_struct(column_type) or column_type.get_field_index("bytes") < 0:
        return False
    bytes_type = column_type.field("bytes").type
    return bool(pa.types.is_binary(bytes_type) or pa.types.is_large_binary(bytes_type))


def _features(schema: pa.Schema) -> Mapping[str, Any]:
    """What the key of `datasets` says of the columns; nothing where it is not as it should be."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _feature_type(feature: Any) -> Any:
    return feature.get("_type") if isinstance(feature, dict) else None


def _row_group(
    item: SourceItem, file: pq.ParquetFile, index: int, column: str, row: int
) -> Iterator[Recording]:
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, row_groups=[index], use_threads=False):
        for values in batch.to_pylist():
            yield _recording(item, row, values.pop(column) or {}, values)
            row += 1


def _recording(
    item: SourceItem, row: int, audio: Mapping[str, Any], others: Mapping[str, Any]
) -> Recording:
    place = f"{row:06d}"
    data, path = audio.get("bytes"), audio.get("path")
    metadata = {name: _plain(value) for name, value in others.items()}
    if path is not None:
        metadata.setdefault("path", path)
    if data is None and path:
        opener = partial(storage.open_input, storage.resolve(path, storage.folder_of(item.url)))
    else:
        opener = partial(_open_bytes, data or b"")
    name = storage.name_of(path) if path else place
    return Recording(f"{item.id}/{place}", f"{item.url}/{place}", name, opener, metadata)


def _open_bytes(data: bytes) -> BinaryIO:
    return io.BytesIO(data)


def _plain(value: Any) -> Any:
    """A value of Arrow as JSON could hold it."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
