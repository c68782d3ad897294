"""What a training tells whoever watches it."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor


class TrainingLog(Protocol):
    """Takes what there is to show; see `tokenize_pipeline.codec_training.display` for one."""

    def note(self, text: str) -> None:
        """Something happened."""
        ...

    def advance(self, step: int, last: int) -> None:
        """A step was taken; called after each."""
        ...

    def figures(self, step: int, last: int, means: Mapping[str, float]) -> None:
        """Means over the steps since the last figures."""
        ...


class SilentLog:
    """Shows nothing: for all processes but the first."""

    def note(self, text: str) -> None:
        """Nothing."""

    def advance(self, step: int, last: int) -> None:
        """Nothing."""

    def figures(self, step: int, last: int, means: Mapping[str, float]) -> None:
        """Nothing."""


class RunningMeans:
    """Means of values that stay on their device until somebody asks."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Takes a value of each name."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach().float()
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """The means; begins anew."""
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means
