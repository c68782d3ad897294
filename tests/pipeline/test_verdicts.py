"""The verdict on every file at hand, on files made from them, and on mutations of them."""

import io
import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.conftest import SAMPLES
from tests.pipeline.verdict_table import (
    NUM_BROKEN,
    NUM_FORMATS,
    REJECTED_BROKEN,
    REJECTED_FORMATS,
)
from tokenize_pipeline.decoders import DecodedFile
from tokenize_pipeline.errors import REJECTION_CODES, AudioError
from tokenize_pipeline.isolation import DecoderPool


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    with DecoderPool(patience_seconds=20.0) as opened:
        yield opened


def verdict(pool: DecoderPool, data: bytes) -> str:
    """Either "tokens" or a code; no third thing happens."""
    try:
        opened = pool.open(io.BytesIO(data), "x")
        samples = sum(len(block.samples) for block in opened.blocks())
    except AudioError as error:
        return error.code if error.code in REJECTION_CODES else f"unknown: {error}"
    return "tokens" if samples > 0 else "tokens of nothing"


def files_of(folder: Path) -> list[Path]:
    if not folder.is_dir():
        pytest.skip(f"no folder of {folder.name} at hand")
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


@pytest.mark.parametrize(
    ("folder", "count", "rejected"),
    [("formats", NUM_FORMATS, REJECTED_FORMATS), ("broken", NUM_BROKEN, REJECTED_BROKEN)],
)
def test_every_file_at_hand_has_its_verdict(
    pool: DecoderPool, audio_root: Path, folder: str, count: int, rejected: dict[str, str]
) -> None:
    paths = files_of(audio_root / folder)
    found = {path.name: verdict(pool, path.read_bytes()) for path in paths}
    assert len(found) == count
    assert {name: code for name, code in found.items() if code != "tokens"} == rejected


def test_what_ffmpeg_reads_to_the_end_is_read(pool: DecoderPool, audio_root: Path) -> None:
    """All of `formats`, and as many samples, but for one file that has no end."""
    for path in files_of(audio_root / "formats"):
        seconds = ffmpeg_seconds(path)
        if seconds and path.name != "mutagen__tests_data_sample_length.oggtheora":
            opened = pool.open(io.BytesIO(path.read_bytes()), path.name)
            found = sum(len(block.samples) / block.sample_rate for block in opened.blocks())
            # libsndfile cuts off the priming samples of MP3 and Opus that the encoder declares
            assert found == pytest.approx(seconds, abs=0.1), path.name


def ffmpeg_seconds(path: Path) -> float | None:
    """What FFmpeg decodes without an error; None where it meets one."""
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            stream = container.streams.audio[0]
            frames = container.decode(stream)
            return float(sum(frame.samples / frame.sample_rate for frame in frames))
    except (av.FFmpegError, IndexError):
        return None


def noise(seconds: float = 2.0, channels: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(1).uniform(-0.3, 0.3, (round(seconds * 16000), channels))


def sound(kind: str, subtype: str | None, channels: int = 1) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, noise(channels=channels), 16000, format=kind, subtype=subtype)
    return file.getvalue()


def with_ffmpeg(container: str, codec: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=16000, layout="mono")
        planar = noise().T.astype(np.float32)
        frame = av.AudioFrame.from_ndarray(planar, format="fltp", layout="mono")
        frame.sample_rate = 16000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)
    return file.getvalue()


MADE: dict[str, Callable[[], bytes]] = {
    "wav": lambda: sound("WAV", "PCM_16"),
    "wav, stereo float": lambda: sound("WAV", "FLOAT", 2),
    "a-law": lambda: sound("WAV", "ALAW"),
    "mu-law": lambda: sound("AU", "ULAW"),
    "rf64": lambda: sound("RF64", "PCM_16"),
    "w64": lambda: sound("W64", "PCM_16"),
    "au": lambda: sound("AU", "PCM_16"),
    "caf": lambda: sound("CAF", "PCM_16"),
    "aiff": lambda: sound("AIFF", "PCM_16"),
    "nist": lambda: sound("NIST", "PCM_16"),
    "flac": lambda: sound("FLAC", "PCM_16"),
    "vorbis": lambda: sound("OGG", "VORBIS"),
    "opus": lambda: sound("OGG", "OPUS"),
    "mp3": lambda: sound("MP3", None),
    "m4a": lambda: with_ffmpeg("mp4", "aac"),
    "mka": lambda: with_ffmpeg("matroska", "aac"),
    "adts": lambda: with_ffmpeg("adts", "aac"),
}
# Containers that say nothing of their end: what is left of a file is a shorter file.
ENDLESS = {"adts", "mka"}


@pytest.mark.parametrize("kind", MADE)
def test_a_whole_file_makes_tokens(pool: DecoderPool, kind: str) -> None:
    assert verdict(pool, MADE[kind]()) == "tokens"


@pytest.mark.parametrize("keep", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("kind", MADE)
def test_a_cut_file_makes_none(pool: DecoderPool, kind: str, keep: float) -> None:
    data = MADE[kind]()
    found = verdict(pool, data[: math.ceil(keep * len(data))])
    if kind in ENDLESS:
        assert found in ("tokens", "undecodable", "empty")
    elif keep == 0.01:
        assert found in ("truncated", "undecodable", "empty")
    else:
        assert found in ("truncated", "undecodable")
        assert found == "truncated" or kind in ("m4a",)


@pytest.mark.parametrize("kind", MADE)
def test_a_damaged_block_is_noticed_where_the_format_can(pool: DecoderPool, kind: str) -> None:
    """Formats with checksums reject; the others have no way of telling noise from sound."""
    data = bytearray(MADE[kind]())
    middle = len(data) // 2
    data[middle : middle + 512] = np.random.default_rng(2).bytes(512)
    found = verdict(pool, bytes(data))
    if kind == "flac":
        assert found in ("damaged", "truncated")
    elif kind == "opus":
        assert found == "truncated", "the page with the end is gone with the one before"
    elif "float" not in kind and kind not in ("m4a", "mka", "adts"):
        assert found == "tokens"


@pytest.mark.parametrize("name", ["a.mp3", "b.flac", "c.txt", "d", "e.tar.wav"])
def test_the_name_decides_nothing(pool: DecoderPool, name: str) -> None:
    for kind in ("wav", "flac", "opus", "m4a"):
        opened = pool.open(io.BytesIO(MADE[kind]()), name)
        samples = np.concatenate([block.samples for block in opened.blocks()])
        expected = DecodedFile(io.BytesIO(MADE[kind]()), "x").blocks()
        assert np.array_equal(samples, np.concatenate([block.samples for block in expected]))


def mutants(data: st.DataObject, originals: list[bytes]) -> bytes:
    """A real file, cut, with bytes changed, stretches overwritten, repeated or left out."""
    mutant = bytearray(data.draw(st.sampled_from(originals)))
    for _ in range(data.draw(st.integers(1, 4))):
        size = max(1, len(mutant))
        early = data.draw(st.booleans())  # headers are where decoders are hurt
        start = data.draw(st.integers(0, min(size, 200) if early else size))
        length = data.draw(st.integers(1, 64))
        match data.draw(st.sampled_from(["cut", "bytes", "zeros", "ones", "repeat", "drop"])):
            case "cut":
                del mutant[start:]
            case "bytes":
                mutant[start : start + length] = data.draw(st.binary(max_size=length))
            case "zeros":
                mutant[start : start + length] = bytes(length)
            case "ones":
                mutant[start : start + length] = b"\xff" * length
            case "repeat":
                mutant[start:start] = mutant[start : start + 100 * length]
            case "drop":
                del mutant[start : start + length]
    return bytes(mutant)


@pytest.fixture(scope="module")
def originals(audio_root: Path) -> list[bytes]:
    """Small real files of every kind at hand."""
    folders = [audio_root / "formats", audio_root / "broken", SAMPLES]
    paths = [p for folder in folders for p in sorted(folder.rglob("*")) if p.is_file()]
    sounds = [p for p in paths if p.suffix not in (".py", ".md") and p.stat().st_size < 200_000]
    return [*(path.read_bytes() for path in sounds), *(make() for make in MADE.values())]


def run_mutations(pool: DecoderPool, originals: list[bytes], count: int) -> Counter[str]:
    found: Counter[str] = Counter()

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(data=st.data())
    def mutate(data: st.DataObject) -> None:
        found[verdict(pool, mutants(data, originals))] += 1

    mutate()
    return found


def test_every_mutation_is_tokens_or_rejected(pool: DecoderPool, originals: list[bytes]) -> None:
    found = run_mutations(pool, originals, 150)
    assert found.total() >= 150
    assert set(found) <= {"tokens", *REJECTION_CODES}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_five_thousand_mutations(originals: list[bytes]) -> None:
    """No crash of this process, no hang, memory bounded, every one accounted for."""
    with DecoderPool(patience_seconds=20.0) as decoders:
        found = run_mutations(decoders, originals, 5000)
    print(dict(found))
    assert found.total() >= 5000
    assert set(found) <= {"tokens", *REJECTION_CODES}
    assert found["decoder_timeout"] == 0
