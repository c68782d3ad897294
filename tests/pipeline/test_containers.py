"""Files that were cut say so."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import recordings
from tokenize_pipeline.containers import cut_short


def encoded(format_name: str, subtype: str | None = None, channels: int = 1) -> bytes:
    """Three seconds of noise as a file."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (48_000, channels))
    file = io.BytesIO()
    soundfile.write(file, noise, 16000, format=format_name, subtype=subtype)
    return file.getvalue()


FILES = {
    "wav": encoded("WAV"),
    "wav, 24 bits, 3 channels": encoded("WAV", "PCM_24", 3),
    "rf64": encoded("RF64"),
    "vorbis": encoded("OGG", "VORBIS"),
    "opus": encoded("OGG", "OPUS"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_whole_file_is_not_cut(name: str) -> None:
    file = io.BytesIO(FILES[name])
    assert cut_short(file) is None
    assert file.tell() == 0


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.999])
def test_a_cut_file_is_noticed(name: str, keep: float) -> None:
    data = FILES[name]
    assert cut_short(io.BytesIO(data[: int(len(data) * keep)])) is not None


@pytest.mark.parametrize("name", ["vorbis", "opus"])
def test_an_ogg_file_without_its_last_byte_is_noticed(name: str) -> None:
    assert cut_short(io.BytesIO(FILES[name][:-1])) == "the last Ogg page is not whole"


def test_the_numbers_are_told() -> None:
    data = FILES["wav"]
    message = "the data chunk declares 96000 bytes, 95000 are there"
    assert cut_short(io.BytesIO(data[:-1000])) == message


@pytest.mark.parametrize("declared", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000])
def test_a_wav_written_to_a_pipe_does_not_know_its_length(declared: int) -> None:
    data = bytearray(FILES["wav"])
    position = data.index(b"data") + 4
    data[position : position + 4] = struct.pack("<I", declared)
    assert cut_short(io.BytesIO(data)) is None


@pytest.mark.parametrize("data", [b"", b"RIFF", b"OggS", b"RIFF\0\0\0\0WAVE", b"ID3" * 100])
def test_anything_can_be_asked(data: bytes) -> None:
    assert (cut_short(io.BytesIO(data)) is None) == (data != b"OggS")


def test_no_real_recording_is_taken_for_cut(audio_root: Path) -> None:
    for path in recordings(audio_root / "speech") + recordings(audio_root / "music"):
        with path.open("rb") as file:
            assert cut_short(file) is None, path.name
