"""Every file becomes samples or an error with a code, by its content alone."""

import io
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import torch
import torchaudio
from numpy.typing import NDArray
from torch import Tensor

from tokenize_pipeline import decoders
from tokenize_pipeline.audio import OwnProcess, open_audio
from tokenize_pipeline.audio_limits import AudioPolicy
from tokenize_pipeline.errors import REJECTION_CODES, AudioError


def decode(data: bytes, sample_rate: int = 24000, channels: int = 1, name: str = "x") -> Tensor:
    reader = open_audio(io.BytesIO(data), name, sample_rate, channels)
    return torch.cat(list(reader.blocks()), dim=1)


def sound(
    samples_SC: NDArray[Any], rate: int = 16000, kind: str = "WAV", subtype: str | None = None
) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples_SC, rate, format=kind, subtype=subtype)
    return file.getvalue()


def tone(seconds: float = 1.0, rate: int = 16000, channels: int = 1) -> NDArray[np.float64]:
    time = np.arange(round(seconds * rate)) / rate
    return np.stack([0.5 * np.sin(2 * np.pi * 440 * (c + 1) * time) for c in range(channels)], 1)


def rejection(data: bytes, name: str = "x") -> AudioError:
    with pytest.raises(AudioError) as caught:
        decode(data, name=name)
    assert caught.value.code in REJECTION_CODES
    return caught.value


def test_real_speech_is_what_soundfile_and_torchaudio_make_of_it(speech_files: list[Path]) -> None:
    for path in speech_files[:: max(1, len(speech_files) // 8)]:
        samples_SC, rate = soundfile.read(path, dtype="float32", always_2d=True)
        mono_CS = torch.from_numpy(samples_SC.T.copy()).double().mean(dim=0, keepdim=True)
        expected_CS = torchaudio.functional.resample(mono_CS, rate, 24000).float()
        torch.testing.assert_close(decode(path.read_bytes()), expected_CS, atol=2e-6, rtol=0)


@pytest.mark.parametrize(
    ("kind", "subtype", "tolerance"),
    [
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "PCM_U8", 1e-2),
        ("WAV", "FLOAT", 1e-6),
        ("WAV", "ALAW", 3e-2),
        ("FLAC", "PCM_24", 1e-6),
        ("AIFF", "PCM_16", 1e-4),
        ("AU", "PCM_16", 1e-4),
        ("CAF", "PCM_16", 1e-4),
        ("W64", "PCM_16", 1e-4),
        ("RF64", "PCM_16", 1e-4),
    ],
)
def test_lossless_formats_give_their_samples(kind: str, subtype: str, tolerance: float) -> None:
    samples_SC = tone(rate=24000, channels=2)
    decoded_CS = decode(sound(samples_SC, 24000, kind, subtype), 24000, 2)
    assert np.abs(decoded_CS.numpy().T - samples_SC).max() < tolerance


@pytest.mark.parametrize(("kind", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)])
def test_lossy_formats_give_about_their_samples(kind: str, subtype: str | None) -> None:
    decoded_CS = decode(sound(tone(2, 24000), 24000, kind, subtype))
    middle = decoded_CS[0, 12000:36000].double().numpy()
    reference = np.exp(2j * np.pi * 440 * np.arange(24000) / 24000)
    amplitude = 2 * abs(np.vdot(reference, middle)) / 24000
    assert amplitude == pytest.approx(0.5, abs=0.02)


def with_ffmpeg(container: str, codec: str, samples_S: NDArray[np.float64], rate: int) -> bytes:
    """A file of a kind that libsndfile does not read."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        planar = samples_S[None].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(planar, format="fltp", layout="mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)
    return file.getvalue()


@pytest.mark.parametrize(
    ("container", "codec"), [("mp4", "aac"), ("adts", "aac"), ("matroska", "aac")]
)
def test_ffmpeg_reads_what_libsndfile_does_not(container: str, codec: str) -> None:
    data = with_ffmpeg(container, codec, tone(2, 24000)[:, 0], 24000)
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(io.BytesIO(data))
    decoded_CS = decode(data)
    assert abs(decoded_CS.shape[1] - 48000) <= 3 * 1024
    middle = decoded_CS[0, 12000:36000].double().numpy()
    reference = np.exp(2j * np.pi * 440 * np.arange(24000) / 24000)
    assert 2 * abs(np.vdot(reference, middle)) / 24000 == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("format_name", ["u8", "s16", "s32", "flt", "dbl", "u8p", "s16p", "dblp"])
def test_ffmpeg_sample_formats_have_full_scale_at_one(format_name: str) -> None:
    """Square waves of half of full scale through the frame conversion."""
    frame = av.AudioFrame(format=format_name, layout="stereo", samples=4)
    frame.sample_rate = 24000
    array = frame.to_ndarray()
    full = {"u": 127.5, "s16": 2**15, "s32": 2**31}
    scale = full.get(format_name[0], full.get(format_name[:3], 1.0))
    zero = 128 if format_name[0] == "u" else 0
    wave = np.array([0.5, -0.5, 0.5, -0.5])
    interleaved = (
        np.repeat(wave, 2)[None] if not format_name.endswith("p") else np.stack([wave] * 2)
    )
    values = (interleaved * scale + zero).astype(array.dtype)
    filled = av.AudioFrame.from_ndarray(values, format=format_name, layout="stereo")  # type: ignore[arg-type]  # its dtype is not known
    filled.sample_rate = 24000
    samples_SC = decoders._samples(filled)
    assert samples_SC.dtype == np.float32
    assert np.abs(samples_SC - wave[:, None]).max() < 0.01


def test_the_name_decides_nothing() -> None:
    data = sound(tone(), kind="FLAC")
    assert torch.equal(decode(data, name="a.mp3"), decode(data, name="b.flac"))


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(sound(tone()))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path}/secret.wav\n"
    assert rejection(playlist.encode(), name="list.m3u8").code in ("undecodable", "empty")
    concat = f"ffconcat version 1.0\nfile {tmp_path}/secret.wav\n"
    assert rejection(concat.encode(), name="list.ffconcat").code in ("undecodable", "empty")


@pytest.mark.parametrize(
    ("value", "code"), [(np.nan, "non_finite"), (np.inf, "non_finite"), (1e30, "absurd_level")]
)
def test_samples_no_codec_should_see(value: float, code: str) -> None:
    samples = tone(5)
    samples[70_000] = value
    error = rejection(sound(samples, subtype="FLOAT"))
    assert error.code == code


def test_nothing_in_it() -> None:
    assert rejection(b"").code == "empty"
    assert rejection(sound(np.zeros((0, 1)))).code == "empty"
    assert rejection(sound(np.zeros((0, 1)), kind="FLAC")).code in ("empty", "undecodable")


def test_outside_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    error = rejection(sound(np.zeros((10, 65))))
    assert (error.code, error.detail) == ("unsupported", "65 channels; 1 to 64 are supported")
    error = rejection(sound(np.zeros((10, 1)), rate=2**31 - 1))
    assert error.code == "unsupported"
    assert "sample rate of 2147483647 Hz" in error.detail
    monkeypatch.setattr(decoders, "MAX_SECONDS", 1.5)
    assert rejection(sound(tone(1.6))).code == "too_long"
    assert decode(sound(tone(1.5))).shape[1] == 36000


def kept(data: bytes, policy: AudioPolicy) -> tuple[float, tuple[str, ...]]:
    """Seconds decoded, and flags."""
    decoded = OwnProcess(policy).open(io.BytesIO(data), "x")
    seconds = sum(len(block.samples) / block.sample_rate for block in decoded.blocks())
    return seconds, decoded.flags


def test_lengths_that_a_run_does_not_take_are_rejected_or_flagged() -> None:
    policy = AudioPolicy(min_seconds=1.0, max_seconds=2.0)
    assert kept(sound(tone(1.0)), policy) == (1.0, ())
    assert kept(sound(tone(2.0)), policy) == (2.0, ())
    for seconds, code in ((0.9, "too_short"), (2.1, "too_long"), (30.0, "too_long")):
        with pytest.raises(AudioError) as caught:
            kept(sound(tone(seconds)), policy)
        assert caught.value.code == code
        assert kept(sound(tone(seconds)), replace(policy, keep=(code,))) == (seconds, (code,))


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF", "OGG"])
def test_what_is_left_of_a_cut_file_can_be_kept(kind: str) -> None:
    noise = np.random.default_rng(1).uniform(-0.3, 0.3, (320_000, 1))
    data = sound(noise, kind=kind)
    seconds, flags = kept(data[: len(data) // 2], AudioPolicy(keep=("truncated",)))
    assert flags == ("truncated",)
    assert 5 < seconds < 13
    with pytest.raises(AudioError, match="truncated"):
        kept(data[: len(data) // 2], AudioPolicy())


@pytest.mark.parametrize("keep", [0.01, 0.5, 0.99])
@pytest.mark.parametrize(
    ("kind", "subtype"), [("WAV", None), ("FLAC", None), ("OGG", "VORBIS"), ("OGG", "OPUS")]
)
def test_a_cut_file_is_rejected(kind: str, subtype: str | None, keep: float) -> None:
    noise = np.random.default_rng(1).uniform(-0.3, 0.3, (160_000, 1))
    data = sound(noise, kind=kind, subtype=subtype)
    error = rejection(data[: max(60, int(len(data) * keep))])
    assert error.code in ("truncated", "undecodable")


def test_a_flac_that_declares_a_year_of_samples_is_read_in_blocks() -> None:
    data = bytearray(sound(tone(3), kind="FLAC"))
    streaminfo = 8  # after the magic and the block header
    packed = struct.unpack(">Q", data[streaminfo + 10 : streaminfo + 18])[0]
    declared = (packed & ~((1 << 36) - 1)) | ((1 << 36) - 1)
    data[streaminfo + 10 : streaminfo + 18] = struct.pack(">Q", declared)
    error = rejection(bytes(data))
    assert error.code == "truncated"
    assert "48000 samples decoded of 68719476735 declared" in error.detail


def test_noise_is_no_audio() -> None:
    error = rejection(np.random.default_rng(0).bytes(10_000), name="noise.mp3")
    assert error.code == "undecodable"
    assert "libsndfile" in error.detail
    assert "FFmpeg" in error.detail


def test_messages_are_the_same_every_time() -> None:
    data = np.random.default_rng(2).bytes(5000)
    assert rejection(data).detail == rejection(data).detail


class FailingFile(io.BytesIO):
    """A connection that is lost in the middle."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > len(self.getbuffer()) // 2:
            raise OSError("connection lost")
        return super().read(size)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AAC"])
def test_an_error_of_the_storage_is_no_fault_of_the_recording(kind: str) -> None:
    noise = np.random.default_rng(1).uniform(-0.3, 0.3, (400_000, 1))
    data = (
        with_ffmpeg("adts", "aac", noise[:, 0], 16000) if kind == "AAC" else sound(noise, kind=kind)
    )
    with pytest.raises(OSError, match="connection lost"):
        list(open_audio(FailingFile(data), "x", 24000, 1).blocks())


def test_memory_is_bounded_by_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    data = sound(np.zeros((600_000, 1)), kind="FLAC")
    reader = open_audio(io.BytesIO(data), "x", 48000, 2)
    lengths = [block_CS.shape for block_CS in reader.blocks()]
    assert sum(samples for _, samples in lengths) == 1_800_000
    assert max(samples for _, samples in lengths) <= 4 * decoders.BLOCK_SAMPLES
