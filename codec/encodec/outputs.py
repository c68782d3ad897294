"""What `EncodecModel` returns: fields by name, by key or by position, as transformers users expect."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor


@dataclass
class ModelOutput:
    """Fields that are None are left out of keys and positions."""

    def to_tuple(self) -> tuple[Any, ...]:
        """The values that are there, in order."""
        return tuple(self[key] for key in self.keys())

    def keys(self) -> tuple[str, ...]:
        """The names of the values that are there."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) is not None)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __getitem__(self, key: str | int | slice) -> Any:
        if isinstance(key, str):
            if key not in self.keys():
                raise KeyError(key)
            return getattr(self, key)
        return self.to_tuple()[key]


@dataclass
class EncodecEncoderOutput(ModelOutput):
    """Codes of a batch.

    Attributes:
        audio_codes: int64 [chunks, B, K, frames of a full chunk]; past a recording's end, zeros.
        audio_scales: for each chunk float [B, 1], or None where the model does not scale.
        last_frame_pad_length: frames of padding in the last chunk.
    """

    audio_codes: Tensor | None = None
    audio_scales: Sequence[Tensor | None] | None = None
    last_frame_pad_length: int | None = None


@dataclass
class EncodecDecoderOutput(ModelOutput):
    """Decoded audio, float [B, C, S]."""

    audio_values: Tensor | None = None


@dataclass
class EncodecOutput(ModelOutput):
    """Codes and the audio decoded from them."""

    audio_codes: Tensor | None = None
    audio_values: Tensor | None = None
