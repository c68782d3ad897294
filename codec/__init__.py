"""Neural audio codecs: waveforms to discrete codes and back."""

from codec.base import Codec, CodecSpec, EncodedAudio
from codec.errors import (
    AudioShapeError,
    CheckpointError,
    CodebookError,
    CodecConfigError,
    CodecError,
    NonFiniteError,
    TrainingError,
    UnknownCodecError,
    UnsupportedBandwidthError,
)
from codec.loading import list_codecs, load_codec

__all__ = [
    "AudioShapeError",
    "CheckpointError",
    "CodebookError",
    "Codec",
    "CodecConfigError",
    "CodecError",
    "CodecSpec",
    "EncodedAudio",
    "NonFiniteError",
    "TrainingError",
    "UnknownCodecError",
    "UnsupportedBandwidthError",
    "list_codecs",
    "load_codec",
]
