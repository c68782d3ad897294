"""From what the user typed to items, and from items to recordings."""

from pathlib import Path

import fsspec
import pytest

from tests.pipeline.audio_files import write_corpus, write_noise
from tokenize_pipeline import storage
from tokenize_pipeline.errors import ConfigurationError
from tokenize_pipeline.plan import plan_sources
from tokenize_pipeline.records import Recording, SourceItem
from tokenize_pipeline.sources import find, find_items, read_recordings


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus", count=4)


def ids(source: str | Path) -> list[str]:
    return [item.id for item in find_items(str(source))]


def only_recording(item: SourceItem) -> Recording:
    (entry,) = read_recordings(item)
    assert isinstance(entry, Recording)
    return entry


EVERYTHING = [
    "broken.wav",
    "empty.mp3",
    "speaker0/000.flac",
    "speaker0/002.flac",
    "speaker1/001.flac",
    "speaker1/003.flac",
]


def test_a_folder_is_searched_to_the_bottom_for_audio(corpus: Path) -> None:
    assert ids(corpus) == EVERYTHING
    assert ids(f"{corpus}/") == EVERYTHING
    assert ids(f"file://{corpus}") == EVERYTHING


def test_a_file_named_outright_is_a_recording_whatever_its_name(corpus: Path) -> None:
    assert ids(corpus / "README.md") == ["README.md"]
    assert ids(corpus / "speaker1" / "001.flac") == ["001.flac"]


def test_globs_are_relative_to_their_fixed_folders(corpus: Path) -> None:
    assert ids(corpus / "speaker*" / "*.flac") == EVERYTHING[2:]
    assert ids(corpus / "*") == EVERYTHING, "matching folders are searched too"
    assert ids(corpus / "**" / "*.flac") == EVERYTHING[2:]
    assert ids(corpus / "speaker0" / "00[0-1].flac") == ["000.flac"]


def test_a_name_with_glob_characters_that_exists_is_no_glob(tmp_path: Path) -> None:
    write_noise(tmp_path / "a[1].wav", 0.1, 0)
    write_noise(tmp_path / "b[2]" / "x?.wav", 0.1, 0)
    assert ids(tmp_path / "a[1].wav") == ["a[1].wav"]
    assert ids(tmp_path / "b[2]") == ["x?.wav"]


def test_items_carry_size_and_version(corpus: Path) -> None:
    item = find_items(str(corpus))[2]
    path = corpus / "speaker0" / "000.flac"
    assert item.url == str(path)
    assert item.size_bytes == path.stat().st_size
    assert item.version == str(path.stat().st_mtime_ns)


def test_relative_sources_give_absolute_urls(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(corpus.parent)
    assert find_items("corpus") == find_items(str(corpus))


def test_other_storage_is_searched_alike(corpus: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(corpus), "/sources-test/corpus", recursive=True)
    assert ids("memory://sources-test/corpus") == EVERYTHING
    assert ids("memory://sources-test/corpus/speaker0/*.flac") == ["000.flac", "002.flac"]
    item = find_items("memory://sources-test/corpus/speaker0")[0]
    recording = only_recording(item)
    with recording.open() as file:
        assert file.read() == (corpus / "speaker0" / "000.flac").read_bytes()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "source does not exist: .*nowhere"),
        ("no*where", "source matches no file: .*no"),
        ("texts", "no audio files in .*texts: none of its 1 files"),
        ("texts/*", r"no audio files in .*texts/\*"),
        ("hollow", "no audio files in .*hollow: none of its 0 files"),
    ],
)
def test_what_cannot_be_a_source_is_refused(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "hollow").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("x")
    with pytest.raises(ConfigurationError, match=message):
        find_items(f"{tmp_path}/{source}")


def test_a_loose_file_is_one_recording(corpus: Path) -> None:
    for item in find_items(str(corpus)):
        recording = only_recording(item)
        assert (recording.id, recording.source) == (item.id, item.url)
        assert recording.name == Path(item.url).name
        with recording.open() as file:
            assert file.read() == Path(item.url).read_bytes()


def test_files_that_are_passed_over_are_counted(corpus: Path) -> None:
    (corpus / "train.jsonl").write_text("{}\n")
    assert find(str(corpus)).ignored_files == 2, "README.md and the manifest"
    assert find(f"{corpus}/*.jsonl").ignored_files == 0
    assert find(f"{corpus}/*.jsonl").items[0].id == "train.jsonl"
    assert plan_sources([str(corpus), str(corpus / "README.md")]).ignored_files == 2


def test_datasets_on_the_hub_are_urls_like_others() -> None:
    fs, path = fsspec.core.url_to_fs("hf://datasets/someone/speech/data/train-0.parquet")
    assert type(fs).__name__ == "HfFileSystem"
    assert path == "datasets/someone/speech/data/train-0.parquet"
    folder = storage.folder_of("hf://datasets/someone/speech/data/train-0.parquet")
    assert storage.resolve("../a.wav", folder) == "hf://datasets/someone/speech/a.wav"
