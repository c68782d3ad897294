"""A file becomes visible whole or not at all, here and elsewhere."""

import os
from pathlib import Path

import pytest

from tokenize_pipeline import storage
from tokenize_pipeline.errors import ConfigurationError


@pytest.fixture(params=["local", "file", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty folder on each kind of storage."""
    names = {
        "local": str(tmp_path),
        "file": f"file://{tmp_path}",
        "memory": f"memory://{tmp_path.parent.name}/{tmp_path.name.partition('[')[0]}",
    }
    return names[str(request.param)]


def test_what_is_written_is_read(root: str, tmp_path: Path) -> None:
    url = storage.join(root, "a", "b.bin")
    assert not storage.exists(url)
    assert storage.file_info(url) is None
    storage.write_bytes(url, b"one")
    assert storage.read_bytes(url) == b"one"
    source = tmp_path / "source"
    source.write_bytes(b"three")
    storage.put_file(source, url)
    assert storage.read_bytes(url) == b"three"
    info = storage.file_info(url)
    assert info is not None
    assert info.size_bytes == 5
    with storage.open_input(url) as file:
        file.seek(2)
        assert file.read() == b"ree"
    storage.delete(url)
    storage.delete(url)
    assert not storage.exists(url)
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(url)


def test_listings_reach_the_bottom_and_are_sorted(root: str) -> None:
    for name in ("b", "a/z", "a/c/d", "ä ö#?%.wav"):
        storage.write_bytes(storage.join(root, name), b"12")
    found = storage.list_files(root)
    base = storage.absolute(root)
    assert [info.url.removeprefix(base) for info in found] == [
        "/a/c/d",
        "/a/z",
        "/b",
        "/ä ö#?%.wav",
    ]
    assert {info.size_bytes for info in found} == {2}
    assert [storage.read_bytes(info.url) for info in found] == [b"12"] * 4
    assert storage.is_folder(storage.join(root, "a"))
    assert not storage.is_folder(storage.join(root, "b"))
    assert storage.list_files(storage.join(root, "nowhere")) == []


def test_globs_find_files_and_folders(root: str) -> None:
    for name in ("x/1.wav", "x/2.txt", "y/3.wav"):
        storage.write_bytes(storage.join(root, name), b"")
    names = [storage.name_of(url) for url in storage.list_matches(storage.join(root, "*/*.wav"))]
    assert names == ["1.wav", "3.wav"]
    folders = [storage.name_of(url) for url in storage.list_matches(storage.join(root, "?"))]
    assert folders == ["x", "y"]


def test_a_failed_write_leaves_the_old_content_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = str(tmp_path / "folder" / "file")
    storage.write_bytes(url, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        storage.write_bytes(url, b"new")
    assert storage.read_bytes(url) == b"old"
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["file"]


def test_nothing_but_the_file_is_ever_seen_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy is assembled in the staging folder, and flushed before it is renamed."""
    source, data, staging = tmp_path / "source", tmp_path / "data", tmp_path / "staging"
    source.write_bytes(b"x" * 3_000_000)
    data.mkdir()
    staging.mkdir()
    seen: list[list[str]] = []
    real_replace, real_fsync = os.replace, os.fsync
    flushed: list[int] = []

    def replace(old: str, new: str) -> None:
        seen.append([path.name for path in data.iterdir()])
        assert Path(old).parent == staging
        assert Path(old).stat().st_size == 3_000_000
        assert flushed, "renamed before it was flushed"
        real_replace(old, new)

    def fsync(descriptor: int) -> None:
        flushed.append(descriptor)
        real_fsync(descriptor)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "fsync", fsync)
    storage.put_file(source, str(data / "part"), staging=str(staging))
    assert seen == [[]]
    assert len(flushed) == 2, "the folder was not flushed"
    assert [path.name for path in data.iterdir()] == ["part"]
    assert list(staging.iterdir()) == []


def test_linked_folders_are_entered_once_and_loops_end(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.wav").write_bytes(b"1")
    (tmp_path / "real" / "loop").symlink_to(tmp_path)
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "nowhere.wav").symlink_to(tmp_path / "gone")
    names = sorted(storage.name_of(info.url) for info in storage.list_files(str(tmp_path)))
    assert names == ["a.wav", "nowhere.wav"], "a link that leads nowhere must not go unnoticed"


def test_local_urls_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert storage.absolute("a/../b") == str(tmp_path / "b")
    assert storage.absolute(f"file://{tmp_path}/c") == str(tmp_path / "c")
    assert storage.absolute("s3://bucket/key/") == "s3://bucket/key"


def test_an_unknown_protocol_is_a_clear_error() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot open nosuch://x: .*nosuch"):
        storage.exists("nosuch://x")
