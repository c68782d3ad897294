"""Synthetic recordings as files, for benchmarks that begin with reading."""

from pathlib import Path

from tokenize_pipeline.benchmark.recordings import synthetic_recordings
from tokenize_pipeline.decoders import encode_sound

_SECONDS, _RATE = 600.0, 16_000


def write_synthetic(folder: Path, kind: str) -> list[str]:
    """Write 600 s of mono recordings at 16 kHz; their paths.

    Args:
        folder: made where it is missing.
        kind: format as libsndfile names it: "FLAC", "MP3".
    """
    folder.mkdir(exist_ok=True)
    urls = []
    for number, audio_CS in enumerate(synthetic_recordings(_SECONDS, _RATE, 1)):
        path = folder / f"{number:04d}.{kind.lower()}"
        path.write_bytes(encode_sound(audio_CS.T, _RATE, kind))
        urls.append(str(path))
    return urls
