"""Every format of `sources/` gives the same recordings, and so the same codes."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fakes import MeanCodec
from tests.pipeline.audio_files import write_corpus
from tokenize_pipeline import load_tokens
from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.metadata import agree_columns
from tokenize_pipeline.plan import codec_identity, plan_items, plan_shards, run_identity
from tokenize_pipeline.records import CommitRecord, Recording, SourceEntry, TokenRow
from tokenize_pipeline.schema import read_part
from tokenize_pipeline.shard import tokenize_shard
from tokenize_pipeline.sources import find_items, formats, read_recordings
from tokenize_pipeline.verification.excerpts import cut
from tokenize_pipeline.verification.originals import Original, read_originals

NAMES = [f"speaker{index % 2}/{index:03d}" for index in range(6)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("contract") / "corpus", broken=False)


def text_of(name: str) -> str:
    return f"was in {name} gesagt würde"


def as_files(corpus: Path, folder: Path) -> Path:
    return corpus


def as_tar(corpus: Path, folder: Path, mode: str = "w", suffix: str = ".tar") -> Path:
    """Audio, then its text, then what else is known of it."""
    path = folder / f"corpus{suffix}"
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]  # a mode as text
        for index, name in enumerate(NAMES):
            add(archive, f"{name}.flac", (corpus / f"{name}.flac").read_bytes())
            add(archive, f"{name}.txt", text_of(name).encode())
            add(archive, f"{name}.json", json.dumps({"speaker": index}).encode())
    return path


def as_tar_gz(corpus: Path, folder: Path) -> Path:
    return as_tar(corpus, folder, "w:gz", ".tar.gz")


def as_tgz(corpus: Path, folder: Path) -> Path:
    return as_tar(corpus, folder, "w:gz", ".tgz")


def as_tar_zst(corpus: Path, folder: Path) -> Path:
    path = folder / "corpus.tar.zst"
    data = as_tar(corpus, folder).read_bytes()
    with pa.CompressedOutputStream(str(path), "zstd") as output:
        output.write(data)
    return path


def as_parquet(corpus: Path, folder: Path) -> Path:
    audio = [{"bytes": (corpus / f"{n}.flac").read_bytes(), "path": f"{n}.flac"} for n in NAMES]
    table = pa.table(
        {
            "audio": pa.array(audio, pa.struct({"bytes": pa.binary(), "path": pa.string()})),
            "text": [text_of(name) for name in NAMES],
            "speaker": list(range(6)),
        }
    )
    pq.write_table(table, folder / "corpus.parquet", row_group_size=4)
    return folder / "corpus.parquet"


def as_manifest(corpus: Path, folder: Path) -> Path:
    """Relative to a folder beside the corpus."""
    (folder / "lists").mkdir()
    path = folder / "lists" / "corpus.jsonl"
    entries = [
        {"audio_filepath": str(corpus / f"{name}.flac"), "text": text_of(name), "speaker": index}
        for index, name in enumerate(NAMES)
    ]
    path.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    return path


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


# How the corpus is written in each format of the folder, one for each of its suffixes.
WRITERS: dict[str, list[Callable[[Path, Path], Path]]] = {
    "files": [as_files],
    "webdataset": [as_tar, as_tar_gz, as_tgz, as_tar_zst],
    "parquet": [as_parquet],
    "manifest": [as_manifest],
}
CASES = [(name, writer) for name, writers in WRITERS.items() for writer in writers]


def tokenize_all(source: Path, output: Path) -> tuple[list[CommitRecord], list[TokenRow]]:
    """What a run does, in this process."""
    codec, config = MeanCodec(), TokenizeConfig((str(source),), str(output))
    items = plan_items(config.sources)
    identity = codec_identity(codec.spec, config)
    shards = plan_shards(items, identity, agree_columns(items))
    folder = RunFolder(str(output))
    folder.start(run_identity(identity, shards), shards)
    assert folder.plan() == shards
    records = [tokenize_shard(shard, codec, config) for shard in shards]
    for record in records:
        folder.commit(record)
    rows = [row for url in folder.part_urls() for row in read_part(url)]
    return records, rows


def test_every_format_is_tested() -> None:
    """A new file in `sources/` fails here until the corpus can be written in its format."""
    assert WRITERS.keys() == formats().keys()


@pytest.mark.parametrize("name", formats())
def test_a_format_claims_suffixes_of_its_own(name: str) -> None:
    suffixes = formats()[name].SUFFIXES
    others = [formats()[other].SUFFIXES for other in formats() if other != name]
    assert suffixes
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in suffixes)
    assert not any(suffixes & other for other in others)


@pytest.mark.parametrize(("name", "writer"), CASES)
def test_the_same_corpus_gives_the_same_codes(
    name: str, writer: Callable[[Path, Path], Path], corpus: Path, tmp_path: Path
) -> None:
    _, expected = tokenize_all(corpus, tmp_path / "expected")
    by_name = dict(zip(sorted(NAMES), expected, strict=True))
    source = writer(corpus, tmp_path)
    records, rows = tokenize_all(source, tmp_path / "out")
    names = sorted(NAMES) if name == "files" else NAMES
    assert len(rows) == len({row.id for row in rows}) == len(names)
    assert sum(record.recordings for record in records) == len(names)
    for row, found in zip(rows, names, strict=True):
        assert np.array_equal(row.codes, by_name[found].codes)
        assert row.num_samples == by_name[found].num_samples
        if name != "files":
            assert (row.metadata["text"], row.metadata["speaker"]) == (
                text_of(found),
                NAMES.index(found),
            )
    loaded = load_tokens(str(tmp_path / "out"))
    assert [row["id"] for row in loaded] == [row.id for row in rows]


@pytest.mark.parametrize(("name", "writer"), CASES)
def test_items_can_be_read_twice_and_rows_lead_back_to_them(
    name: str, writer: Callable[[Path, Path], Path], corpus: Path, tmp_path: Path
) -> None:
    del name
    source = writer(corpus, tmp_path)
    items = find_items(str(source))
    _, rows = tokenize_all(source, tmp_path / "out")
    spec = MeanCodec().spec
    excerpts = [cut(row, spec, row.num_samples) for row in rows]
    for row, original in zip(rows, read_originals(excerpts, items, spec), strict=True):
        assert isinstance(original, Original)
        assert (original.audio.shape[1], original.samples_after) == (row.num_samples, 0)
        assert np.array_equal(MeanCodec().encode(original.audio).codes, row.codes)
    first, second = (
        [content(entry) for item in items for entry in read_recordings(item)] for _ in range(2)
    )
    assert first == second
    assert all(data[:4] == b"fLaC" for data in first)


def content(entry: SourceEntry) -> bytes:
    assert isinstance(entry, Recording)
    with entry.open() as file:
        return file.read()


def test_formats_can_be_mixed(corpus: Path, tmp_path: Path) -> None:
    for writer in (as_tar, as_parquet, as_manifest):
        writer(corpus, tmp_path)
    _, rows = tokenize_all(tmp_path, tmp_path / "out")
    assert len({row.id for row in rows}) == 12, "manifests count only where they are named"
    mixed = load_tokens(str(tmp_path / "out"))
    assert set(mixed["text"]) == {text_of(name) for name in NAMES}
