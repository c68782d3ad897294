"""What a verification was asked to do, as one value."""

from dataclasses import dataclass

from tokenize_pipeline.config import DEFAULT_SHARD_TIMEOUT_SECONDS
from tokenize_pipeline.errors import ConfigurationError

DEFAULT_FRACTION = 0.01  # of the audio; costs a few hundredths of what tokenizing it cost


@dataclass(frozen=True)
class VerifyConfig:
    """Everything the user can choose. Filled by the command line; raises on what cannot be.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    output: str  # of the run
    fraction: float = DEFAULT_FRACTION  # of the audio of each shard, to decode and compare
    deep: bool = False  # decode every row
    report: str | None = None  # where the report goes; OUTPUT/report.html when None
    device: str = "cpu"  # of a verification without a cluster
    workers: int | None = None  # None: as many as the cluster has room for
    gpus_per_worker: float | None = None  # None: 1 where the cluster has GPUs, else 0
    cpus_per_worker: float = 1.0
    gpu_slots: int | None = None  # of the codec's grid on a GPU, as the run had them
    address: str | None = None  # of the Ray cluster
    shard_timeout_seconds: float = DEFAULT_SHARD_TIMEOUT_SECONDS  # without any progress

    def __post_init__(self) -> None:
        if not 0 <= self.fraction <= 1:
            raise ConfigurationError(f"--fraction must lie within 0 and 1, got {self.fraction:g}")
        if self.workers is not None and self.workers < 1:
            raise ConfigurationError(f"--workers must be greater than 0, got {self.workers}")

    @property
    def share(self) -> float:
        """Of the audio of each shard, to decode and compare."""
        return 1.0 if self.deep else self.fraction

    @property
    def threads_per_worker(self) -> int:
        """Threads that encode and decode."""
        return max(1, round(self.cpus_per_worker))
