"""What a run was asked to do, as one value."""

from dataclasses import dataclass
from typing import Any

from codec.base import PRECISIONS, CodecSpec
from tokenize_pipeline.audio_limits import KEEPABLE, MAX_SECONDS, AudioPolicy
from tokenize_pipeline.credentials import refuse_secrets
from tokenize_pipeline.errors import ConfigurationError

DEFAULT_CODEBOOKS = 8  # or all a codec has, where it has fewer
DEFAULT_CODEC = "encodec_24khz"
DEFAULT_MAX_REJECTED = 0.01
DEFAULT_SHARD_TIMEOUT_SECONDS = 1800.0


@dataclass(frozen=True)
class TokenizeConfig:
    """Everything the user can choose. Filled by the command line; raises on what cannot be.

    Raises:
        ConfigurationError: a value is out of its range, or two contradict each other.
    """

    sources: tuple[str, ...]
    output: str
    codec: str = DEFAULT_CODEC
    bandwidth_kbps: float | None = None
    num_codebooks: int | None = None  # see `codebooks`
    chunk_seconds: float | None = None  # None, here and in the next two: the checkpoint's own
    overlap: float | None = None  # fraction of a chunk
    normalize: bool | None = None
    precision: str = PRECISIONS[0]  # of the network
    row_seconds: float | None = None  # None: one row a recording
    min_seconds: float = 0.0  # shorter recordings are rejected
    max_seconds: float = MAX_SECONDS  # longer ones too
    keep: tuple[str, ...] = ()  # codes that are flagged instead of rejected
    max_rejected: float = DEFAULT_MAX_REJECTED  # fraction of recordings
    shard_timeout_seconds: float = DEFAULT_SHARD_TIMEOUT_SECONDS  # without any progress
    workers: int | None = None  # None: as many as the cluster has room for
    gpus_per_worker: float | None = None  # None: 1 where the cluster has GPUs, else 0
    cpus_per_worker: float = 1.0
    gpu_slots: int | None = None  # recordings that a GPU works on at once; None: the codec's own
    address: str | None = None  # of the Ray cluster
    dry_run: bool = False

    def __post_init__(self) -> None:
        if not self.sources:
            raise ConfigurationError("no source given")
        for url in (*self.sources, self.output, self.codec):
            refuse_secrets(url)
        if self.bandwidth_kbps is not None and self.num_codebooks is not None:
            raise ConfigurationError("give --bandwidth or --num-codebooks, not both")
        _check_positive("--row-seconds", self.row_seconds)
        _check_positive("--chunk-seconds", self.chunk_seconds)
        _check_positive("--workers", self.workers)
        _check_positive("--shard-timeout", self.shard_timeout_seconds)
        _check_positive("--cpus-per-worker", self.cpus_per_worker)
        _check_positive("--max-seconds", self.max_seconds)
        if not 0 <= self.min_seconds <= self.max_seconds <= MAX_SECONDS:
            raise ConfigurationError(
                "0 <= --min-seconds <= --max-seconds <= "
                f"{MAX_SECONDS:g} must hold, got {self.min_seconds:g} and {self.max_seconds:g}"
            )
        if unknown := set(self.keep) - set(KEEPABLE):
            raise ConfigurationError(
                f"--keep takes {', '.join(KEEPABLE)}, got {', '.join(sorted(unknown))}; recordings "
                "rejected for other reasons have no audio to keep"
            )
        _check_positive("--gpu-slots", self.gpu_slots)
        _check_fraction("--max-rejected", self.max_rejected)
        _check_fraction("--overlap", self.overlap)
        if self.precision not in PRECISIONS:
            known = " or ".join(PRECISIONS)
            raise ConfigurationError(f"--precision must be {known}, got {self.precision}")
        if self.gpus_per_worker is not None and self.gpus_per_worker < 0:
            got = f"{self.gpus_per_worker:g}"
            raise ConfigurationError(f"--gpus-per-worker must not be negative, got {got}")

    @property
    def threads_per_worker(self) -> int:
        """Threads that decode, and threads that encode: one of each for every CPU."""
        return max(1, round(self.cpus_per_worker))

    @property
    def audio_policy(self) -> AudioPolicy:
        """Which recordings are taken."""
        return AudioPolicy(self.min_seconds, self.max_seconds, tuple(sorted(set(self.keep))))

    def codec_options(self) -> dict[str, Any]:
        """What of the checkpoint is replaced: arguments of `load_codec` that were given."""
        arguments = {
            "chunk_seconds": self.chunk_seconds,
            "overlap": self.overlap,
            "normalize": self.normalize,
            "gpu_slots": self.gpu_slots,  # kernels round differently for another grid
        }
        return {name: value for name, value in arguments.items() if value is not None}

    def codebooks(self, spec: CodecSpec) -> int:
        """Codebooks to make: those asked for, else the smaller of 8 and what the codec has.

        Raises:
            UnsupportedBandwidthError: the codec has no such bandwidth or number of codebooks.
        """
        if self.bandwidth_kbps is not None:
            return spec.codebooks_for_bandwidth(self.bandwidth_kbps)
        if self.num_codebooks is not None:
            return spec.check_num_codebooks(self.num_codebooks)
        return min(DEFAULT_CODEBOOKS, spec.num_codebooks)

    def row_frames(self, spec: CodecSpec) -> int | None:
        """Frames of a full row; None for one row a recording.

        Raises:
            ConfigurationError: the codec works in chunks, whose overlap rows would break.
        """
        if self.row_seconds is None:
            return None
        if spec.chunk_samples is not None:
            seconds = spec.chunk_samples / spec.sample_rate
            raise ConfigurationError(
                f"--row-seconds cannot be used with {spec.name}, which works in overlapping chunks "
                f"of {seconds:g} s: rows would break them"
            )
        return max(1, int(self.row_seconds * spec.sample_rate / spec.hop_samples))


def _check_positive(option: str, value: float | None) -> None:
    if value is not None and not value > 0:
        raise ConfigurationError(f"{option} must be greater than 0, got {value:g}")


def _check_fraction(option: str, value: float | None) -> None:
    if value is not None and not 0 <= value <= 1:
        raise ConfigurationError(f"{option} must lie within 0 and 1, got {value:g}")
