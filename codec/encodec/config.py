"""The shape of an EnCodec model, as the published config.json files describe it."""

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from codec.encodec.chunking import chunk_length_samples, chunk_stride_samples
from codec.errors import CodecConfigError

NORM_TYPES = ("weight_norm", "time_group_norm")


@dataclass(frozen=True)
class EncodecConfig:
    """Arguments of an EnCodec model; the defaults are those of the 24 kHz model.

    Names and defaults are those of the transformers class of the same name, so that its config.json
    files load unchanged. Keys of such a file that say nothing about the codec (`architectures`,
    `torch_dtype`, ...) are ignored by `from_dict`; the constructor takes only what is listed here.

    Args:
        target_bandwidths: kbps the model can be asked for, ascending; the last one decides how many
            codebooks there are.
        sampling_rate: Hz.
        audio_channels: 1 or 2.
        normalize: divide each chunk by its root mean square before encoding.
        chunk_length_s: seconds encoded at once; None encodes a recording whole.
        overlap: fraction of a chunk that the next one repeats; None is 0 when there are chunks.
        hidden_size: width of the latent, D.
        num_filters: channels after the first convolution; doubled at each downsampling.
        num_residual_layers: residual blocks before each downsampling.
        upsampling_ratios: strides of the decoder; the encoder uses them in reverse.
        norm_type: "weight_norm" or "time_group_norm".
        kernel_size: of the first convolution.
        last_kernel_size: of the last one.
        residual_kernel_size: of the residual blocks.
        dilation_growth_rate: dilation of residual block j is this to the power j.
        use_causal_conv: pad on the left only.
        pad_mode: "reflect", "constant" (zeros), "replicate" or "circular".
        compress: a residual block works at 1 / compress of its width.
        num_lstm_layers: layers of the LSTM in encoder and decoder.
        trim_right_ratio: share of a transposed convolution's padding trimmed on the right.
        codebook_size: entries a codebook.
        codebook_dim: width of an entry; None is `hidden_size`.
        use_conv_shortcut: a 1x1 convolution instead of the identity beside a residual block.

    Raises:
        CodecConfigError: a value no model can be built from.

    Source: "High Fidelity Neural Audio Compression" (Défossez et al., 2022), section 3;
        transformers 5.23, models/encodec/configuration_encodec.py (names and defaults).
    """

    target_bandwidths: tuple[float, ...] = (1.5, 3.0, 6.0, 12.0, 24.0)
    sampling_rate: int = 24_000
    audio_channels: int = 1
    normalize: bool = False
    chunk_length_s: float | None = None
    overlap: float | None = None
    hidden_size: int = 128
    num_filters: int = 32
    num_residual_layers: int = 1
    upsampling_ratios: tuple[int, ...] = (8, 5, 4, 2)
    norm_type: str = "weight_norm"
    kernel_size: int = 7
    last_kernel_size: int = 7
    residual_kernel_size: int = 3
    dilation_growth_rate: int = 2
    use_causal_conv: bool = True
    pad_mode: str = "reflect"
    compress: int = 2
    num_lstm_layers: int = 2
    trim_right_ratio: float = 1.0
    codebook_size: int = 1024
    codebook_dim: int | None = None
    use_conv_shortcut: bool = True

    def __post_init__(self) -> None:
        bandwidths = tuple(float(kbps) for kbps in self.target_bandwidths)
        object.__setattr__(self, "target_bandwidths", bandwidths)
        object.__setattr__(self, "upsampling_ratios", tuple(self.upsampling_ratios))
        if self.codebook_dim is None:
            object.__setattr__(self, "codebook_dim", self.hidden_size)
        self._validate()

    def _validate(self) -> None:
        def require(holds: bool, key: str, wanted: str) -> None:
            if not holds:
                raise CodecConfigError(f"{key} is {getattr(self, key)!r}; it must be {wanted}")

        bandwidths = self.target_bandwidths
        require(bool(bandwidths), "target_bandwidths", "at least one bandwidth in kbps")
        ascending = all(a < b for a, b in itertools.pairwise(bandwidths))
        require(ascending and bandwidths[0] > 0, "target_bandwidths", "positive and ascending")
        require(self.norm_type in NORM_TYPES, "norm_type", f"one of {', '.join(NORM_TYPES)}")
        require(self.audio_channels in (1, 2), "audio_channels", "1 or 2")
        require(
            bool(self.upsampling_ratios) and min(self.upsampling_ratios) >= 1,
            "upsampling_ratios",
            "one or more strides of at least 1",
        )
        for key in ("sampling_rate", "hidden_size", "num_filters", "kernel_size", "compress"):
            require(getattr(self, key) >= 1, key, "at least 1")
        require(self.codebook_size >= 2, "codebook_size", "at least 2")
        require(self.codebook_dim == self.hidden_size, "codebook_dim", "equal to hidden_size")
        require(0.0 <= self.trim_right_ratio <= 1.0, "trim_right_ratio", "between 0 and 1")
        require(
            self.use_causal_conv or self.trim_right_ratio == 1.0,
            "trim_right_ratio",
            "1.0 where use_causal_conv is False",
        )
        if self.chunk_length_s is not None:
            require(self.chunk_length_s * self.sampling_rate >= 1, "chunk_length_s", "above 0")
        if self.overlap is not None:
            require(0.0 <= self.overlap < 1.0, "overlap", "at least 0 and below 1")
        require(self.num_quantizers >= 1, "target_bandwidths", "enough for one codebook")

    def overridden(
        self, chunk_seconds: float | None, overlap: float | None, normalize: bool | None
    ) -> "EncodecConfig":
        """The same with other chunks; what is None stays.

        Raises:
            CodecConfigError: the values make no sense together.
        """
        config = self
        if chunk_seconds is not None:
            config = replace(config, chunk_length_s=chunk_seconds)
        if overlap is not None:
            if config.chunk_length_s is None:
                raise CodecConfigError("an overlap needs chunks: give the length of a chunk too")
            config = replace(config, overlap=overlap)
        return config if normalize is None else replace(config, normalize=normalize)

    @property
    def chunk_length(self) -> int | None:
        """Samples encoded at once, or None."""
        return chunk_length_samples(self.chunk_length_s, self.sampling_rate)

    @property
    def chunk_stride(self) -> int | None:
        """Samples from the start of a chunk to the start of the next, or None."""
        return chunk_stride_samples(self.chunk_length, self.overlap or 0.0)

    @property
    def hop_length(self) -> int:
        """Samples a frame stands for."""
        return math.prod(self.upsampling_ratios)

    @property
    def frame_rate(self) -> int:
        """Frames a second, rounded up as the published bandwidths are."""
        return math.ceil(self.sampling_rate / self.hop_length)

    @property
    def codebook_nbits(self) -> int:
        """Bits of one code."""
        return math.ceil(math.log2(self.codebook_size))

    @property
    def num_quantizers(self) -> int:
        """Codebooks the largest bandwidth has room for."""
        return self.num_quantizers_for(self.target_bandwidths[-1])

    def num_quantizers_for(self, bandwidth: float) -> int:
        """Codebooks that a bandwidth in kbps has room for, not limited by how many there are."""
        return int(1000 * bandwidth // (self.frame_rate * self.codebook_nbits))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "EncodecConfig":
        """The configuration in a parsed config.json.

        Raises:
            CodecConfigError: the file describes another kind of model, or values make no sense.
        """
        model_type = values.get("model_type", "encodec")
        if model_type != "encodec":
            raise CodecConfigError(f"config is of a {model_type!r} model; it must be 'encodec'")
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})

    @classmethod
    def from_file(cls, path: Path) -> "EncodecConfig":
        """The configuration in a config.json.

        Raises:
            CodecConfigError: the file is missing, is no JSON, or `from_dict` refuses it.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CodecConfigError(f"cannot read a configuration from {path}: {error}") from error
        if not isinstance(values, dict):
            raise CodecConfigError(f"{path} holds a {type(values).__name__}; it must be an object")
        return cls.from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a config.json that transformers reads too."""
        named = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}
        return {"model_type": "encodec", "architectures": ["EncodecModel"], **named}


ENCODEC_24KHZ = EncodecConfig()

ENCODEC_48KHZ = EncodecConfig(
    target_bandwidths=(3.0, 6.0, 12.0, 24.0),
    sampling_rate=48_000,
    audio_channels=2,
    normalize=True,
    chunk_length_s=1.0,
    overlap=0.01,
    norm_type="time_group_norm",
    use_causal_conv=False,
)
