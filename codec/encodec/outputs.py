"""What `EncodecModel` returns: fields by name, key or position, as transformers users expect."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor


@dataclass
class ModelOutput:
    """Values by attribute, by key and by position; iterating gives the keys."""

    def to_tuple(self) -> tuple[Any, ...]:
        """The values in order."""
        return tuple(getattr(self, key) for key in self.keys())

    def keys(self) -> tuple[str, ...]:
        """The names of the values."""
        return tuple(field.name for field in fields(self))

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __getitem__(self, key: str | int | slice) -> Any:
        if not isinstance(key, str):
            return self.to_tuple()[key]
        if key not in self.keys():
            raise KeyError(key)
        return getattr(self, key)


@dataclass
class EncodecEncoderOutput(ModelOutput):
    """Codes of a batch.

    Attributes:
        audio_codes: int64 [chunks, B, K, frames of a full chunk]; past a recording's end, zeros.
        audio_scales: for each chunk float [B, 1], or None where the model does not scale.
        last_frame_pad_length: frames of padding in the last chunk.
    """

    audio_codes: Tensor
    audio_scales: Sequence[Tensor | None]
    last_frame_pad_length: int


@dataclass
class EncodecDecoderOutput(ModelOutput):
    """Decoded audio, float [B, C, S]."""

    audio_values: Tensor


@dataclass
class EncodecOutput(ModelOutput):
    """Codes, and the audio decoded from them."""

    audio_codes: Tensor
    audio_values: Tensor
