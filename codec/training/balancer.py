"""Weights of losses that mean what they say, however large their gradients are.

Dimension key: B batch, S samples.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from codec import processes

DECAY = 0.999


class LossBalancer:
    """Scales the gradient of each loss to its share of the whole.

    A loss of weight w gets w / (sum of weights) of the gradient at the decoded audio, as measured
    by a running average of the gradient's norm. So a discriminator whose loss is a hundred times
    that of a spectrum counts as much as its weight and no more.

    Source: "High Fidelity Neural Audio Compression" (2022), section 3.4, "Balancer".
    """

    def __init__(self, weights: Mapping[str, float], decay: float = DECAY) -> None:
        """Takes a weight for each loss there will be."""
        self._weights = dict(weights)
        self._decay = decay
        self._norms = dict.fromkeys(weights, 0.0)  # decaying sums of the norms seen
        self._seen = 0.0  # decaying count

    def gradient(self, losses: Mapping[str, Tensor], decoded_BS: Tensor) -> Tensor:
        """The balanced gradient at the decoded audio, [B, S]; the graph below it is kept."""
        gradients = {
            name: torch.autograd.grad(loss, decoded_BS, retain_graph=True)[0]
            for name, loss in losses.items()
        }
        norms = self._averaged({name: g.norm(dim=1).mean() for name, g in gradients.items()})
        self._seen = self._decay * self._seen + 1
        total_BS = torch.zeros_like(decoded_BS)
        for name, gradient_BS in gradients.items():
            self._norms[name] = self._decay * self._norms[name] + norms[name]
            typical = max(self._norms[name] / self._seen, 1e-12)
            share = self._weights[name] / sum(self._weights[key] for key in losses)
            total_BS += share / typical * gradient_BS
        return total_BS

    def state_dict(self) -> dict[str, float]:
        """What it has seen."""
        return {**self._norms, "seen": self._seen}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Takes up what `state_dict` gave."""
        self._norms = {name: state[name] for name in self._weights}
        self._seen = state["seen"]

    def _averaged(self, norms: Mapping[str, Tensor]) -> dict[str, float]:
        """The norms over all processes."""
        both = torch.stack(list(norms.values()))
        processes.averaged([both])
        return dict(zip(norms, both.tolist(), strict=True))
