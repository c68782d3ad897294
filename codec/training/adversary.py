"""The other side of adversarial training: a discriminator that learns as the codec does.

Dimension key: B batch, S samples.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from codec import processes
from codec.errors import TrainingError
from codec.training.discriminator import (
    MultiScaleSTFTDiscriminator,
    deception_loss,
    discriminator_loss,
    feature_loss,
)

WINDOWS_SAMPLES = (2048, 1024, 512, 256, 128)
RATE = 3e-4
BETAS = (0.5, 0.9)
SHARE_OF_STEPS = 2 / 3  # in which it learns; learning always, it would win too easily

# Of the gradient at the decoded audio. Source for all constants here: "High Fidelity Neural Audio
# Compression" (2022), sections 3.4 and 4.4.
WEIGHTS = {"waveform": 0.1, "mel": 1.0, "deception": 3.0, "features": 3.0}


class Adversary:
    """A discriminator with its optimizer; the same in all processes."""

    def __init__(
        self,
        device: torch.device,
        excerpt_samples: int,
        seed: int,
        num_filters: int,
        *,
        bfloat16: bool,
    ) -> None:
        """Makes a discriminator of `num_filters`, with the windows that fit an excerpt.

        Raises:
            TrainingError: no window does.
        """
        windows = [window for window in WINDOWS_SAMPLES if window <= excerpt_samples]
        if not windows:
            raise TrainingError(
                f"a discriminator needs excerpts of at least {WINDOWS_SAMPLES[-1]} samples, not "
                f"{excerpt_samples}"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.discriminator = MultiScaleSTFTDiscriminator(windows, num_filters).to(device)
        processes.copied_from_first(parameter.data for parameter in self.discriminator.parameters())
        self._optimizer = torch.optim.Adam(self.discriminator.parameters(), betas=BETAS)
        self._bfloat16 = bfloat16
        self._device = device
        self._seed = seed

    def learn(self, real_BS: Tensor, fake_BS: Tensor, step: int, annealed: float) -> Tensor:
        """Learns to tell the two apart, in some of the steps; the loss.

        Args:
            real_BS: audio.
            fake_BS: the same, decoded.
            step: decides, with the seed, whether it learns now.
            annealed: what is left of the learning rate, 0 to 1.
        """
        with self._precision():
            real, fake = self.discriminator(real_BS), self.discriminator(fake_BS.detach())
            loss = discriminator_loss(real, fake)
        generator = torch.Generator().manual_seed(self._seed * 1_000_000_007 + step)
        if float(torch.rand(1, generator=generator)) < SHARE_OF_STEPS:
            for group in self._optimizer.param_groups:
                group["lr"] = RATE * annealed
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            parameters = self.discriminator.parameters()
            processes.averaged(p.grad for p in parameters if p.grad is not None)
            self._optimizer.step()
        return loss.detach()

    def losses(self, real_BS: Tensor, fake_BS: Tensor) -> dict[str, Tensor]:
        """What the codec is judged by: deception, and features as those of real audio."""
        with self._precision():
            with torch.no_grad():
                real = self.discriminator(real_BS)
            fake = self.discriminator(fake_BS)
            return {"deception": deception_loss(fake), "features": feature_loss(real, fake)}

    def state_dict(self) -> dict[str, Any]:
        """Weights and optimizer."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state_dict` gave."""
        self.discriminator.load_state_dict(state["discriminator"])
        self._optimizer.load_state_dict(state["optimizer"])

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16)
