"""Random excerpts of recordings held in memory.

Dimension key: B batch, S samples.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


class Excerpts:
    """Draws batches of excerpts of one length, every second of audio equally likely.

    Recordings shorter than an excerpt are repeated to fill it. Half of the excerpts are scaled by a
    random gain, so that the codec learns more than one level.
    """

    def __init__(
        self,
        recordings: Sequence[Tensor],
        weights: Sequence[float],
        excerpt_samples: int,
        generator: torch.Generator,
    ) -> None:
        """Takes mono recordings, [S] each, int16 or float, and how often to draw from each.

        Args:
            recordings: int16, to hold hours in little memory.
            weights: relative probability of each recording.
            excerpt_samples: length of an excerpt.
            generator: source of all randomness.

        Raises:
            ValueError: there are no recordings.
        """
        if not recordings:
            raise ValueError("no recordings to train on")
        self._recordings = recordings
        self._weights = torch.tensor(weights, dtype=torch.float64)
        self._samples = excerpt_samples
        self._generator = generator

    def batch(self, size: int) -> Tensor:
        """Float [B, S], within -1 and 1."""
        chosen = torch.multinomial(self._weights, size, True, generator=self._generator)
        excerpts = torch.stack([self._excerpt(self._recordings[i]) for i in chosen.tolist()])
        gains = torch.empty(size, 1).uniform_(-12.0, 6.0, generator=self._generator)
        unchanged = torch.rand(size, 1, generator=self._generator) < 0.5
        gains[unchanged] = 0.0
        return (excerpts.float() / 32768 * 10 ** (gains / 20)).clamp(-1, 1)

    def _excerpt(self, recording: Tensor) -> Tensor:
        if len(recording) < self._samples:
            recording = recording.repeat(-(-self._samples // len(recording)))
        last_start = len(recording) - self._samples
        start = int(torch.randint(last_start + 1, (1,), generator=self._generator))
        return recording[start : start + self._samples]
