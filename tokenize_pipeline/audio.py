"""Audio files to blocks of samples, as the codec wants them: the only place that decodes.

    file -> libsndfile, or FFmpeg for what it refuses -> checks -> mix -> resample -> blocks [C, S]

libsndfile (soundfile) decodes wav, flac, ogg, opus and mp3; FFmpeg (PyAV) everything else. Both are
read in capped blocks: a FLAC header may declare 2^36 samples. What comes out depends on the bytes
of the file alone. Whatever a decoder raises becomes an `AudioError`; an error of the storage below
(a lost connection) is no fault of the recording and is passed on as it is.

Dimension key: C channels, S samples.
"""

import io
import os
from collections.abc import Iterator
from typing import BinaryIO, Protocol

import av
import numpy as np
import soundfile
import torch
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from numpy.typing import NDArray
from torch import Tensor

from codec.exact import one_thread
from tokenize_pipeline.audio_limits import (
    check_complete,
    check_format,
    check_length,
    check_level,
)
from tokenize_pipeline.containers import cut_short
from tokenize_pipeline.errors import AudioError
from tokenize_pipeline.mixing import mix
from tokenize_pipeline.resample import resample
from tokenize_pipeline.watched_file import WatchedFile

BLOCK_SAMPLES = 1 << 16  # decoded at once, a channel


class AudioReader:
    """One recording, decoded as it is read.

    Args:
        file: what the decoder reads.
        decoder: gives the samples of the file.
        sample_rate: Hz wanted.
        channels: channels wanted.
    """

    def __init__(
        self, file: WatchedFile, decoder: "_Decoder", sample_rate: int, channels: int
    ) -> None:
        self.source_sample_rate = decoder.sample_rate
        self.source_channels = decoder.channels
        self._file = file
        self._decoder = decoder
        self._sample_rate = sample_rate
        self._channels = channels

    def blocks(self) -> Iterator[Tensor]:
        """Float32 [C, S] at the rate and with the channels asked for. May be called once.

        Raises:
            AudioError: the file cannot become tokens; also after some blocks were given.
        """
        return resample(self._mixed_blocks(), self.source_sample_rate, self._sample_rate)

    def _mixed_blocks(self) -> Iterator[Tensor]:
        """Blocks at the rate of the file, none of them with samples no codec should see."""
        num_samples = 0
        for block_SC in self._decoded_blocks():
            num_samples += len(block_SC)
            check_length(num_samples, self.source_sample_rate)
            with one_thread():
                block_CS = torch.from_numpy(np.ascontiguousarray(block_SC.T))
                check_level(block_CS)
                mixed_CS = mix(block_CS, self._channels)
            yield mixed_CS
        check_complete(num_samples, self._decoder.declared_samples)

    def _decoded_blocks(self) -> Iterator[NDArray[np.float32]]:
        try:
            yield from self._decoder.blocks()
        except AudioError:
            raise
        except Exception as error:  # decoders raise errors of any type on damaged files
            self._file.raise_failure()
            detail = f"decoding stopped in the middle: {_reason(error)}"
            raise AudioError("undecodable", detail) from error


def open_audio(file: BinaryIO, name: str, sample_rate: int, channels: int) -> AudioReader:
    """Open a recording and decode its first block.

    Args:
        file: seekable; the caller closes it when done with the reader.
        name: stands in messages only; the format is told from the content.
        sample_rate: Hz wanted.
        channels: channels wanted.

    Raises:
        AudioError: no decoder reads it, it was cut, or it is outside the limits of this module.
    """
    watched = WatchedFile(file)
    if watched.seek(0, os.SEEK_END) == 0:
        raise AudioError("empty", f"{name} has no bytes")
    cut = cut_short(file)
    if cut is not None:
        raise AudioError("truncated", cut)
    decoder = _open_decoder(watched, name)
    check_format(decoder.sample_rate, decoder.channels)
    return AudioReader(watched, decoder, sample_rate, channels)


def flac_bytes(audio_CS: Tensor, sample_rate: int) -> bytes:
    """A short signal as a FLAC file of 16 bits.

    Args:
        audio_CS: float [C, S]; clipped at full scale.
        sample_rate: Hz.
    """
    file = io.BytesIO()
    samples_SC = audio_CS.float().clamp(-1, 1).T.cpu().numpy()
    soundfile.write(file, samples_SC, sample_rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


class _NoSamplesError(Exception):
    """A decoder read the file to its end and found no sample."""


class _Decoder(Protocol):
    """Reads a file to its end, once."""

    sample_rate: int  # Hz
    channels: int
    declared_samples: int | None  # where the header can be trusted

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Blocks [S, C] of at most about BLOCK_SAMPLES, none of them empty."""
        ...


class _SequentialSoundFile(soundfile.SoundFile):  # type: ignore[misc]  # it has no types
    """A sound file read from start to end.

    As long as soundfile takes a file for seekable it seeks after every block, and believes the
    header's count of samples: 0 for some cut Vorbis files, 2^36 for a hostile FLAC.
    """

    def seekable(self) -> bool:
        return False


class _SoundFileDecoder:
    """libsndfile."""

    def __init__(self, file: WatchedFile) -> None:
        self._file = file
        self._sound = _SequentialSoundFile(file)
        self.sample_rate = self._sound.samplerate
        self.channels = self._sound.channels
        check_format(self.sample_rate, self.channels)
        known = self._sound.format == "FLAC" and 0 < self._sound.frames < 1 << 36
        self.declared_samples = self._sound.frames if known else None
        self._first_SC = self._read()
        if len(self._first_SC) == 0:
            raise _NoSamplesError("no samples")

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """See `_Decoder`."""
        block_SC = self._first_SC
        while len(block_SC) > 0:
            yield block_SC
            block_SC = self._read()
        self._sound.close()

    def _read(self) -> NDArray[np.float32]:
        block_SC = self._sound.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)
        self._file.raise_failure()
        return np.asarray(block_SC, dtype=np.float32)


# Zero and full scale of FFmpeg's integer formats, planar ones without their final "p".
_INTEGER_FORMATS = {"u8": (128, 2**7), "s16": (0, 2**15), "s32": (0, 2**31), "s64": (0, 2**63)}


class _FFmpegDecoder:
    """FFmpeg through PyAV; the first audio stream of the file."""

    def __init__(self, file: WatchedFile) -> None:
        self._file = file
        # A playlist must not make FFmpeg open anything but this file.
        options = {"protocol_whitelist": "none"}
        self._container = av.open(file, mode="r", metadata_errors="replace", options=options)
        if not self._container.streams.audio:
            raise _NoSamplesError("no audio stream")
        self._frames = self._decode(self._container.streams.audio[0])
        first = next(self._frames, None)
        if first is None:
            raise _NoSamplesError("no samples")
        self._first_frame = first
        self.sample_rate = first.sample_rate
        self.channels = first.layout.nb_channels
        self.declared_samples: int | None = None

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """See `_Decoder`."""
        pending = [self._samples(self._first_frame)]
        num_samples = len(pending[0])
        for frame in self._frames:
            pending.append(self._samples(frame))
            num_samples += len(pending[-1])
            if num_samples >= BLOCK_SAMPLES:
                yield np.concatenate(pending)
                pending, num_samples = [], 0
        if num_samples > 0:
            yield np.concatenate(pending)
        self._container.close()

    def _decode(self, stream: AudioStream) -> Iterator[AudioFrame]:
        stream.codec_context.thread_count = 1
        for packet in self._container.demux(stream):
            self._file.raise_failure()
            for frame in packet.decode():
                if frame.samples > 0:
                    yield frame
        self._file.raise_failure()

    def _samples(self, frame: AudioFrame) -> NDArray[np.float32]:
        """Samples of a frame, [S, C], full scale at 1."""
        if (frame.sample_rate, frame.layout.nb_channels) != (self.sample_rate, self.channels):
            raise AudioError("unsupported", "its sample rate or channels change in the middle")
        array = frame.to_ndarray()
        samples_SC = array.T if frame.format.is_planar else array.reshape(-1, self.channels)
        scale = _INTEGER_FORMATS.get(frame.format.name.removesuffix("p"))
        if scale is None:
            return samples_SC.astype(np.float32)
        zero, full = scale
        return ((samples_SC.astype(np.float64) - zero) / full).astype(np.float32)


_DECODERS: dict[str, type[_SoundFileDecoder] | type[_FFmpegDecoder]] = {
    "libsndfile": _SoundFileDecoder,
    "FFmpeg": _FFmpegDecoder,
}


def _open_decoder(file: WatchedFile, name: str) -> _Decoder:
    """The first decoder that gives a block of samples."""
    found_nothing = False
    reasons = []
    for decoder_name, decoder_type in _DECODERS.items():
        file.seek(0)
        try:
            return decoder_type(file)
        except AudioError:
            raise
        except Exception as error:  # noqa: BLE001  decoders raise anything on damaged files
            file.raise_failure()
            found_nothing = found_nothing or isinstance(error, _NoSamplesError)
            reasons.append(f"{decoder_name}: {_reason(error)}")
    raise AudioError("empty" if found_nothing else "undecodable", f"{name}: {'; '.join(reasons)}")


def _reason(error: Exception) -> str:
    """What a decoder said, without addresses and numbers that differ from run to run."""
    if isinstance(error, soundfile.LibsndfileError):
        return str(error.error_string)
    if isinstance(error, av.FFmpegError):
        return str(error.strerror)
    return str(error)
