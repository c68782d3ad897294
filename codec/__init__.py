"""Neural audio codecs: waveforms to discrete codes and back."""

from codec.base import Codec, CodecSpec, EncodedAudio
from codec.errors import (
    AudioShapeError,
    CheckpointError,
    CodecConfigError,
    CodecError,
    UnknownCodecError,
    UnsupportedBandwidthError,
)
from codec.loading import list_codecs, load_codec

__all__ = [
    "AudioShapeError",
    "CheckpointError",
    "Codec",
    "CodecConfigError",
    "CodecError",
    "CodecSpec",
    "EncodedAudio",
    "UnknownCodecError",
    "UnsupportedBandwidthError",
    "list_codecs",
    "load_codec",
]
