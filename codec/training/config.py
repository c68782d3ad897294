"""How a codec is trained, as one value."""

from dataclasses import dataclass

from codec.errors import CodecConfigError


@dataclass(frozen=True)
class TrainingConfig:
    """How long, how fast, and on what. Sizes are those of one process.

    Raises:
        CodecConfigError: a value is out of its range.
    """

    imitate_steps: int = 800
    continuous_steps: int = 2800
    quantized_steps: int = 15000
    batch_size: int = 12
    excerpt_seconds: float = 0.5
    continuous_rate: float = 1.5e-3
    quantized_rate: float = 1e-3
    final_rate_ratio: float = 0.02  # of the rate at the end of the cosine
    mel_weight: float = 0.5
    waveform_weight: float = 1.0
    intelligibility_weight: float = 0.0
    commitment_weight: float = 0.25
    kmeans_frames_per_entry: int = 40
    kmeans_iterations: int = 20
    decay: float = 0.99
    dead_threshold: float = 2.0  # `threshold_ema_dead_code` of the quantizer
    dropout_share: float = 0.3  # of the batches use a random number of codebooks, the others all
    max_gradient_norm: float = 1.0
    discriminator_filters: int = 32
    bfloat16: bool = True  # for the convolutions; codebooks and losses stay float32
    mel_scales: tuple[tuple[int, int], ...] = ((256, 20), (512, 40), (1024, 64))
    adversarial: bool = False  # a discriminator judges too, once everything is quantized
    codebooks_only: bool = False  # encoder and decoder stay as they are
    log_every: int = 100
    checkpoint_every: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_size", "kmeans_frames_per_entry", "log_every", "checkpoint_every"):
            self._require(getattr(self, name) >= 1, name, "at least 1")
        for name in ("imitate_steps", "continuous_steps", "quantized_steps", "seed"):
            self._require(getattr(self, name) >= 0, name, "at least 0")
        for name in ("continuous_rate", "quantized_rate", "excerpt_seconds"):
            self._require(getattr(self, name) > 0, name, "above 0")
        self._require(self.intelligibility_weight >= 0, "intelligibility_weight", "at least 0")
        for name in ("dropout_share", "final_rate_ratio"):
            self._require(0 <= getattr(self, name) <= 1, name, "within 0 and 1")
        self._require(0 <= self.decay < 1, "decay", "at least 0 and below 1")

    def _require(self, holds: bool, name: str, wanted: str) -> None:
        if not holds:
            raise CodecConfigError(f"{name} is {getattr(self, name)!r}; it must be {wanted}")
