"""Random excerpts of recordings held in memory.

Dimension key: B batch, S samples.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from codec.errors import TrainingError


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
    ) -> None:
        """Takes mono recordings, [S] each, int16 or float, and how often to draw from each.

        Args:
            recordings: int16, to hold hours in little memory.
            weights: relative probability of each recording.
            excerpt_samples: length of an excerpt.

        Raises:
            TrainingError: there are no recordings, or one of no samples.
        """
        if not recordings or not all(map(len, recordings)):
            raise TrainingError("training needs recordings, of at least one sample each")
        self._recordings = recordings
        self._weights = torch.tensor(weights, dtype=torch.float64)
        self.excerpt_samples = excerpt_samples

    @property
    def num_samples(self) -> int:
        """Length of all recordings together."""
        return sum(len(recording) for recording in self._recordings)

    def batch(self, size: int, generator: torch.Generator) -> Tensor:
        """Float [B, S], within -1 and 1; the generator decides all that is random."""
        chosen = torch.multinomial(self._weights, size, True, generator=generator)
        recordings = (self._recordings[index] for index in chosen.tolist())
        excerpts = torch.stack([self._excerpt(recording, generator) for recording in recordings])
        gains = torch.empty(size, 1).uniform_(-12.0, 6.0, generator=generator)
        unchanged = torch.rand(size, 1, generator=generator) < 0.5
        gains[unchanged] = 0.0
        return (excerpts.float() / 32768 * 10 ** (gains / 20)).clamp(-1, 1)

    def _excerpt(self, recording: Tensor, generator: torch.Generator) -> Tensor:
        if len(recording) < self.excerpt_samples:
            recording = recording.repeat(-(-self.excerpt_samples // len(recording)))
        last_start = len(recording) - self.excerpt_samples
        start = int(torch.randint(last_start + 1, (1,), generator=generator))
        return recording[start : start + self.excerpt_samples]
