"""What a benchmark is asked to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch

from codec.encodec.config import ENCODEC_24KHZ, ENCODEC_48KHZ, EncodecConfig
from tokenize_pipeline.errors import ConfigurationError

VARIANTS: Mapping[str, EncodecConfig] = MappingProxyType(
    {"24khz": ENCODEC_24KHZ, "48khz": ENCODEC_48KHZ}
)
BATCH_SIZES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"cpu": (1, 2, 4, 8), "cuda": (1, 8, 32, 64)}
)
SHORTEST_SECONDS = 0.1  # of a recording; what cutting leaves below that is dropped
DEFAULT_SECONDS: Mapping[str, float] = MappingProxyType({"cpu": 120.0, "cuda": 3600.0})
DEFAULT_ROUNDS = 5
DEFAULT_CODEBOOKS = 8


@dataclass(frozen=True)
class BenchmarkSettings:
    """The command line of a benchmark.

    Args:
        audio: files, folders and globs; synthetic recordings where there are none.
        device: "cpu" or "cuda".
        variants: names of the models to time.
        seconds: audio in all, after conversion to the rate of the model.
        num_codebooks: codebooks to encode with; one of the published bandwidths.
        threads: CPU threads, for both sides.
        rounds: times that every contestant encodes and decodes all audio.
        batch_sizes: those that transformers may choose from.
        output: JSON file to write, or None.
        markdown: Markdown file to write, or None.
    """

    audio: tuple[str, ...]
    device: str
    variants: tuple[str, ...]
    seconds: float
    num_codebooks: int
    threads: int
    rounds: int
    batch_sizes: tuple[int, ...]
    output: Path | None
    markdown: Path | None

    def check(self, configs: Mapping[str, EncodecConfig]) -> None:
        """Refuses what cannot be done, before minutes of work.

        Args:
            configs: models by the names of `variants`.

        Raises:
            ConfigurationError: and why.
        """
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ConfigurationError("--device cuda: torch finds no CUDA device; use --device cpu")
        if self.seconds < SHORTEST_SECONDS:
            raise ConfigurationError(f"--seconds must be at least {SHORTEST_SECONDS:g}")
        for name in self.variants:
            bandwidth_kbps(configs[name], self.num_codebooks)
        for path in (self.output, self.markdown):
            if path is not None and not path.parent.is_dir():
                raise ConfigurationError(f"cannot write {path}: there is no folder {path.parent}")


def bandwidth_kbps(config: EncodecConfig, num_codebooks: int) -> float:
    """The published bandwidth that stands for a number of codebooks; transformers asks for it.

    Raises:
        ConfigurationError: no published bandwidth has that many codebooks.
    """
    known = {config.num_quantizers_for(kbps): kbps for kbps in config.target_bandwidths}
    if num_codebooks not in known:
        counts = ", ".join(str(count) for count in known)
        raise ConfigurationError(
            f"no published bandwidth of the {config.sampling_rate} Hz model has {num_codebooks} "
            f"codebooks; choose one of {counts}"
        )
    return known[num_codebooks]
