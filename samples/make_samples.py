"""Makes every recording below `samples/` again.

    python -m samples.make_samples [--only music|speech] [--into FOLDER]

Run it in the repository root. Speech needs the program espeak-ng; music needs nothing but numpy
and soundfile. The sound is the same every time; Ogg and Opus files differ in a few bytes all the
same, because each gets a serial number of its own.
"""

import argparse
import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from samples.pieces import evening_train, knock, one_second, plucked_etude
from samples.sentences import READINGS, Reading

# File suffix: container, coding, and how hard to compress (0 is the least, 1 the most).
FORMATS = {
    ".wav": ("WAV", "PCM_16", None),
    ".flac": ("FLAC", "PCM_16", 1.0),
    ".mp3": ("MP3", "MPEG_LAYER_III", 0.5),
    ".ogg": ("OGG", "VORBIS", 0.65),
    ".opus": ("OGG", "OPUS", 0.9),
}
WRITE_SAMPLES = 48_000  # a block at a time: the Vorbis encoder keeps what it is given on its stack


def music() -> dict[str, tuple[int, NDArray[np.float64]]]:
    """File below `samples/` -> (sample rate, audio [samples] or [samples, 2])."""
    return {
        "music/evening_train.ogg": (48_000, evening_train()),
        "music/plucked_etude.mp3": (44_100, plucked_etude()),
        "short/one_second.flac": (24_000, one_second()),
        "short/knock.wav": (16_000, knock()),
    }


def speak(reading: Reading) -> NDArray[np.float64]:
    """One reading at the sample rate of its file, [samples]."""
    espeak = shutil.which("espeak-ng")
    if espeak is None:
        sys.exit("espeak-ng was not found; install it (Debian: apt install espeak-ng).")
    command = [espeak, "-v", reading.voice, "-s", str(reading.words_per_minute), "--stdout"]
    spoken = subprocess.run(  # noqa: S603 - the program found above, with words from this folder
        command, input=reading.text.encode(), stdout=subprocess.PIPE, check=True
    )
    audio, sample_rate = soundfile.read(io.BytesIO(spoken.stdout))
    resampled = resample(audio, sample_rate, reading.sample_rate)
    return np.asarray(0.7 * resampled / np.max(np.abs(resampled)))


def resample(audio: NDArray[np.float64], from_hz: int, to_hz: int) -> NDArray[np.float64]:
    """Another sample rate for a whole mono clip, by cutting or padding its spectrum."""
    num_samples = round(len(audio) * to_hz / from_hz)
    spectrum = np.fft.rfft(audio)[: num_samples // 2 + 1]
    louder = num_samples / len(audio)  # the inverse divides by the new length, not the old
    return np.asarray(louder * np.fft.irfft(spectrum, num_samples))


def write(path: Path, sample_rate: int, audio: NDArray[np.float64]) -> None:
    """Writes one recording in the format that its suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    container, coding, compression = FORMATS[path.suffix]
    channels = 1 if audio.ndim == 1 else audio.shape[1]
    with soundfile.SoundFile(
        path, "w", sample_rate, channels, coding, format=container, compression_level=compression
    ) as file:
        for start in range(0, len(audio), WRITE_SAMPLES):
            file.write(audio[start : start + WRITE_SAMPLES])


def main() -> None:
    """Writes the recordings that were asked for."""
    parser = argparse.ArgumentParser(description="Make the sample recordings again.")
    parser.add_argument("--only", choices=("music", "speech"), help="default: both")
    parser.add_argument("--into", type=Path, default=Path(__file__).parent, metavar="FOLDER")
    arguments = parser.parse_args()
    if arguments.only != "speech":
        for name, (sample_rate, audio) in music().items():
            write(arguments.into / name, sample_rate, audio)
    if arguments.only != "music":
        for reading in READINGS:
            write(arguments.into / "speech" / reading.file, reading.sample_rate, speak(reading))


if __name__ == "__main__":
    main()
