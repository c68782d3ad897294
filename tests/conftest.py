"""Where the tests find audio.

`TOKENIZE_TEST_AUDIO` names a folder with `speech/` and `music/` in it (and perhaps `formats/` and
`broken/`). Without it, a folder beside the checkout is tried, and then the shipped samples.
"""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SAMPLES = REPOSITORY / "samples"
BESIDE_THE_CHECKOUT = REPOSITORY.parent / "shared" / "audio" / "dev"
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".opus"})


@pytest.fixture(scope="session")
def audio_root() -> Path:
    """The folder of real recordings that tests read."""
    wanted = os.environ.get("TOKENIZE_TEST_AUDIO")
    if wanted is None:
        return BESIDE_THE_CHECKOUT if BESIDE_THE_CHECKOUT.is_dir() else SAMPLES
    if not Path(wanted).is_dir():
        pytest.fail(f"TOKENIZE_TEST_AUDIO names no folder: {wanted!r}")
    return Path(wanted).resolve()


@pytest.fixture(scope="session")
def speech_files(audio_root: Path) -> list[Path]:
    """Every speech recording, sorted by name."""
    return recordings(audio_root / "speech")


@pytest.fixture(scope="session")
def music_files(audio_root: Path) -> list[Path]:
    """Every music recording, sorted by name."""
    return recordings(audio_root / "music")


def recordings(folder: Path) -> list[Path]:
    """Files below a folder that soundfile can read by their suffix, sorted by name."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
