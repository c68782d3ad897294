"""Manifests: lines, segments, ranges of lines."""

import json
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.audio_files import write_noise
from tokenize_pipeline import grouping
from tokenize_pipeline.audio import open_audio
from tokenize_pipeline.errors import AudioError
from tokenize_pipeline.records import Recording, RejectedRecording, Segment, SourceEntry
from tokenize_pipeline.sources import find_items, read_recordings
from tokenize_pipeline.sources import manifest as module


def write(path: Path, *lines: dict[str, Any] | str) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n")
    return path


def read(path: Path) -> list[SourceEntry]:
    return [entry for item in find_items(str(path)) for entry in read_recordings(item)]


def test_paths_are_relative_to_the_manifest(tmp_path: Path) -> None:
    audio = write_noise(tmp_path / "audio" / "a b.wav", 0.1, 0)
    (tmp_path / "lists").mkdir()
    paths = ["../audio/a b.wav", str(audio), f"file://{audio}"]
    path = write(tmp_path / "lists" / "m.jsonl", *[{"audio_filepath": p} for p in paths])
    for number, entry in enumerate(read(path)):
        assert isinstance(entry, Recording)
        assert entry.id == f"m.jsonl/{number:06d}"
        assert entry.source == f"{path}/{number:06d}"
        assert entry.metadata == {"audio_filepath": paths[number]}
        assert entry.segment is None
        with entry.open() as file:
            assert file.read() == audio.read_bytes()


def test_remote_manifests_name_their_neighbours() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/manifests/audio/x.wav", b"sound")
    memory.pipe("/manifests/lists/m.jsonl", b'{"audio_filepath": "../audio/x.wav"}\n')
    (item,) = find_items("memory://manifests/lists/m.jsonl")
    (entry,) = read_recordings(item)
    assert isinstance(entry, Recording)
    with entry.open() as file:
        assert file.read() == b"sound"


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ("{", "the line is no JSON: "),
        ("[1]", "the line is no JSON object"),
        ("{}", "the line has no `audio_filepath`"),
        ('{"audio_filepath": 3}', "the line has no `audio_filepath`"),
        ('{"audio_filepath": "x", "offset": -1}', "`offset` is -1, not a number of seconds"),
        ('{"audio_filepath": "x", "duration": "2"}', "`duration` is '2', not a number"),
        ('{"audio_filepath": "x", "duration": NaN}', "`duration` is nan, not a number"),
        ("x" * (3 << 20), "the line is no JSON: "),
    ],
)
def test_a_line_that_cannot_be_understood_is_rejected(
    tmp_path: Path, line: str, detail: str
) -> None:
    good = {"audio_filepath": "x.wav"}
    entries = read(write(tmp_path / "m.jsonl", good, "", line, good))
    assert [entry.id for entry in entries if isinstance(entry, Recording)] == [
        "m.jsonl/000000",
        "m.jsonl/000003",
    ]
    (bad,) = [entry for entry in entries if isinstance(entry, RejectedRecording)]
    assert (bad.id, bad.code) == ("m.jsonl/000002", "invalid_entry")
    assert detail in bad.detail


@given(count=st.integers(0, 60), blank=st.integers(0, 7))
@settings(max_examples=30, deadline=None)
def test_ranges_of_lines_make_the_whole(
    tmp_path_factory: pytest.TempPathFactory, count: int, blank: int
) -> None:
    lines: list[dict[str, Any] | str] = [{"audio_filepath": f"{n}é.wav"} for n in range(count)]
    lines[blank:blank] = [""] * (blank % 3)
    path = write(tmp_path_factory.mktemp("m") / "m.jsonl", *lines)
    items = find_items(str(path))
    found = [entry for item in items for entry in read_recordings(item)]
    named = [e.metadata["audio_filepath"] for e in found if isinstance(e, Recording)]
    assert named == [f"{n}é.wav" for n in range(count)]
    assert len({entry.id for entry in found if isinstance(entry, Recording)}) == count
    assert [item.recordings for item in items][:-1] == [grouping.MIN_SHARD_ITEMS] * (len(items) - 1)
    assert sum(item.recordings or 0 for item in items) == count


LONG_SECONDS = 30


@pytest.fixture(scope="module", params=["wav", "flac", "ogg", "aiff"])
def long_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / f"long.{request.param}"
    return write_noise(path, LONG_SECONDS, 0)


def decode(path: Path, segment: Segment | None, rate: int = 16000) -> torch.Tensor:
    with path.open("rb") as file:
        return torch.cat(list(open_audio(file, "x", rate, 1, segment).blocks()), dim=1)


@pytest.mark.parametrize(
    ("offset", "duration"),
    [(0.0, None), (0.0, 1.0), (3.3, 2.0), (10.0, 12.0), (29.0, 1.05), (20.0, None)],
)
def test_a_segment_is_that_stretch_of_the_file(
    long_file: Path, offset: float, duration: float | None
) -> None:
    whole_CS = decode(long_file, None)
    stop = None if duration is None else round((offset + duration) * 16000)
    expected_CS = whole_CS[:, round(offset * 16000) : stop]
    assert torch.equal(decode(long_file, Segment(offset, duration)), expected_CS)


def test_only_the_segment_is_decoded(long_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if long_file.suffix == ".ogg":
        pytest.skip("Vorbis cannot be entered at a sample")
    read_samples = 0
    original = soundfile.SoundFile.read

    def counting(self: Any, frames: int, **options: Any) -> Any:
        nonlocal read_samples
        samples = original(self, frames, **options)
        read_samples += len(samples)
        return samples

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    decode(long_file, Segment(20.0, 1.0))
    assert read_samples <= 3 * (1 << 16) < LONG_SECONDS * 16000


@pytest.mark.parametrize(
    ("segment", "code", "detail"),
    [
        (Segment(31.0, 1.0), "truncated", "the segment begins at 31 s, the audio ends before"),
        (Segment(29.0, 2.0), "truncated", "the segment ends at 31 s, the audio at 30 s"),
        (Segment(31.0), "truncated", "begins at 31 s"),
        (Segment(1.0, 0.0), "empty", "the segment holds no samples"),
    ],
)
def test_a_segment_beyond_the_end_is_rejected(
    long_file: Path, segment: Segment, code: str, detail: str
) -> None:
    with pytest.raises(AudioError, match=detail) as caught:
        decode(long_file, segment)
    assert caught.value.code == code


def test_segments_before_a_cut_are_read(tmp_path: Path) -> None:
    path = write_noise(tmp_path / "long.wav", 10, 0)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert decode(path, Segment(1.0, 2.0)).shape == (1, 32000)
    for segment in (None, Segment(1.0), Segment(4.0, 2.0)):
        with pytest.raises(AudioError, match="truncated"):
            decode(path, segment)


def test_resampling_knows_nothing_of_the_rest_of_the_file(tmp_path: Path) -> None:
    path = write_noise(tmp_path / "long.wav", 3, 0)
    samples, rate = soundfile.read(path, dtype="float32")
    soundfile.write(tmp_path / "piece.wav", samples[16000:32000], rate, subtype="FLOAT")
    piece_CS = decode(tmp_path / "piece.wav", None, 24000)
    assert torch.equal(decode(path, Segment(1.0, 1.0), 24000), piece_CS)
    assert np.isfinite(piece_CS.numpy()).all()


def test_the_format_is_found_by_its_suffix() -> None:
    assert frozenset({".jsonl"}) == module.SUFFIXES
