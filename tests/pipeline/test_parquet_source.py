"""Parquet files with audio: rows, missing audio, damage."""

import base64
import datetime as dt
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.pipeline.audio_files import write_noise
from tokenize_pipeline.records import Recording, RejectedRecording, SourceEntry
from tokenize_pipeline.sources import find_items, read_recordings

AUDIO_TYPE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def write(path: Path, audio: Sequence[dict[str, Any] | None], **options: Any) -> Path:
    columns = {name: options.pop(name) for name in list(options) if name != "row_group_size"}
    table = pa.table({"audio": pa.array(audio, AUDIO_TYPE), **columns})
    pq.write_table(table, path, compression="none", write_page_checksum=True, **options)
    return path


def read(path: Path) -> list[SourceEntry]:
    (item,) = find_items(str(path))
    assert item.recordings is None
    return list(read_recordings(item))


def content(entry: SourceEntry) -> bytes:
    assert isinstance(entry, Recording)
    with entry.open() as file:
        return file.read()


def rejected(entries: list[SourceEntry]) -> list[tuple[str, str]]:
    return [(e.id, e.code) for e in entries if isinstance(e, RejectedRecording)]


def test_rows_are_recordings_and_columns_their_metadata(tmp_path: Path) -> None:
    audio = [{"bytes": bytes([n]) * 10, "path": f"{n}.wav"} for n in range(20)]
    path = write(
        tmp_path / "a.parquet",
        audio,
        row_group_size=7,
        text=[f"t{n}" for n in range(20)],
        when=[dt.date(2020, 1, 2)] * 20,
        blob=[b"\x00\xff"] * 20,
        words=[[{"w": "a", "t": 0.5}]] * 20,
    )
    entries = read(path)
    assert [content(entry) for entry in entries] == [bytes([n]) * 10 for n in range(20)]
    last = entries[-1]
    assert isinstance(last, Recording)
    assert (last.id, last.name) == ("a.parquet/000019", "19.wav")
    assert last.source == f"{path}/000019"
    assert last.metadata == {
        "text": "t19",
        "when": "2020-01-02",
        "blob": base64.b64encode(b"\x00\xff").decode(),
        "words": [{"w": "a", "t": 0.5}],
        "path": "19.wav",
    }


def test_a_row_without_bytes_is_the_file_that_it_names_or_empty(tmp_path: Path) -> None:
    sound = write_noise(tmp_path / "sub" / "x.wav", 0.1, 0).read_bytes()
    audio: list[dict[str, Any] | None] = [
        {"bytes": None, "path": "sub/x.wav"},
        {"bytes": None, "path": None},
        None,
        {"bytes": b"", "path": "y.wav"},
    ]
    entries = read(write(tmp_path / "a.parquet", audio))
    assert [content(entry) for entry in entries] == [sound, b"", b"", b""]


def test_the_column_that_datasets_calls_audio_is_taken(tmp_path: Path) -> None:
    features = {"image": {"_type": "Image"}, "voice": {"_type": "Audio"}}
    schema = pa.schema(
        [("image", AUDIO_TYPE), ("voice", AUDIO_TYPE)],
        {"huggingface": json.dumps({"info": {"features": features}})},
    )
    rows = [{"image": {"bytes": b"i", "path": "i"}, "voice": {"bytes": b"v", "path": "v"}}]
    pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "a.parquet")
    (entry,) = read(tmp_path / "a.parquet")
    assert content(entry) == b"v"


def test_a_file_without_audio_is_rejected(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "n": [1]}), tmp_path / "a.parquet")
    (entry,) = read(tmp_path / "a.parquet")
    assert isinstance(entry, RejectedRecording)
    assert (entry.id, entry.code) == ("a.parquet", "unsupported")
    assert entry.detail == "no column of struct<bytes: binary, path: string> among text, n"


def test_no_rows(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.parquet", [])) == []


@pytest.mark.parametrize("keep", [0, 3, 100, -1, -100])
def test_a_cut_file_is_rejected(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path / "a.parquet", [{"bytes": b"x" * 1000, "path": "x"}])
    path.write_bytes(path.read_bytes()[:keep])
    assert rejected(read(path)) == [("a.parquet", "archive_truncated")]


def test_a_damaged_footer_is_rejected(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [{"bytes": b"x" * 1000, "path": "x"}])
    data = bytearray(path.read_bytes())
    data[-100:-8] = bytes(92)
    path.write_bytes(data)
    assert rejected(read(path)) == [("a.parquet", "archive_damaged")]


def test_a_damaged_row_group_costs_that_row_group(tmp_path: Path) -> None:
    audio = [{"bytes": bytes([n]) * 5000, "path": f"{n}"} for n in range(9)]
    path = write(tmp_path / "a.parquet", audio, row_group_size=3)
    data = bytearray(path.read_bytes())
    position = data.index(bytes([4]) * 5000)
    data[position + 100] ^= 0xFF
    path.write_bytes(data)
    entries = read(path)
    kept = [entry.id for entry in entries if isinstance(entry, Recording)]
    assert kept == [f"a.parquet/{n:06d}" for n in (0, 1, 2, 6, 7, 8)]
    assert rejected(entries) == [("a.parquet/row group 1", "archive_damaged")]
    (found,) = [entry for entry in entries if isinstance(entry, RejectedRecording)]
    assert found.detail.startswith("row group 1, rows 3 to 5: ")


def test_an_error_of_the_storage_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = [{"bytes": bytes([n]) * 100_000, "path": f"{n}"} for n in range(30)]
    path = write(tmp_path / "a.parquet", audio, row_group_size=10)
    (item,) = find_items(str(path))

    class Lost(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if 1_500_000 < self.tell() < 2_500_000:
                raise OSError("connection lost")
            return super().read(size)

    monkeypatch.setattr(
        "tokenize_pipeline.storage.open_input", lambda url: Lost(Path(url).read_bytes())
    )
    with pytest.raises(OSError, match="connection lost"):
        list(read_recordings(item))
