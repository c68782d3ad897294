"""Raw audio to the padded batch that `EncodecModel` takes.

Dimension key: B batch, C channels, S samples.
"""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from codec.encodec.chunking import chunk_length_samples, chunk_stride_samples
from codec.errors import AudioShapeError, CodecConfigError

Waveform = NDArray[np.float32]
_PADDINGS = {True: "longest", False: "do_not_pad", None: "longest"}


class BatchFeature(dict[str, Any]):
    """A batch by key or attribute: `input_values` and, where padding was asked for, a mask."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(name)

    def to(self, device: str | torch.device) -> "BatchFeature":
        """The batch with its tensors on another device."""
        moved = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in self.items()}
        return BatchFeature(moved)


class EncodecFeatureExtractor:
    """Pads recordings into a batch; arguments and results as those of the transformers class.

    Args:
        feature_size: channels, 1 or 2.
        sampling_rate: Hz that the model works at.
        padding_value: what padding is filled with.
        chunk_length_s: seconds of a chunk, where the model works in chunks.
        overlap: fraction of a chunk that the next one repeats.

    Raises:
        CodecConfigError: `feature_size` is neither 1 nor 2.

    Source: transformers 5.23, models/encodec/feature_extraction_encodec.py (behaviour).
    """

    model_input_names = ("input_values", "padding_mask")

    def __init__(
        self,
        feature_size: int = 1,
        sampling_rate: int = 24_000,
        padding_value: float = 0.0,
        chunk_length_s: float | None = None,
        overlap: float | None = None,
    ) -> None:
        if feature_size not in (1, 2):
            raise CodecConfigError(f"feature_size is {feature_size}; it must be 1 or 2 channels")
        self.feature_size = feature_size
        self.sampling_rate = sampling_rate
        self.padding_value = padding_value
        self.chunk_length_s = chunk_length_s
        self.overlap = overlap

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "EncodecFeatureExtractor":
        """The extractor of a folder with a preprocessor_config.json.

        Raises:
            CodecConfigError: there is no such file, or it is no JSON object.
        """
        path = Path(folder) / "preprocessor_config.json"
        try:
            stored = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise CodecConfigError(f"cannot read {path}: {error}") from error
        known = ("feature_size", "sampling_rate", "padding_value", "chunk_length_s", "overlap")
        return cls(**{key: stored[key] for key in known if key in stored})

    @property
    def chunk_length(self) -> int | None:
        """Samples of a chunk, or None."""
        return chunk_length_samples(self.chunk_length_s, self.sampling_rate)

    @property
    def chunk_stride(self) -> int | None:
        """Samples from the start of a chunk to the start of the next, or None."""
        if self.overlap is None:
            return None
        return chunk_stride_samples(self.chunk_length, self.overlap)

    def __call__(
        self,
        raw_audio: ArrayLike | Sequence[ArrayLike],
        padding: bool | str | None = None,
        truncation: bool | None = False,
        max_length: int | None = None,
        return_tensors: str | None = None,
        sampling_rate: int | None = None,
    ) -> BatchFeature:
        """Makes a batch of one or several recordings.

        Args:
            raw_audio: [S] where mono, [2, S] where stereo; or a list of such.
            padding: True or "longest" (also None), "max_length", or False or "do_not_pad".
            truncation: cut recordings longer than `max_length`; in chunk mode without one, to the
                whole chunks of the shortest.
            max_length: samples.
            return_tensors: "pt", "np" or None for lists of arrays.
            sampling_rate: Hz of `raw_audio`; checked, never converted.

        Returns:
            `input_values`, float32 [B, C, S], and unless `padding` is False `padding_mask`, int32
            [B, S], 1 on audio.

        Raises:
            AudioShapeError: another sampling rate or number of channels than the model's, or
                recordings of different lengths asked for as one tensor without padding.
            ValueError: arguments that contradict each other.
        """
        self._check_rate(sampling_rate)
        if padding and truncation:
            raise ValueError("padding and truncation were both given; choose one")
        strategy = padding if isinstance(padding, str) else _PADDINGS[padding]
        if strategy not in ("longest", "max_length", "do_not_pad"):
            raise ValueError(f"padding is {padding!r}; wanted longest, max_length or do_not_pad")
        if return_tensors not in (None, "pt", "np"):
            raise ValueError(f"return_tensors is {return_tensors!r}; wanted 'pt', 'np' or None")
        recordings = [self._checked(audio) for audio in _as_list(raw_audio)]
        lengths = [audio.shape[-1] for audio in recordings]
        if max_length is None:
            max_length = self._chunked_length(lengths, bool(truncation), strategy)
            strategy = "max_length" if max_length and strategy == "longest" else strategy
        if truncation and max_length is None:
            raise ValueError("truncation needs max_length, or an extractor with chunks")
        if truncation:
            recordings = [audio[:, :max_length] for audio in recordings]
        return self._batch(recordings, strategy, max_length, return_tensors)

    def _batch(
        self,
        recordings: list[Waveform],
        strategy: str,
        max_length: int | None,
        return_tensors: str | None,
    ) -> BatchFeature:
        lengths = [audio.shape[-1] for audio in recordings]
        batch: dict[str, Any] = {"input_values": recordings}
        if strategy == "max_length" and max_length is None:
            raise ValueError("padding='max_length' needs max_length, or an extractor with chunks")
        if strategy != "do_not_pad":
            target = max_length if strategy == "max_length" and max_length else max(lengths)
            batch["padding_mask"] = [_mask(n, max(n, target)) for n in lengths]
            batch["input_values"] = [self._padded(audio, target) for audio in recordings]
        if return_tensors is None:
            return BatchFeature(batch)
        stacked = {name: _stacked(arrays) for name, arrays in batch.items()}
        if return_tensors == "np":
            return BatchFeature(stacked)
        return BatchFeature({name: torch.from_numpy(array) for name, array in stacked.items()})

    def _chunked_length(self, lengths: list[int], truncation: bool, strategy: str) -> int | None:
        """Samples that whole chunks take: of the shortest recording if cut, else of the longest."""
        length, stride = self.chunk_length, self.chunk_stride
        if length is None or stride is None or (strategy == "do_not_pad" and not truncation):
            return None
        chunks = min(lengths) // stride if truncation else -(-max(lengths) // stride)
        return (chunks - 1) * stride + length

    def _padded(self, audio_CS: Waveform, length: int) -> Waveform:
        missing = max(0, length - audio_CS.shape[-1])
        return np.pad(audio_CS, ((0, 0), (0, missing)), constant_values=self.padding_value)

    def _check_rate(self, sampling_rate: int | None) -> None:
        if sampling_rate is None:
            warnings.warn(
                "pass sampling_rate: audio of another rate than the model's is not noticed without",
                stacklevel=3,
            )
        elif sampling_rate != self.sampling_rate:
            raise AudioShapeError(
                f"audio has a sampling rate of {sampling_rate} Hz; the model works at "
                f"{self.sampling_rate} Hz: resample it first"
            )

    def _checked(self, audio: ArrayLike) -> Waveform:
        array = np.asarray(audio, dtype=np.float32)
        wanted = "[samples]" if self.feature_size == 1 else "[2, samples]"
        fits = array.ndim == 1 if self.feature_size == 1 else array.ndim == 2 and len(array) == 2
        if not fits or array.shape[-1] == 0:
            raise AudioShapeError(f"audio has shape {array.shape}; this extractor takes {wanted}")
        return array[None] if array.ndim == 1 else array


def _as_list(raw_audio: ArrayLike | Sequence[ArrayLike]) -> list[ArrayLike]:
    """A list of recordings: a list of arrays is a batch, anything else one recording."""
    if not isinstance(raw_audio, list | tuple):
        return [raw_audio]  # type: ignore[list-item]
    if not raw_audio:
        raise AudioShapeError("raw_audio is an empty list; wanted at least one recording")
    if isinstance(raw_audio[0], np.ndarray | torch.Tensor | list | tuple):
        return list(raw_audio)
    return [raw_audio]


def _mask(ones: int, length: int) -> NDArray[np.int32]:
    return (np.arange(length) < ones).astype(np.int32)


def _stacked(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    if len({array.shape for array in arrays}) > 1:
        lengths = sorted({array.shape[-1] for array in arrays})
        raise AudioShapeError(
            f"recordings of {lengths[0]} to {lengths[-1]} samples make no tensor; use padding"
        )
    return np.stack(arrays)
