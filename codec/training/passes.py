"""How audio goes through a codec in each stage of its training.

Dimension key: B batch, S samples, D latent width, T frames, K codebooks.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from codec import processes
from codec.encodec.model import EncodecModel
from codec.training.config import TrainingConfig
from codec.training.initialization import PrincipalComponents


@dataclass(frozen=True)
class Pass:
    """What came out, and what it costs apart from how it sounds."""

    decoded: Tensor  # [B, S]
    cost: Tensor  # added to the loss of the decoded audio
    figures: dict[str, Tensor] = field(default_factory=dict)  # to look at


class Passes:
    """The ways through a codec; convolutions in bfloat16 if the configuration says so."""

    def __init__(self, model: EncodecModel, config: TrainingConfig) -> None:
        self._model = model
        self._commitment_weight = config.commitment_weight
        # Codebooks alone are fitted to the latents that they will get when codes are made.
        self._bfloat16 = config.bfloat16 and not config.codebooks_only
        self._frame_rate = model.config.sampling_rate / model.config.hop_length
        self.latent_variance = 1.0  # when quantization began; see `quantized`

    def imitate(self, audio_BS: Tensor, components: PrincipalComponents) -> Pass:
        """Encoder and decoder apart: both learn what the principal components do."""
        wanted_BDT = components.encode(audio_BS)
        latent = functional.mse_loss(self.encode(audio_BS), wanted_BDT)
        return Pass(self.decode(wanted_BDT), latent, {"latent": latent})

    def continuous(self, audio_BS: Tensor) -> Pass:
        """Encoder, then decoder."""
        return Pass(self.decode(self.encode(audio_BS)), audio_BS.new_zeros(()))

    def quantized(self, audio_BS: Tensor) -> Pass:
        """Encoder, quantizer, decoder.

        The penalty is relative to the variance that the latent had when quantization began.
        Relative to its present energy, latents would grow without bound.
        """
        result = self._model.quantizer(self.encode(audio_BS), self._frame_rate)
        commitment = result.penalty / self.latent_variance
        cost = self._commitment_weight * commitment
        return Pass(self.decode(result.quantized), cost, {"commitment": commitment})

    @torch.no_grad()
    def codebooks(self, audio_BS: Tensor) -> Pass:
        """As `quantized`; only the codebooks learn."""
        return self.quantized(audio_BS)

    @torch.no_grad()
    def begin_quantization(self, batches: Iterable[Tensor]) -> list[float]:
        """Measures the latent, and lets codebooks that have no entries yet gather frames of it.

        Args:
            batches: of audio; as many are taken as k-means wants.

        Returns:
            The share of the variance left by 1, 2, ... codebooks.
        """
        quantizer, wanted = self._model.quantizer, self._model.quantizer.frames_wanted
        moments = torch.zeros(3, dtype=torch.float64)  # how many values, their sum, their squares
        frames, z_BDT = 0, torch.zeros(0)
        for audio_BS in batches:
            z_BDT = self.encode(audio_BS)
            moments += _moments(z_BDT.double().cpu())
            frames += processes.count() * z_BDT.shape[0] * z_BDT.shape[2]
            if not quantizer.is_fitted:
                quantizer(z_BDT, self._frame_rate)
            if quantizer.is_fitted and frames >= wanted:
                break
        count, total, squares = processes.summed(moments.to(z_BDT.device)).tolist()
        self.latent_variance = max(squares / count - (total / count) ** 2, 1e-12)
        return self._remaining(z_BDT)

    def encode(self, audio_BS: Tensor) -> Tensor:
        """The latent, float32 [B, D, T]."""
        with torch.autocast(audio_BS.device.type, torch.bfloat16, enabled=self._bfloat16):
            z_BDT: Tensor = self._model.encoder(audio_BS[:, None])
        return z_BDT.float()

    def decode(self, z_BDT: Tensor) -> Tensor:
        """The audio, float32 [B, S]."""
        with torch.autocast(z_BDT.device.type, torch.bfloat16, enabled=self._bfloat16):
            decoded_BCS: Tensor = self._model.decoder(z_BDT)
        return decoded_BCS[:, 0].float()

    def _remaining(self, z_BDT: Tensor) -> list[float]:
        quantizer = self._model.quantizer
        codes_BKT = quantizer.search(z_BDT, len(quantizer))
        variance = float(z_BDT.var())
        found = (quantizer.lookup(codes_BKT[:, :k]) for k in range(1, len(quantizer) + 1))
        return [float((z_BDT - found_BDT).var()) / variance for found_BDT in found]


def _moments(values: Tensor) -> Tensor:
    """How many values there are, their sum, and that of their squares."""
    count = values.new_tensor(values.numel())
    return torch.stack([count, values.sum(), values.square().sum()])
