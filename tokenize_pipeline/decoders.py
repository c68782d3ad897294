"""Audio files to blocks of samples, as they are in the file: the only place that decodes.

    file -> libsndfile, or FFmpeg for what it refuses -> checks -> blocks [S, C]

libsndfile (soundfile) decodes wav, flac, ogg, opus and mp3; FFmpeg (PyAV) everything else. Both are
read in capped blocks: a FLAC header may declare 2^36 samples. What comes out depends on the bytes
of the file alone. Whatever a decoder raises becomes an `AudioError`; an error of the storage below
(a lost connection) is no fault of the recording and is passed on as it is.

Nothing here imports torch: the processes that decode start in a moment and are small.

Dimension key: C channels, S samples.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO, Protocol

import av
import numpy as np
import soundfile
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from tokenize_pipeline.audio_limits import (
    MAX_SECONDS,
    AudioPolicy,
    check_complete,
    check_format,
    check_length,
    check_level,
    check_not_short,
    check_segment,
)
from tokenize_pipeline.containers import cut_short, is_open_flac
from tokenize_pipeline.errors import AudioError
from tokenize_pipeline.flac_checksum import FlacChecksum
from tokenize_pipeline.records import Segment
from tokenize_pipeline.watched_file import WatchedFile

BLOCK_SAMPLES = 1 << 16  # decoded at once, a channel
_WHOLE = Segment()
_TAKE_ALL = AudioPolicy()


@dataclass(frozen=True)
class Block:
    """Samples that follow each other in a file."""

    samples: NDArray[np.float32]  # [S, C]
    sample_rate: int  # Hz; a few files change it, and their channels, in the middle


class DecodedFile:
    """One recording, decoded as it is read.

    Args:
        file: seekable; the caller closes it when done.
        name: stands in messages only; the format is told from the content.
        segment: the stretch that is wanted; None for all of it.
        policy: which recordings are taken.

    Attributes:
        sample_rate: of the first block, Hz.
        channels: of the first block.
        flags: codes of what was found and kept; final once the blocks have ended.

    Raises:
        AudioError: no decoder reads it, it was cut, or it is outside the limits of this module.
    """

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        segment: Segment | None = None,
        policy: AudioPolicy = _TAKE_ALL,
    ) -> None:
        self.flags: tuple[str, ...] = ()
        self._file = WatchedFile(file)
        self._segment = segment or _WHOLE
        self._policy = policy
        if self._file.seek(0, os.SEEK_END) == 0:
            raise AudioError("empty", f"{name} has no bytes")
        # A segment that ends before the cut is none the worse for it.
        cut = cut_short(file) if self._segment.duration_seconds is None else None
        self._file.raise_failure()
        if cut is not None:
            self._flag(AudioError("truncated", cut))
        self._decoder = _first_fitting(self._file, name)
        self.sample_rate = self._decoder.sample_rate
        self.channels = self._decoder.channels
        check_format(self.sample_rate, self.channels)

    def blocks(self) -> Iterator[Block]:
        """The samples, none of them such as no codec should see. May be called once.

        Raises:
            AudioError: the file cannot become tokens; also after some blocks were given.
        """
        seconds = 0.0
        for block in self._wanted():
            seconds += len(block.samples) / block.sample_rate
            check_length(seconds, MAX_SECONDS)
            with self._flagged():
                check_length(seconds, self._policy.max_seconds)
            check_level(block.samples)
            yield block
        if seconds == 0:
            raise AudioError("empty", "the segment holds no samples")
        with self._flagged():
            check_not_short(seconds, self._policy.min_seconds)

    @contextmanager
    def _flagged(self) -> Iterator[None]:
        """Turn an error inside the block into a flag, if that is the policy."""
        try:
            yield
        except AudioError as error:
            self._flag(error)

    def _flag(self, error: AudioError) -> None:
        """Keep an error as a flag if that is the policy, else raise it."""
        if error.code not in self._policy.keep:
            raise error
        if error.code not in self.flags:
            self.flags = (*self.flags, error.code)

    def close(self) -> None:
        """Nothing is held that the file does not hold."""

    def _wanted(self) -> Iterator[Block]:
        """The blocks of the segment."""
        rate = self.sample_rate
        start = round(self._segment.offset_seconds * rate)
        stop = None
        if self._segment.duration_seconds is not None:
            stop = start + round(self._segment.duration_seconds * rate)
        position = self._decoder.enter_at(start) if start else 0
        for block in self._decoded():
            length = len(block.samples)
            last = length if stop is None else min(length, stop - position)
            wanted_SC = block.samples[max(0, start - position) : last]
            position += length
            if len(wanted_SC):
                yield Block(wanted_SC, block.sample_rate)
            if stop is not None and position >= stop:
                return
        with self._flagged():
            check_segment(position, start, stop, rate)
            if stop is None:
                check_complete(position, self._decoder.declared_samples)

    def _decoded(self) -> Iterator[Block]:
        try:
            yield from self._decoder.blocks()
        except AudioError as error:
            self._flag(error)
        except Exception as error:  # decoders raise errors of any type on damaged files
            self._file.raise_failure()
            if "truncated" in self.flags:  # it stopped at the cut
                return
            if self._decoder.declared_samples is not None and self._decoder.stopped_at_end:
                detail = f"decoding stopped at the end of the file: {_reason(error)}"
                self._flag(AudioError("truncated", detail))
                return
            detail = f"decoding stopped in the middle: {_reason(error)}"
            raise AudioError("undecodable", detail) from error


def encode_sound(samples_SC: NDArray[np.float32], sample_rate: int, kind: str = "FLAC") -> bytes:
    """Samples within full scale as a file; a FLAC has 16 bits."""
    file = io.BytesIO()
    soundfile.write(file, samples_SC, sample_rate, format=kind)
    return file.getvalue()


class _NoSamplesError(Exception):
    """A decoder read the file to its end and found no sample."""


class _Decoder(Protocol):
    """Reads a file to its end, once."""

    sample_rate: int  # Hz
    channels: int
    declared_samples: int | None  # where the header can be trusted

    @property
    def stopped_at_end(self) -> bool:
        """Whether, after an error, all of the file was read."""
        ...

    def enter_at(self, sample: int) -> int:
        """Go to a sample if that is exact; where the blocks will begin. To be called first."""
        ...

    def blocks(self) -> Iterator[Block]:
        """Blocks of at most about BLOCK_SAMPLES, none of them empty."""
        ...


class _SequentialSoundFile(soundfile.SoundFile):  # type: ignore[misc]  # it has no types
    """A sound file read from start to end.

    As long as soundfile takes a file for seekable it seeks after every block, and believes the
    header's count of samples: 0 for some cut Vorbis files, 2^36 for a hostile FLAC.
    """

    def seekable(self) -> bool:
        return False


# Beginnings of the names of sample formats that libsndfile can enter at any sample, exactly.
_ENTERED_ANYWHERE = ("PCM_", "FLOAT", "DOUBLE", "ALAW", "ULAW")


class _SoundFileDecoder:
    """libsndfile."""

    def __init__(self, file: WatchedFile) -> None:
        self._file = file
        self._sound = _SequentialSoundFile(file)
        self.sample_rate = self._sound.samplerate
        self.channels = self._sound.channels
        check_format(self.sample_rate, self.channels)
        self._frames_known = 0 < self._sound.frames < 1 << 36
        self._is_flac = self._sound.format == "FLAC"
        self.declared_samples = self._sound.frames if self._is_flac and self._frames_known else None
        self._checksum = FlacChecksum(file, self._sound.subtype) if self._is_flac else None
        self._first_SC = self._read()
        if len(self._first_SC) == 0:
            raise _NoSamplesError("no samples")

    @property
    def stopped_at_end(self) -> bool:
        """See `_Decoder`."""
        position = self._file.tell()
        return position >= self._file.seek(0, os.SEEK_END)

    def enter_at(self, sample: int) -> int:
        """See `_Decoder`. Only of formats whose samples stand at known places."""
        is_plain = self._sound.subtype.startswith(_ENTERED_ANYWHERE)
        if not (is_plain and self._frames_known and BLOCK_SAMPLES < sample < self._sound.frames):
            return 0
        self._checksum = None
        self._sound.seek(sample)
        self._first_SC = self._read()
        return sample

    def blocks(self) -> Iterator[Block]:
        """See `_Decoder`."""
        block_SC = self._first_SC
        while len(block_SC) > 0:
            yield Block(block_SC, self.sample_rate)
            block_SC = self._read()
        if self._checksum is not None:
            self._checksum.check()
        self._sound.close()

    def _read(self) -> NDArray[np.float32]:
        block_SC = self._sound.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)
        self._file.raise_failure()
        if self._checksum is not None:
            self._checksum.update(block_SC)
        return np.asarray(block_SC, dtype=np.float32)


# Zero and full scale of FFmpeg's integer formats, planar ones without their final "p".
_INTEGER_FORMATS = {"u8": (128, 2**7), "s16": (0, 2**15), "s32": (0, 2**31), "s64": (0, 2**63)}


# Formats of FFmpeg whose headers declare their samples exactly.
_DECLARE_SAMPLES = ("ape", "dsf", "flac", "iff", "mpc", "tak", "tta", "wv")


class _FFmpegDecoder:
    """FFmpeg through PyAV; the first audio stream of the file."""

    def __init__(self, file: WatchedFile) -> None:
        self._file = file
        # A playlist must not make FFmpeg open anything but this file.
        options = {"protocol_whitelist": "none"}
        self._container = av.open(file, mode="r", metadata_errors="replace", options=options)
        if not self._container.streams.audio:
            raise _NoSamplesError("no audio stream")
        self.stopped_at_end = False
        self._frames = self._decode(self._container.streams.audio[0])
        first = next(self._frames, None)
        if first is None:
            raise _NoSamplesError("no samples")
        self._first_frame = first
        self.sample_rate = first.sample_rate
        self.channels = first.layout.nb_channels
        self.declared_samples = self._declared(self._container.streams.audio[0])

    def _declared(self, stream: AudioStream) -> int | None:
        if self._container.format.name not in _DECLARE_SAMPLES or stream.duration is None:
            return None
        return int(stream.duration * (stream.time_base or 0) * self.sample_rate)

    def enter_at(self, sample: int) -> int:
        """See `_Decoder`. FFmpeg finds places by time, which is not exact."""
        del sample
        return 0

    def blocks(self) -> Iterator[Block]:
        """See `_Decoder`."""
        pending: list[NDArray[np.float32]] = []
        num_samples, form = 0, (self.sample_rate, self.channels)
        for frame in chain([self._first_frame], self._frames):
            frame_form = (frame.sample_rate, frame.layout.nb_channels)
            if pending and (num_samples >= BLOCK_SAMPLES or frame_form != form):
                yield Block(np.concatenate(pending), form[0])
                pending, num_samples = [], 0
            form = frame_form
            pending.append(_samples(frame))
            num_samples += len(pending[-1])
        if pending:
            yield Block(np.concatenate(pending), form[0])
        self._container.close()

    def _decode(self, stream: AudioStream) -> Iterator[AudioFrame]:
        stream.codec_context.thread_count = 1
        if stream.codec_context.name == "flac":
            stream.codec_context.options = {"err_detect": "crccheck+explode"}
        packets = self._container.demux(stream)
        for packet in packets:
            self._file.raise_failure()
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self.stopped_at_end = not any(later.size for later in packets)
                raise
            yield from (frame for frame in frames if frame.samples > 0)
        self._file.raise_failure()


def _samples(frame: AudioFrame) -> NDArray[np.float32]:
    """Samples of a frame, [S, C], full scale at 1."""
    array = frame.to_ndarray()
    channels = frame.layout.nb_channels
    samples_SC = array.T if frame.format.is_planar else array.reshape(-1, channels)
    scale = _INTEGER_FORMATS.get(frame.format.name.removesuffix("p"))
    if scale is None:
        return samples_SC.astype(np.float32)
    zero, full = scale
    return ((samples_SC.astype(np.float64) - zero) / full).astype(np.float32)


_DECODERS: dict[str, type[_SoundFileDecoder] | type[_FFmpegDecoder]] = {
    "libsndfile": _SoundFileDecoder,
    "FFmpeg": _FFmpegDecoder,
}


def _first_fitting(file: WatchedFile, name: str) -> _Decoder:
    """The first decoder that gives a block of samples."""
    found_nothing = False
    reasons = []
    decoders = list(_DECODERS.items())
    if is_open_flac(file) and _ffmpeg_reads_all(file):
        decoders.reverse()
    for decoder_name, decoder_type in decoders:
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


def _ffmpeg_reads_all(file: WatchedFile) -> bool:
    """Whether FFmpeg reads a file without an error, up to the longest recording there may be.

    A FLAC without a declared length may change its rate or channels in the middle. libsndfile stops
    at new channels and does not notice a new rate; but it reads changes of depth, which FFmpeg does
    not.
    """
    seconds = 0.0
    file.seek(0)
    try:
        for block in _FFmpegDecoder(file).blocks():
            seconds += len(block.samples) / block.sample_rate
            if seconds > MAX_SECONDS:
                return False
    except Exception:  # noqa: BLE001  decoders raise anything on damaged files
        file.raise_failure()
        return False
    return True


def _reason(error: Exception) -> str:
    """What a decoder said, without addresses and numbers that differ from run to run."""
    if isinstance(error, soundfile.LibsndfileError):
        return str(error.error_string)
    if isinstance(error, av.FFmpegError):
        return str(error.strerror)
    return str(error)
