"""The recordings shipped with the project: small, readable, and made by its own scripts."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from samples import instruments
from samples.make_samples import FORMATS, music, resample
from samples.sentences import READINGS

SAMPLES = Path(__file__).parents[1] / "samples"
RECORDINGS = sorted(path for path in SAMPLES.rglob("*") if path.suffix in FORMATS)

# Decibels by which the music must exceed its difference from what the script renders. Coding leaves
# 25 (Vorbis), 16 (MP3) and more than 70 (16 bits); one note changed leaves 12 and 10.
LEAST_SNR_DB = {".ogg": 20.0, ".mp3": 14.0, ".flac": 60.0, ".wav": 60.0}


def test_samples_are_small() -> None:
    committed = [path for path in SAMPLES.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in committed) <= 2_000_000


def test_samples_last_two_to_three_minutes() -> None:
    assert 120 <= sum(soundfile.info(path).duration for path in RECORDINGS) <= 210


def test_every_format_and_several_rates_and_channels_are_shown() -> None:
    assert {path.suffix for path in RECORDINGS} == set(FORMATS)
    assert len({soundfile.info(path).samplerate for path in RECORDINGS}) >= 5
    assert {soundfile.info(path).channels for path in RECORDINGS} == {1, 2}


def test_the_readme_describes_exactly_the_files_that_are_there() -> None:
    rows = (SAMPLES / "README.md").read_text(encoding="utf-8").splitlines()
    described = {row.split("`")[1] for row in rows if row.startswith("| `")}
    assert described == {path.relative_to(SAMPLES).as_posix() for path in RECORDINGS}


def test_every_sentence_was_recorded() -> None:
    recorded = {path.name for path in RECORDINGS if path.parent.name == "speech"}
    assert {reading.file for reading in READINGS} == recorded
    for reading in READINGS:
        assert soundfile.info(SAMPLES / "speech" / reading.file).samplerate == reading.sample_rate


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: str(path.name))
def test_sample_is_sound_from_end_to_end(path: Path) -> None:
    audio, _ = soundfile.read(path, always_2d=True)
    assert len(audio) == soundfile.info(path).frames
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() < 1.0
    assert np.std(audio) > 0.02


def test_lengths_that_are_there_for_their_awkwardness() -> None:
    assert soundfile.info(SAMPLES / "short/one_second.flac").frames == 24_000
    assert soundfile.info(SAMPLES / "short/knock.wav").duration == 0.2


def test_the_script_renders_the_music_that_is_shipped() -> None:
    for name, (sample_rate, rendered) in music().items():
        shipped, shipped_rate = soundfile.read(SAMPLES / name)
        assert shipped_rate == sample_rate
        assert shipped.shape == rendered.shape
        assert _snr_db(rendered, shipped) > LEAST_SNR_DB[Path(name).suffix], name


def test_a_plucked_string_sounds_at_its_pitch() -> None:
    for name in ("E2", "F#3", "A4", "E5"):
        wanted_hz = instruments.pitch_hz(name)
        note = instruments.pluck(wanted_hz, seconds=2.0, sample_rate=48_000, seed=5)
        spectrum = np.abs(np.fft.rfft(note * np.hanning(len(note)), n=2**20))
        hz = np.arange(len(spectrum)) * 48_000 / 2**20
        near = np.abs(hz / wanted_hz - 1) < 0.06  # a semitone to either side
        assert hz[near][np.argmax(spectrum[near])] == pytest.approx(wanted_hz, rel=0.003)


def test_resampling_keeps_a_tone() -> None:
    tone = np.sin(2 * np.pi * 440 * instruments.clock(1.0, 22_050))
    expected = np.sin(2 * np.pi * 440 * instruments.clock(1.0, 16_000))
    np.testing.assert_allclose(resample(tone, 22_050, 16_000), expected, atol=1e-9)


def _snr_db(wanted: NDArray[np.float64], got: NDArray[np.float64]) -> float:
    """Energy of what was wanted over the energy of the difference, in decibels."""
    return float(10 * np.log10(np.sum(wanted**2) / np.sum((wanted - got) ** 2)))
