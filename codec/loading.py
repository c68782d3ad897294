"""Codecs by name."""

from pathlib import Path

import torch

from codec.base import Codec
from codec.encodec.codec import EncodecCodec
from codec.errors import UnknownCodecError

_EMBEDDED = Path(__file__).parent / "weights"  # a folder in the Hugging Face layout each
_PUBLISHED = {
    "encodec_24khz": "facebook/encodec_24khz",
    "encodec_48khz": "facebook/encodec_48khz",
}


def list_codecs() -> tuple[str, ...]:
    """Names that `load_codec` knows besides paths and hub ids."""
    embedded = (folder.name for folder in _EMBEDDED.iterdir() if folder.is_dir())
    return tuple(sorted([*embedded, *_PUBLISHED]))


def checkpoint_of(name: str) -> str | Path:
    """Where the weights of a codec are: folder, file or hub id.

    Raises:
        UnknownCodecError: the name is none of `list_codecs()`, and nothing is there.
    """
    if (_EMBEDDED / name).is_dir() and name in list_codecs():
        return _EMBEDDED / name
    source = _PUBLISHED.get(name, name)
    if not Path(source).exists() and "/" not in source:
        known = ", ".join(list_codecs())
        raise UnknownCodecError(
            f"unknown codec {name!r}; choose one of {known}, a folder, a .th file or a hub id"
        )
    return source


def load_codec(
    name: str,
    device: str | torch.device = "cpu",
    *,
    chunk_seconds: float | None = None,
    overlap: float | None = None,
    normalize: bool | None = None,
    threads: int | None = None,
    precision: str = "float32",
    gpu_slots: int | None = None,
) -> Codec:
    """Loads a codec; arguments that are None keep the checkpoint's own value.

    Args:
        name: one of `list_codecs()`, a folder in the Hugging Face layout, one of Meta's `.th`
            files, or a hub id.
        device: where it runs.
        chunk_seconds: length of a chunk.
        overlap: fraction of a chunk that the next one repeats.
        normalize: whether each chunk is divided by its own scale.
        threads: of a CPU, that work on recordings side by side; None: as many as torch uses.
        precision: "float32", or "bfloat16", which is faster and gives other codes.
        gpu_slots: recordings that a GPU works on at once; None: as many as is usual.

    Raises:
        UnknownCodecError: there is no such codec.
        CheckpointError: its weights are damaged.
        CodecConfigError: the values make no sense together, or a GPU has not the memory.
    """
    return EncodecCodec.from_pretrained(
        checkpoint_of(name),
        name,
        device,
        chunk_seconds=chunk_seconds,
        overlap=overlap,
        normalize=normalize,
        threads=threads,
        precision=precision,
        gpu_slots=gpu_slots,
    )
