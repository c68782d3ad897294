"""Tar archives, whole, cut, damaged and hostile: what is read, and what is said of the rest."""

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.audio_files import write_noise
from tokenize_pipeline.records import IgnoredFile, Recording, RejectedRecording, SourceEntry
from tokenize_pipeline.sources import find_items, read_recordings

Member = tuple[str, bytes]
AUDIO = b"fLaC" + bytes(1000)


def info(name: str, size: int = 0, **fields: Any) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    for field, value in fields.items():
        setattr(member, field, value)
    return member


def tar_bytes(*members: Member | tarfile.TarInfo, style: int = tarfile.GNU_FORMAT) -> bytes:
    """An archive of files with content, and of members without any."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=style) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                archive.addfile(info(member[0], len(member[1])), io.BytesIO(member[1]))
    return file.getvalue()


def read(tmp_path: Path, data: bytes, name: str = "a.tar") -> list[SourceEntry]:
    path = tmp_path / name
    path.write_bytes(data)
    (item,) = find_items(str(path))
    assert item.recordings is None
    return list(read_recordings(item))


def recordings(entries: list[SourceEntry]) -> list[Recording]:
    return [entry for entry in entries if isinstance(entry, Recording)]


def rejected(entries: list[SourceEntry]) -> list[tuple[str, str]]:
    found = [entry for entry in entries if isinstance(entry, RejectedRecording)]
    return [(entry.id, entry.code) for entry in found]


def ids(entries: list[SourceEntry]) -> list[str]:
    return [entry.id for entry in recordings(entries)]


def test_files_of_a_key_become_a_recording_with_metadata(tmp_path: Path) -> None:
    speaker = {"speaker": 7, "tags": ["a", "b"]}
    entries = read(
        tmp_path,
        tar_bytes(
            ("d/u1.json", json.dumps(speaker).encode()),
            ("d/u1.flac", AUDIO),
            ("d/u1.txt", "grüß\n".encode()),
            ("d/u1.cls", b"3"),
            ("d/u2.wav", b"RIFF"),
        ),
    )
    first, second = recordings(entries)
    assert (first.id, first.name) == ("a.tar/d/u1.flac", "u1.flac")
    assert first.source == str(tmp_path / "a.tar/d/u1.flac")
    assert first.metadata == {**speaker, "text": "grüß", "cls": "3"}
    assert (second.id, second.metadata) == ("a.tar/d/u2.wav", {})
    with first.open() as file:
        assert file.read() == AUDIO
        assert file.seek(-4, io.SEEK_END) == 1000
        assert file.read(10) == bytes(4)
    assert len(entries) == 2


def test_several_recordings_of_a_key_share_what_is_about_the_key(tmp_path: Path) -> None:
    entries = read(
        tmp_path,
        tar_bytes(
            ("u.json", b'{"room": 1}'),
            ("u.left.wav", b"1"),
            ("u.left.txt", b"links"),
            ("u.right.wav", b"2"),
        ),
    )
    left, right = recordings(entries)
    assert (left.id, left.metadata) == ("a.tar/u.left.wav", {"room": 1, "text": "links"})
    assert (right.id, right.metadata) == ("a.tar/u.right.wav", {"room": 1})


def test_what_json_and_text_say_of_the_same_name_is_kept(tmp_path: Path) -> None:
    (found,) = recordings(
        read(tmp_path, tar_bytes(("u.wav", b"1"), ("u.txt", b"one"), ("u.json", b'{"text":"two"}')))
    )
    assert found.metadata == {"text": "two", "txt": "one"}


@pytest.mark.parametrize("content", [b'{"a": ', b"[" * 100_000, b"\xff\xfe"])
def test_a_sidecar_that_cannot_be_read_costs_no_recording(tmp_path: Path, content: bytes) -> None:
    entries = read(tmp_path, tar_bytes(("u.wav", b"1"), ("u.json", content)))
    assert ids(entries) == ["a.tar/u.wav"]
    kept = recordings(entries)[0].metadata.get("json") is not None
    assert kept or any(isinstance(entry, IgnoredFile) for entry in entries)


def test_other_files_are_counted(tmp_path: Path) -> None:
    large = b"x" * (1 << 21)
    entries = read(
        tmp_path,
        tar_bytes(
            ("README", b"hello"), ("u.wav", b"1"), ("u.txt", large), ("u.npy", b"\x93NUMPY\xff")
        ),
    )
    assert ids(entries) == ["a.tar/u.wav"]
    ignored = [entry.source for entry in entries if isinstance(entry, IgnoredFile)]
    assert [Path(source).name for source in ignored] == ["README", "u.txt", "u.npy"]


@pytest.mark.parametrize("style", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize(
    "name",
    [
        "../x.flac",
        "/etc/x.flac",
        "ü ?#%&'\"\\.flac",
        "d" * 90 + "/" + "n" * 120 + ".flac",
        "/".join(["deep" * 20] * 60) + ".flac",
        "new\nline.flac",
        b"caf\xe9.flac".decode("utf-8", "surrogateescape"),
    ],
)
def test_odd_names_survive_and_touch_no_file(tmp_path: Path, name: str, style: int) -> None:
    entries = read(tmp_path, tar_bytes((name, AUDIO), ("next.flac", AUDIO), style=style))
    assert ids(entries) == [f"a.tar/{name}", "a.tar/next.flac"]
    with recordings(entries)[0].open() as file:
        assert file.read() == AUDIO


def test_names_that_differ_in_case_are_two(tmp_path: Path) -> None:
    entries = read(tmp_path, tar_bytes(("a.flac", AUDIO), ("A.flac", AUDIO)))
    assert ids(entries) == ["a.tar/a.flac", "a.tar/A.flac"]


def test_only_files_are_read(tmp_path: Path) -> None:
    members = [
        info("folder", type=tarfile.DIRTYPE),
        info("link.flac", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        info("hard.flac", type=tarfile.LNKTYPE, linkname="u.flac"),
        info("device.wav", type=tarfile.CHRTYPE),
        info("disk.wav", type=tarfile.BLKTYPE),
        info("pipe.wav", type=tarfile.FIFOTYPE),
        info("link.txt", type=tarfile.SYMTYPE, linkname="x"),
    ]
    entries = read(tmp_path, tar_bytes(*members, ("u.flac", AUDIO)))
    names = ["link.flac", "hard.flac", "device.wav", "disk.wav", "pipe.wav"]
    assert rejected(entries) == [(f"a.tar/{name}", "unsupported") for name in names]
    assert ids(entries) == ["a.tar/u.flac"]
    assert sum(isinstance(entry, IgnoredFile) for entry in entries) == 1


def test_sparse_members_are_rejected_and_read_past(tmp_path: Path) -> None:
    old = bytearray(tar_bytes(("s.flac", AUDIO), ("u.flac", AUDIO)))
    old[156:157] = tarfile.GNUTYPE_SPARSE
    old[148:156] = b" " * 8
    old[148:156] = b"%06o\0 " % sum(old[:512])
    entries = read(tmp_path, bytes(old))
    assert (rejected(entries), ids(entries)) == (
        [("a.tar/s.flac", "unsupported")],
        ["a.tar/u.flac"],
    )
    member = info("s.flac", 0, pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"})
    entries = read(tmp_path, tar_bytes(member, ("u.flac", AUDIO), style=tarfile.PAX_FORMAT))
    assert (rejected(entries), ids(entries)) == (
        [("a.tar/s.flac", "unsupported")],
        ["a.tar/u.flac"],
    )


def test_a_name_again_is_a_duplicate(tmp_path: Path) -> None:
    members = [("u.flac", AUDIO), ("u.flac", b"2"), ("v.flac", AUDIO), ("u.flac", b"3")]
    entries = read(tmp_path, tar_bytes(*members))
    assert ids(entries) == ["a.tar/u.flac", "a.tar/v.flac"]
    assert rejected(entries) == [("a.tar/u.flac", "duplicate_id")] * 2


def test_files_of_a_key_that_stand_apart_are_not_put_together(tmp_path: Path) -> None:
    members = [("u.flac", AUDIO), ("v.flac", AUDIO), ("u.json", b'{"a": 1}'), ("u.wav", b"1")]
    entries = read(tmp_path, tar_bytes(*members))
    found = {entry.id: entry.metadata for entry in recordings(entries)}
    assert found == {"a.tar/u.flac": {}, "a.tar/v.flac": {}, "a.tar/u.wav": {"a": 1}}
    late = read(tmp_path, tar_bytes(*members[:3]))
    assert [entry for entry in late if isinstance(entry, IgnoredFile)]


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.zst"])
def test_no_members(tmp_path: Path, kind: str) -> None:
    assert read(tmp_path, packed(tar_bytes(), kind), f"a.{kind}") == []


def packed(data: bytes, kind: str) -> bytes:
    if kind == "tar.gz":
        return gzip.compress(data, mtime=0)
    if kind == "tar.zst":
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as output:
            output.write(data)
        return bytes(sink.getvalue())
    return data


THREE = tar_bytes(*[(f"{n}.flac", AUDIO) for n in "uvw"])
MEMBER_BYTES = 512 + 1024  # header and padded data


@pytest.mark.parametrize(
    ("cut", "whole", "detail"),
    [
        (2 * MEMBER_BYTES, 2, "it ends at byte 3072 without an end-of-archive mark"),
        (2 * MEMBER_BYTES + 100, 2, "it ends at byte 3172 without an end-of-archive mark"),
        (2 * MEMBER_BYTES + 700, 2, "it ends at byte 3772 inside w.flac without"),
        (3 * MEMBER_BYTES, 3, "it ends at byte 4608 without an end-of-archive mark"),
        (0, 0, "it ends at byte 0"),
    ],
)
def test_a_cut_archive_gives_what_came_before_and_says_so(
    tmp_path: Path, cut: int, whole: int, detail: str
) -> None:
    entries = read(tmp_path, THREE[:cut])
    assert ids(entries) == [f"a.tar/{name}.flac" for name in "uvw"[:whole]]
    last = entries[-1]
    assert isinstance(last, RejectedRecording)
    assert (last.id, last.code) == ("a.tar", "archive_truncated")
    assert detail in last.detail


@pytest.mark.parametrize("kind", ["tar.gz", "tar.zst"])
@pytest.mark.parametrize("cut_uncompressed", [True, False])
def test_a_cut_compressed_archive_says_so(
    tmp_path: Path, kind: str, cut_uncompressed: bool
) -> None:
    data = tar_bytes(*[(f"{n}.flac", bytes(range(256)) * 4000) for n in "uvw"])
    if cut_uncompressed:
        data = packed(data[:-20_000], kind)
    else:
        data = packed(data, kind)
        data = data[: len(data) - 10]
    entries = read(tmp_path, data, f"a.{kind}")
    assert rejected(entries)[-1] == (f"a.{kind}", "archive_truncated")


def test_a_damaged_header_is_no_end(tmp_path: Path) -> None:
    data = bytearray(THREE)
    data[MEMBER_BYTES + 10] ^= 1
    entries = read(tmp_path, bytes(data))
    assert ids(entries) == ["a.tar/u.flac"]
    assert rejected(entries) == [("a.tar", "archive_damaged")]


def test_archives_in_a_row_are_noticed(tmp_path: Path) -> None:
    entries = read(tmp_path, THREE + THREE)
    assert len(ids(entries)) == 3
    assert rejected(entries) == [("a.tar", "archive_damaged")]


def test_a_name_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    header = info("././@LongLink", 8 << 30, type=tarfile.GNUTYPE_LONGNAME).tobuf(tarfile.GNU_FORMAT)
    entries = read(tmp_path, header + bytes(10_000))
    assert rejected(entries) == [("a.tar", "archive_damaged")]


def test_large_members_of_a_stream_wait_on_disk(tmp_path: Path) -> None:
    data = bytes(9 << 20)
    archive = packed(tar_bytes(("u.wav", data), ("v.wav", b"1")), "tar.gz")
    found = recordings(read(tmp_path, archive, "a.tar.gz"))
    with found[0].open() as file, found[1].open() as other:
        assert not isinstance(file, io.BytesIO)
        assert isinstance(other, io.BytesIO)
        assert file.read() == data


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_whatever_happens_to_the_bytes_reading_ends(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Every archive ends in recordings and rejected rows; nothing but a whole one ends quietly."""
    whole = tar_bytes(("u.flac", AUDIO), ("v.txt", b"x"), ("n" * 150 + ".wav", AUDIO))
    damaged = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 3))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    entries = read(tmp_path_factory.mktemp("fuzz"), bytes(damaged))
    if len(damaged) < len(whole) - tarfile.RECORDSIZE:
        assert rejected(entries)
    for entry in recordings(entries):
        with entry.open() as file:
            file.read()


def test_the_recording_is_decoded_where_it_lies(tmp_path: Path) -> None:
    data = write_noise(tmp_path / "n.wav", 0.5, 0).read_bytes()
    (found,) = recordings(read(tmp_path, tar_bytes(("n.wav", data))))
    with found.open() as file:
        assert file.read() == data
