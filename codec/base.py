"""What every codec is: a spec, an encoder of many recordings, a decoder.

Dimension key: C channels, S samples, K codebooks, T frames, D width of a codebook entry.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from codec.errors import AudioShapeError, UnsupportedBandwidthError

PRECISIONS = ("float32", "bfloat16")

# A recording is its whole waveform, or its waveform in blocks of any size, [C, S] each.
Waveform = Tensor | Iterable[Tensor]


@dataclass(frozen=True)
class CodecSpec:
    """All that planning, schema and resume need to know of a codec, with no model in memory."""

    name: str
    sample_rate: int  # Hz
    channels: int
    hop_samples: int  # samples a frame stands for
    num_codebooks: int  # the most that can be asked for
    codebook_size: int  # entries a codebook
    bandwidths_kbps: tuple[float, ...]  # published operating points, ascending
    chunk_samples: int | None  # None: a recording is encoded whole
    stride_samples: int | None  # from the start of a chunk to the start of the next
    normalizes: bool  # every chunk is divided by its own scale
    causal: bool
    fingerprint: str  # sha256 of the weights and of whatever else decides the codes
    precision: str = "float32"  # of the network; one of PRECISIONS

    @property
    def frames_per_second(self) -> float:
        """Token steps a second of audio, overlap not counted."""
        return self.sample_rate / self.hop_samples

    def chunk_lengths(self, num_samples: int) -> list[int]:
        """Length in samples of each chunk of a recording, the last at its true length."""
        if num_samples == 0:
            return []
        if self.chunk_samples is None or self.stride_samples is None:
            return [num_samples]
        starts = range(0, num_samples, self.stride_samples)
        return [min(self.chunk_samples, num_samples - start) for start in starts]

    def chunk_frames(self, num_samples: int) -> list[int]:
        """Frames of each chunk of a recording of `num_samples`."""
        return [-(-length // self.hop_samples) for length in self.chunk_lengths(num_samples)]

    def num_frames(self, num_samples: int) -> int:
        """Frames of a whole recording of `num_samples`: all its chunks after one another."""
        if self.chunk_samples is None:
            return -(-num_samples // self.hop_samples)
        return sum(self.chunk_frames(num_samples))

    def codebooks_for_bandwidth(self, bandwidth_kbps: float) -> int:
        """Codebooks that make up a published bandwidth.

        Raises:
            UnsupportedBandwidthError: the codec has no such bandwidth.
        """
        if bandwidth_kbps not in self.bandwidths_kbps:
            known = ", ".join(f"{kbps:g}" for kbps in self.bandwidths_kbps)
            raise UnsupportedBandwidthError(
                f"{self.name} has no bandwidth of {bandwidth_kbps:g} kbps; choose one of {known}"
            )
        bits_per_code = (self.codebook_size - 1).bit_length()
        codes_per_second = -(-self.sample_rate // self.hop_samples)
        fitting = int(bandwidth_kbps * 1000 // (codes_per_second * bits_per_code))
        return min(max(1, fitting), self.num_codebooks)

    def check_num_codebooks(self, num_codebooks: int | None) -> int:
        """The number of codebooks to use: the one asked for, or all of them.

        Raises:
            UnsupportedBandwidthError: the codec has fewer.
        """
        if num_codebooks is None:
            return self.num_codebooks
        if not 1 <= num_codebooks <= self.num_codebooks:
            raise UnsupportedBandwidthError(
                f"{self.name} has 1 to {self.num_codebooks} codebooks, not {num_codebooks}"
            )
        return num_codebooks

    def to_dict(self) -> dict[str, Any]:
        """The spec as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "CodecSpec":
        """The spec back from `to_dict`, also after a trip through JSON."""
        return cls(**{**values, "bandwidths_kbps": tuple(values["bandwidths_kbps"])})


@dataclass(frozen=True)
class EncodedAudio:
    """One recording as tokens: all that is needed to hear it again."""

    codes: Tensor  # int64 [K, T]; the frames of all chunks after one another
    scales: Tensor | None  # float32 [chunks]; None where the codec does not scale
    num_samples: int  # true length at the codec's rate

    def __post_init__(self) -> None:
        if self.codes.ndim != 2:
            shape = tuple(self.codes.shape)
            raise AudioShapeError(f"codes must be [codebooks, frames], got shape {shape}")


@runtime_checkable
class Codec(Protocol):
    """A neural codec: waveform to codes and back. Inference only; nothing here needs gradients."""

    @property
    def spec(self) -> CodecSpec:
        """What the codec is."""
        ...

    def encode(self, waveform: Tensor, num_codebooks: int | None = None) -> EncodedAudio:
        """Codes of one recording.

        Args:
            waveform: float [C, S] at `spec.sample_rate`, nominally within -1 and 1.
            num_codebooks: 1 to `spec.num_codebooks`; all of them when None.
        """
        ...

    def encode_stream(
        self, recordings: Iterable[Waveform], num_codebooks: int | None = None
    ) -> Iterator[EncodedAudio]:
        """Codes of many recordings, in the order they came.

        Memory does not grow with the length of a recording that arrives in blocks. The codes of a
        recording do not depend on its neighbours nor on how it was cut into blocks.
        """
        ...

    def decode(self, encoded: EncodedAudio) -> Tensor:
        """The waveform, float32 [C, num_samples]."""
        ...

    def decode_batch(self, recordings: Iterable[EncodedAudio]) -> Iterator[Tensor]:
        """The waveforms of many recordings, in the order they came; faster than one by one."""
        ...

    def decode_stream(self, encoded: EncodedAudio) -> Iterator[Tensor]:
        """The same waveform in blocks [C, S], in memory that does not grow with its length."""
        ...

    def codebook(self, index: int) -> Tensor:
        """Entries of codebook `index`, counted from 0: float32 [codebook_size, D]."""
        ...
