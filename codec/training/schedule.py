"""Which stage a step belongs to, and how fast to learn in it."""

import math
from dataclasses import dataclass
from enum import Enum

from codec.training.config import TrainingConfig


class Stage(Enum):
    """What is learned."""

    IMITATE = "imitate"  # encoder and decoder learn a linear codec, each for itself
    CONTINUOUS = "continuous"  # the two learn each other, without quantizer
    QUANTIZED = "quantized"  # everything learns, through the quantizer
    CODEBOOKS = "codebooks"  # only the codebooks learn


@dataclass(frozen=True)
class Schedule:
    """Stages one after the other; a stage may have no steps."""

    config: TrainingConfig

    @property
    def first_quantized(self) -> int:
        """The step with which codebooks begin to be used; k-means comes before it."""
        if self.config.codebooks_only:
            return 0
        return self.config.imitate_steps + self.config.continuous_steps

    @property
    def last(self) -> int:
        """The number of steps there are."""
        return self.first_quantized + self.config.quantized_steps

    def stage(self, step: int) -> Stage:
        """The stage of a step, counted from 0."""
        if self.config.codebooks_only:
            return Stage.CODEBOOKS
        if step < self.config.imitate_steps:
            return Stage.IMITATE
        return Stage.CONTINUOUS if step < self.first_quantized else Stage.QUANTIZED

    def rate(self, step: int) -> float:
        """Learning rate: constant, and once everything is quantized half a cosine."""
        if step < self.first_quantized:
            return self.config.continuous_rate
        return self.config.quantized_rate * self.annealed(step)

    def annealed(self, step: int) -> float:
        """What of a rate is left in the quantized stage: from 1 to `final_rate_ratio`."""
        done = (step - self.first_quantized) / max(1, self.config.quantized_steps)
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, done))))
        return self.config.final_rate_ratio + (1 - self.config.final_rate_ratio) * cosine
