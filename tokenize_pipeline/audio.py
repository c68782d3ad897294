"""Recordings to blocks of audio as the codec wants them.

    file -> decoder -> blocks [S, C] -> mix -> resample -> blocks [C, S]

Dimension key: C channels, S samples.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import BinaryIO, Protocol

import numpy as np
import torch
from torch import Tensor

from codec.exact import one_thread
from tokenize_pipeline.audio_limits import AudioPolicy
from tokenize_pipeline.decoders import Block, DecodedFile, encode_sound
from tokenize_pipeline.mixing import mix
from tokenize_pipeline.records import Segment
from tokenize_pipeline.resample import resample

_TAKE_ALL = AudioPolicy()


class Decoded(Protocol):
    """A file that is decoded, in this process or in another."""

    sample_rate: int  # of its first block, Hz
    channels: int  # of its first block
    flags: tuple[str, ...]  # codes of what was found and kept; final once the blocks have ended

    def blocks(self) -> Iterator[Block]:
        """The samples. May be called once."""
        ...

    def close(self) -> None:
        """Leave it, wherever decoding is."""
        ...


class Decoders(Protocol):
    """Something that decodes."""

    def open(self, file: BinaryIO, name: str, segment: Segment | None = None) -> Decoded:
        """Open a recording and decode its first block; see `DecodedFile`."""
        ...


class OwnProcess:
    """Decodes in this process, which a hostile file may end.

    Args:
        policy: which recordings are taken.
    """

    def __init__(self, policy: AudioPolicy = _TAKE_ALL) -> None:
        self._policy = policy

    def open(self, file: BinaryIO, name: str, segment: Segment | None = None) -> Decoded:
        """See `Decoders`."""
        return DecodedFile(file, name, segment, self._policy)


class AudioReader:
    """One recording, decoded as it is read.

    Args:
        decoded: gives the samples of the file.
        sample_rate: Hz wanted.
        channels: channels wanted.
    """

    def __init__(self, decoded: Decoded, sample_rate: int, channels: int) -> None:
        self.source_sample_rate = decoded.sample_rate
        self.source_channels = decoded.channels
        self._decoded = decoded
        self._sample_rate = sample_rate
        self._channels = channels

    def blocks(self) -> Iterator[Tensor]:
        """Float32 [C, S] at the rate and with the channels asked for. May be called once.

        A stretch at another rate than the one before is resampled by itself.

        Raises:
            AudioError: the file cannot become tokens; also after some blocks were given.
        """
        for rate, blocks in groupby(self._decoded.blocks(), lambda block: block.sample_rate):
            yield from resample(map(self._mixed, blocks), rate, self._sample_rate)

    def _mixed(self, block: Block) -> Tensor:
        with one_thread():
            block_CS = torch.from_numpy(np.ascontiguousarray(block.samples.T))
            return mix(block_CS, self._channels)


def open_audio(
    file: BinaryIO, name: str, sample_rate: int, channels: int, segment: Segment | None = None
) -> AudioReader:
    """Open a recording and decode its first block, in this process.

    Args:
        file: seekable; the caller closes it when done with the reader.
        name: stands in messages only; the format is told from the content.
        sample_rate: Hz wanted.
        channels: channels wanted.
        segment: the stretch that is wanted; None for all of it.

    Raises:
        AudioError: no decoder reads it, it was cut, or it is outside the limits.
    """
    return AudioReader(DecodedFile(file, name, segment), sample_rate, channels)


def flac_bytes(audio_CS: Tensor, sample_rate: int) -> bytes:
    """A short signal as a FLAC file of 16 bits.

    Args:
        audio_CS: float [C, S]; clipped at full scale.
        sample_rate: Hz.
    """
    return encode_sound(audio_CS.float().clamp(-1, 1).T.cpu().numpy(), sample_rate)
