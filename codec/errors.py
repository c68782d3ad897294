"""What can go wrong in a codec, as one tree.

CodecError
├── UnknownCodecError        no codec of that name, folder or hub id
├── CodecConfigError         a configuration no model can be built from
├── CheckpointError          weights that are missing, damaged or of another model
├── UnsupportedBandwidthError   a bandwidth or number of codebooks the codec lacks
├── AudioShapeError          a waveform, latent or code array of the wrong shape, type or rate
├── NonFiniteError           NaN or infinity where numbers were wanted
├── CodebookError            codebooks that cannot be fitted to what was given, or were not yet
└── TrainingError            a training that cannot begin or go on
"""


class CodecError(Exception):
    """Root of every error that `codec` raises on purpose."""


class UnknownCodecError(CodecError):
    """The name is no codec we ship, no folder or file, and no hub repository we can reach."""


class CodecConfigError(CodecError, ValueError):
    """The configuration contradicts itself or asks for something that does not exist."""


class CheckpointError(CodecError):
    """The weights are missing, damaged, or belong to another model."""


class UnsupportedBandwidthError(CodecError, ValueError):
    """The codec has no such bandwidth or number of codebooks."""


class AudioShapeError(CodecError, ValueError):
    """A waveform, a latent or an array of codes has the wrong shape, type or sample rate."""


class NonFiniteError(CodecError, ValueError):
    """The input holds NaN or infinite values."""


class CodebookError(CodecError, ValueError):
    """Codebooks cannot be fitted to what was given, or have not been fitted yet."""


class TrainingError(CodecError):
    """A training cannot begin, or cannot go on from its checkpoint."""
