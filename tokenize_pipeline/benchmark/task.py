"""The work that every contestant of a benchmark does, and what a contestant is.

Dimension key: C channels, S samples.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.encodec import EncodecConfig
from tokenize_pipeline.benchmark.settings import bandwidth_kbps


@dataclass(frozen=True)
class Task:
    """Recordings to encode and decode, with which model, on what. Can be sent to a process.

    Args:
        config: of the model; its weights follow from it.
        recordings: float32 [C, S] each, at the rate of the model.
        num_codebooks: codebooks to encode with.
        device: "cpu" or "cuda".
        threads: CPU threads.
    """

    config: EncodecConfig
    recordings: tuple[NDArray[np.float32], ...]
    num_codebooks: int
    device: str
    threads: int

    @property
    def bandwidth_kbps(self) -> float:
        """The published bandwidth of that many codebooks."""
        return bandwidth_kbps(self.config, self.num_codebooks)

    @property
    def audio_seconds(self) -> float:
        """Length of all recordings together."""
        num_samples = sum(audio_CS.shape[1] for audio_CS in self.recordings)
        return float(num_samples / self.config.sampling_rate)

    @property
    def num_frames(self) -> int:
        """Frames of all recordings together; what overlapping chunks repeat counts again."""
        chunks = (chunk for audio in self.recordings for chunk in self.chunks(audio.shape[1]))
        return sum(-(-len(chunk) // self.config.hop_length) for chunk in chunks)

    def chunks(self, num_samples: int) -> list[range]:
        """Where the chunks of a recording lie; the whole recording where there are no chunks."""
        length, stride = self.config.chunk_length, self.config.chunk_stride
        if length is None or stride is None:
            return [range(num_samples)]
        starts = range(0, num_samples, stride)
        return [range(start, min(start + length, num_samples)) for start in starts]

    def waveforms(self) -> list[Tensor]:
        """The recordings as tensors [C, S] on the CPU, which share their memory."""
        return [torch.from_numpy(audio_CS) for audio_CS in self.recordings]


@dataclass(frozen=True)
class Contestant:
    """One way of doing a task. Input comes from the CPU and output ends there.

    Args:
        name: for people.
        precision: which limit of the machine it is held against.
        encode: encodes all recordings.
        prepare: makes the codes that `decode` decodes; to be called once, before it.
        decode: decodes the codes of all recordings; returns the samples a channel it made.
        is_reference: whether others are compared with it.
        batch_sizes: by direction; None where batches are not the caller's concern.
    """

    name: str
    precision: str
    encode: Callable[[], object]
    prepare: Callable[[], None]
    decode: Callable[[], int]
    is_reference: bool
    batch_sizes: Mapping[str, int] | None = None
