"""Trains an EnCodec in four stages, each resumable.

    imitate    encoder and decoder learn a linear codec, so that waveforms correlate from the start
    continuous the two are trained as one, without quantizer
    (k-means)  codebooks are fitted to latents of many batches
    quantized  everything is trained through the quantizer, a random number of codebooks at a time

Dimension key: B batch, C channels, S samples, D latent width, T frames, K codebooks, N vectors.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from codec.encodec.config import EncodecConfig
from codec.encodec.model import EncodecModel
from codec.quantization.learning import fit_kmeans, replace_dead, update_averages
from codec.training.excerpts import Excerpts
from codec.training.initialization import PrincipalComponents, calibrate
from codec.training.losses import MelLoss, waveform_loss


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how fast to train."""

    imitate_steps: int = 800
    continuous_steps: int = 2800
    quantized_steps: int = 15000
    batch_size: int = 12
    continuous_rate: float = 1.5e-3
    quantized_rate: float = 1e-3
    final_rate_ratio: float = 0.02  # of the rate at the end of the cosine
    mel_weight: float = 0.5
    waveform_weight: float = 1.0
    commitment_weight: float = 0.25
    kmeans_vectors_per_entry: int = 40
    kmeans_iterations: int = 20
    decay: float = 0.99
    dead_threshold: float = 0.1  # of the usage expected of a live entry
    replace_every: int = 200  # steps between looks for dead entries
    all_codebooks_share: float = 0.7  # of the batches use every codebook, the others fewer
    max_gradient_norm: float = 1.0
    bfloat16: bool = True  # for the convolutions; codebooks and losses stay float32
    mel_scales: tuple[tuple[int, int], ...] = ((256, 20), (512, 40), (1024, 64))
    log_every: int = 100
    checkpoint_every: int = 500
    seed: int = 0


class Trainer:
    """Holds a model, its optimizer and where training is."""

    def __init__(
        self,
        model_config: EncodecConfig,
        config: TrainingConfig,
        excerpts: Excerpts,
        generator: torch.Generator,
        checkpoint_path: Path,
        report: Callable[[str], None],
    ) -> None:
        """Builds the model, or takes up the checkpoint if there is one.

        Args:
            model_config: mono and causal.
            config: how to train.
            excerpts: the audio; drawn with `generator`.
            generator: the source of all randomness; its state is in the checkpoint.
            checkpoint_path: written every so often and read at the start.
            report: takes lines about the progress.
        """
        torch.manual_seed(config.seed)
        self.model = EncodecModel(model_config).train()
        self.config = config
        self._excerpts = excerpts
        self._generator = generator
        self._checkpoint_path = checkpoint_path
        self._report = report
        self._mel = MelLoss(model_config.sampling_rate, config.mel_scales)
        self._step = 0
        self._latent_variance = 1.0
        self._sums: dict[str, float] = {}
        self._optimizer = torch.optim.Adam(self.model.parameters(), betas=(0.8, 0.99))
        if checkpoint_path.exists():
            self._load()
        else:
            calibrate(self.model, self._audio(4 * config.batch_size)[:, None])

    def run(self) -> EncodecModel:
        """Trains to the end and returns the model in eval mode."""
        config = self.config
        components = PrincipalComponents(
            self._audio(256), self.model.config.hop_length, self.model.config.hidden_size
        )
        first, second = config.imitate_steps, config.imitate_steps + config.continuous_steps
        last = second + config.quantized_steps
        while self._step < last:
            if self._step == second:
                self._fit_codebooks()
            audio_BS = self._audio(config.batch_size)
            if self._step < first:
                loss = self._imitation_loss(audio_BS, components)
            elif self._step < second:
                loss = self._reconstruction_loss(audio_BS, self._decode(self._encode(audio_BS)))
            else:
                loss = self._quantized_loss(audio_BS)
            self._update(loss, self._rate(second, last))
            self._step += 1
            self._log_and_save(last)
        return self.model.eval()

    def _audio(self, size: int) -> Tensor:
        return self._excerpts.batch(size)

    def _imitation_loss(self, audio_BS: Tensor, components: PrincipalComponents) -> Tensor:
        wanted_BDT = components.encode(audio_BS)
        found_BDT, decoded_BS = self._encode(audio_BS), self._decode(wanted_BDT)
        latent = nn.functional.mse_loss(found_BDT, wanted_BDT)
        self._track(latent=latent)
        return latent + self._reconstruction_loss(audio_BS, decoded_BS)

    def _encode(self, audio_BS: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.bfloat16):
            z_BDT: Tensor = self.model.encoder(audio_BS[:, None])
        return z_BDT.float()

    def _decode(self, z_BDT: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.bfloat16):
            decoded_BCS: Tensor = self.model.decoder(z_BDT)
        return decoded_BCS[:, 0].float()

    def _reconstruction_loss(self, wanted_BS: Tensor, found_BS: Tensor) -> Tensor:
        mel: Tensor = self._mel(wanted_BS, found_BS)
        waveform = waveform_loss(wanted_BS, found_BS)
        error_B = (wanted_BS - found_BS).square().sum(1)
        snr = 10 * (wanted_BS.square().sum(1) / error_B.clamp(min=1e-9) + 1e-9).log10()
        self._track(mel=mel, waveform=waveform, snr_db=snr.clamp(-20, 40).mean())
        return self.config.mel_weight * mel + self.config.waveform_weight * waveform

    def _quantized_loss(self, audio_BS: Tensor) -> Tensor:
        num_codebooks = self._draw_num_codebooks()
        quantized_BDT, commitment = self._quantize_and_learn(self._encode(audio_BS), num_codebooks)
        loss = self._reconstruction_loss(audio_BS, self._decode(quantized_BDT))
        self._track(commitment=commitment)
        return loss + self.config.commitment_weight * commitment

    def _draw_num_codebooks(self) -> int:
        if float(torch.rand(1, generator=self._generator)) < self.config.all_codebooks_share:
            return len(self.model.quantizer)
        return int(torch.randint(len(self.model.quantizer), (1,), generator=self._generator)) + 1

    def _quantize_and_learn(self, z_BDT: Tensor, num_codebooks: int) -> tuple[Tensor, Tensor]:
        """Straight-through quantized latent and the commitment penalty; codebooks are updated.

        The penalty is relative to the variance the latent had when quantization began. Relative to
        its present energy, latents would grow without bound.
        """
        z_ND = z_BDT.transpose(1, 2).reshape(-1, z_BDT.shape[1])
        residual_ND, quantized_ND = z_ND.detach(), torch.zeros_like(z_ND)
        penalties = []
        for k in range(num_codebooks):
            codebook = self.model.quantizer[k]
            codes_N = codebook.nearest(residual_ND)
            chosen_ND = codebook.lookup(codes_N)
            quantized_ND = quantized_ND + chosen_ND
            penalties.append((z_ND - quantized_ND).square().mean() / self._latent_variance)
            with torch.no_grad():
                update_averages(codebook, residual_ND, codes_N, self.config.decay)
                if self._step % self.config.replace_every == 0:
                    threshold = self.config.dead_threshold
                    replace_dead(codebook, residual_ND, threshold, self._generator)
            residual_ND = residual_ND - chosen_ND
        straight_ND = z_ND + (quantized_ND - z_ND).detach()
        batch, width, frames = z_BDT.shape
        quantized_BDT = straight_ND.view(batch, frames, width).transpose(1, 2)
        return quantized_BDT, torch.stack(penalties).mean()

    @torch.no_grad()
    def _fit_codebooks(self) -> None:
        """k-means over latents of as many batches as give several vectors for every entry."""
        wanted = self.config.kmeans_vectors_per_entry * self.model.config.codebook_size
        gathered: list[Tensor] = []
        while sum(len(z_ND) for z_ND in gathered) < wanted:
            z_BDT = self._encode(self._audio(self.config.batch_size))
            gathered.append(z_BDT.transpose(1, 2).reshape(-1, z_BDT.shape[1]))
        residual_ND = torch.cat(gathered)
        self._latent_variance = float(residual_ND.var())
        for k in range(len(self.model.quantizer)):
            codebook = self.model.quantizer[k]
            fit_kmeans(codebook, residual_ND, self.config.kmeans_iterations, self._generator)
            residual_ND = residual_ND - codebook.lookup(codebook.nearest(residual_ND))
            share = float(residual_ND.var()) / self._latent_variance
            self._report(f"codebook {k + 1}: {share:.3f} of the variance is left")

    def _rate(self, second: int, last: int) -> float:
        config = self.config
        if self._step < second:
            return config.continuous_rate
        done = (self._step - second) / max(1, last - second)
        cosine = 0.5 * (1 + math.cos(math.pi * done))
        ratio = config.final_rate_ratio + (1 - config.final_rate_ratio) * cosine
        return config.quantized_rate * ratio

    def _update(self, loss: Tensor, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.max_gradient_norm)
        self._optimizer.step()

    def _track(self, **values: Tensor) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value.detach())

    def _log_and_save(self, last: int) -> None:
        if self._step % self.config.log_every == 0:
            means = {name: total / self.config.log_every for name, total in self._sums.items()}
            figures = "  ".join(f"{name} {mean:.3f}" for name, mean in means.items())
            self._report(f"step {self._step} of {last}  {figures}")
            self._sums = {}
        if self._step % self.config.checkpoint_every == 0 or self._step == last:
            self._save()

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "generator": self._generator.get_state(),
            "step": self._step,
            "latent_variance": self._latent_variance,
        }
        temporary = self._checkpoint_path.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(self._checkpoint_path)

    def _load(self) -> None:
        state = torch.load(self._checkpoint_path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["generator"])
        self._step = state["step"]
        self._latent_variance = state["latent_variance"]
        self._report(f"resumed at step {self._step}")
