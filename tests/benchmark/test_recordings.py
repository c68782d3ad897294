"""The audio that is timed."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenize_pipeline.benchmark.recordings import recordings_from_files, synthetic_recordings
from tokenize_pipeline.errors import ConfigurationError

RATE = 8_000


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 60))
def test_synthetic_recordings_are_as_long_as_asked(seconds: float) -> None:
    recordings = synthetic_recordings(seconds, 1_000, 1)
    lengths = [audio_CS.shape[1] / 1_000 for audio_CS in recordings]
    assert sum(lengths) == pytest.approx(seconds, abs=0.1 + 0.001 * len(lengths))
    assert all(1 <= length <= 20 for length in lengths[:-1])
    assert 0 < lengths[-1] <= 20


def test_synthetic_recordings_are_of_mixed_lengths_and_the_same_at_every_rate() -> None:
    low, high = synthetic_recordings(100, 8_000, 1), synthetic_recordings(100, 16_000, 2)
    assert len(low) == len(high) >= 5
    for low_CS, high_CS in zip(low, high, strict=True):
        assert high_CS.shape == (2, pytest.approx(2 * low_CS.shape[1], abs=2))
    lengths = [audio_CS.shape[1] for audio_CS in low]
    assert max(lengths) > 3 * min(lengths)
    again = synthetic_recordings(100, 8_000, 1)
    assert all(np.array_equal(a, b) for a, b in zip(low, again, strict=True))


def test_synthetic_recordings_rise_and_fall_like_speech() -> None:
    audio_CS = synthetic_recordings(5, RATE, 1)[0]
    assert audio_CS.dtype == np.float32
    assert np.sqrt(np.mean(audio_CS**2)) == pytest.approx(0.1, rel=1e-3)
    levels = [np.sqrt(np.mean(part**2)) for part in np.array_split(audio_CS[0], 50)]
    assert max(levels) > 4 * min(levels)
    spectrum = np.abs(np.fft.rfft(audio_CS[0])) ** 2
    assert spectrum[: len(spectrum) // 2].sum() > 2 * spectrum[len(spectrum) // 2 :].sum()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three recordings of 1, 2 and 3 s at another rate, a broken one and a text."""
    generator = np.random.default_rng(0)
    (tmp_path / "deeper").mkdir()
    for seconds in (1, 2, 3):
        noise = generator.uniform(-0.5, 0.5, 2 * RATE * seconds)
        soundfile.write(tmp_path / "deeper" / f"{seconds}.wav", noise, 2 * RATE)
    (tmp_path / "broken.flac").write_bytes(b"fLaC")
    (tmp_path / "notes.txt").write_text("no audio", encoding="utf-8")
    return tmp_path


def test_folders_are_searched_and_audio_is_converted(folder: Path) -> None:
    recordings = recordings_from_files([str(folder)], 100, RATE, channels=2)
    assert sorted(audio_CS.shape for audio_CS in recordings) == [(2, RATE * n) for n in (1, 2, 3)]
    assert {audio_CS.dtype for audio_CS in recordings} == {np.dtype(np.float32)}
    assert all(0.1 < audio_CS.std() < 0.5 for audio_CS in recordings)


def test_the_last_recording_is_cut(folder: Path) -> None:
    whole = recordings_from_files([str(folder)], 100, RATE, channels=1)
    cut = recordings_from_files([str(folder)], 4.5, RATE, channels=1)
    assert sum(audio_CS.shape[1] for audio_CS in cut) == 4.5 * RATE
    for cut_CS, whole_CS in zip(cut, whole, strict=False):
        assert np.array_equal(cut_CS, whole_CS[:, : cut_CS.shape[1]])


def test_crumbs_are_dropped(folder: Path) -> None:
    whole = recordings_from_files([str(folder)], 100, RATE, channels=1)
    first_two = sum(audio_CS.shape[1] for audio_CS in whole[:2]) / RATE
    assert len(recordings_from_files([str(folder)], first_two + 0.05, RATE, channels=1)) == 2


def test_a_source_without_audio_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="source does not exist: nowhere"):
        recordings_from_files(["nowhere"], 1, RATE, 1)
    with pytest.raises(ConfigurationError, match="none of the 1 files given holds audio"):
        recordings_from_files([str(folder / "broken.flac")], 1, RATE, 1)


def test_without_a_decoder_the_way_out_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("decode_ahead", "audio", "decoders"):
        monkeypatch.delitem(sys.modules, f"tokenize_pipeline.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(
        ConfigurationError, match=r"needs soundfile.* synthetic recordings are used"
    ):
        recordings_from_files([str(folder)], 1, RATE, 1)
