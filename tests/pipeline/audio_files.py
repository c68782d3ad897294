"""Small recordings for tests of what does not depend on how audio sounds."""

from pathlib import Path

import numpy as np
import soundfile


def write_noise(path: Path, seconds: float, seed: int, rate: int = 16000) -> Path:
    """A recording of quiet noise; the same for the same arguments."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).uniform(-0.3, 0.3, round(seconds * rate))
    soundfile.write(path, samples, rate)
    return path


def write_corpus(folder: Path, count: int = 6, broken: bool = True) -> Path:
    """A folder of short recordings of different lengths, below each other, and some rubbish."""
    for index in range(count):
        write_noise(folder / f"speaker{index % 2}" / f"{index:03d}.flac", 0.1 + 0.17 * index, index)
    (folder / "README.md").write_text("no audio")
    if broken:
        (folder / "broken.wav").write_bytes(b"RIFF....WAVEnothing")
        (folder / "empty.mp3").write_bytes(b"")
    return folder
