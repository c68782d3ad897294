"""Trains an EnCodec in stages, in one process or many.

    imitate    encoder and decoder learn a linear codec, so that waveforms correlate from the start
    continuous the two are trained as one, without quantizer
    (k-means)  codebooks are fitted to latents of many batches
    quantized  everything is trained through the quantizer, a random number of codebooks at a time

A codec that was trained before begins with the last stage. Dimension key: B batch, S samples.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from codec import processes
from codec.encodec.config import EncodecConfig
from codec.encodec.model import EncodecModel
from codec.errors import TrainingError
from codec.training.adversary import WEIGHTS, Adversary
from codec.training.balancer import LossBalancer
from codec.training.checkpoint import load_checkpoint, save_checkpoint
from codec.training.config import TrainingConfig
from codec.training.excerpts import Excerpts
from codec.training.initialization import PrincipalComponents, calibrate
from codec.training.intelligibility import IntelligibilityLoss
from codec.training.log import RunningMeans, SilentLog, TrainingLog
from codec.training.losses import MelLoss, signal_to_noise_db, waveform_loss
from codec.training.passes import Pass, Passes
from codec.training.schedule import Schedule, Stage

_COMPONENT_EXCERPTS = 256  # that the principal components are taken from


def untrained_model(config: EncodecConfig, seed: int) -> EncodecModel:
    """A model with random weights, whose codebooks wait for k-means."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = EncodecModel(config)
    model.quantizer.restart()
    return model


class Trainer:
    """Holds a model, its optimizer and where training is.

    Each process makes one, with excerpts of its own; gradients and codebooks are those of all.
    """

    def __init__(
        self,
        model: EncodecModel,
        config: TrainingConfig,
        excerpts: Excerpts,
        checkpoint_path: Path,
        log: TrainingLog,
        device: str | torch.device = "cpu",
    ) -> None:
        """Takes up the checkpoint if there is one, or begins with the model as it is.

        Args:
            model: mono; `untrained_model`, or one that was trained before.
            config: how to train.
            excerpts: the audio.
            checkpoint_path: written every so often and read at the start.
            log: of process 0; what other processes have to say is not shown.
            device: where to train.

        Raises:
            TrainingError: the model is not mono, an excerpt is too short, or the checkpoint is of
                another model.
        """
        _check(model.config, config, excerpts)
        self.model = model.to(device).train()
        self.config = config
        self.schedule = Schedule(config)
        self.step = 0
        self._device = torch.device(device)
        self._excerpts = excerpts
        self._generator = torch.Generator().manual_seed(config.seed + 7919 * processes.rank())
        self._checkpoint_path = checkpoint_path
        self._log = log if processes.rank() == 0 else SilentLog()
        self._means = RunningMeans()
        self._mel = MelLoss(model.config.sampling_rate, config.mel_scales).to(self._device)
        intelligibility = _intelligibility_loss(model.config, config, excerpts)
        self._intelligibility = intelligibility and intelligibility.to(self._device)
        self._passes = Passes(self.model, config)
        self._optimizer = torch.optim.Adam(self.model.parameters(), betas=(0.8, 0.99))
        self._adversary = self._make_adversary()
        weights = {**WEIGHTS, "intelligibility": config.intelligibility_weight}
        self._balancer = LossBalancer(weights)
        self._components: PrincipalComponents | None = None
        self._set_up_quantizer()
        if checkpoint_path.exists():
            self._resume()
        else:
            self._begin()

    def run(self) -> EncodecModel:
        """Trains to the end and returns the model in eval mode."""
        while self.step < self.schedule.last:
            if self.step == self.schedule.first_quantized:
                self._begin_quantization()
            audio_BS = self._audio(self.config.batch_size, self._generator)
            self._take_step(self._pass(audio_BS), audio_BS)
            self.step += 1
            self._log_and_save()
        return self.model.eval()

    def _set_up_quantizer(self) -> None:
        quantizer = self.model.quantizer
        quantizer.decay = self.config.decay
        quantizer.threshold_ema_dead_code = self.config.dead_threshold
        quantizer.quantizer_dropout = not self.config.codebooks_only
        quantizer.dropout_share = self.config.dropout_share
        quantizer.kmeans_iters = self.config.kmeans_iterations
        quantizer.kmeans_frames_per_entry = self.config.kmeans_frames_per_entry
        quantizer.seed = self.config.seed

    def _make_adversary(self) -> Adversary | None:
        if not self.config.adversarial or self.config.codebooks_only:
            return None
        return Adversary(
            self._device,
            self._excerpts.excerpt_samples,
            self.config.seed,
            self.config.discriminator_filters,
            bfloat16=self.config.bfloat16,
        )

    def _begin(self) -> None:
        """The same weights in all processes; calibrated, if the model is new."""
        if self.config.codebooks_only:
            self.model.quantizer.restart()
        elif not self.model.quantizer.is_fitted:
            audio_BS = self._audio(4 * self.config.batch_size, self._generator)
            calibrate(self.model, audio_BS[:, None])
        processes.copied_from_first(t.data for t in self.model.state_dict().values())

    def _pass(self, audio_BS: Tensor) -> Pass:
        stage = self.schedule.stage(self.step)
        if stage is Stage.IMITATE:
            return self._passes.imitate(audio_BS, self._principal_components())
        if stage is Stage.CONTINUOUS:
            return self._passes.continuous(audio_BS)
        if stage is Stage.QUANTIZED:
            return self._passes.quantized(audio_BS)
        return self._passes.codebooks(audio_BS)

    def _take_step(self, result: Pass, audio_BS: Tensor) -> None:
        """Measures, and moves the weights unless only codebooks learn."""
        losses = {
            "mel": self._mel(audio_BS, result.decoded),
            "waveform": waveform_loss(audio_BS, result.decoded),
        }
        if self._intelligibility is not None:
            losses["intelligibility"] = self._intelligibility(audio_BS, result.decoded)
        snr = signal_to_noise_db(audio_BS, result.decoded.detach())
        self._means.add({**result.figures, **losses, "snr_db": snr})
        if self.config.codebooks_only:
            return
        self._optimizer.zero_grad(set_to_none=True)
        if self._adversary is not None and self.schedule.stage(self.step) is Stage.QUANTIZED:
            self._backward_balanced(self._adversary, losses, result, audio_BS)
        else:
            (self._weighted(losses) + result.cost).backward()
        self._update()

    def _weighted(self, losses: dict[str, Tensor]) -> Tensor:
        config = self.config
        weights = {
            "mel": config.mel_weight,
            "waveform": config.waveform_weight,
            "intelligibility": config.intelligibility_weight,
        }
        return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()

    def _backward_balanced(
        self, adversary: Adversary, losses: dict[str, Tensor], result: Pass, audio_BS: Tensor
    ) -> None:
        annealed = self.schedule.annealed(self.step)
        learned = adversary.learn(audio_BS, result.decoded, self.step, annealed)
        judged = adversary.losses(audio_BS, result.decoded)
        self._means.add({"discriminator": learned, **judged})
        gradient_BS = self._balancer.gradient({**losses, **judged}, result.decoded)
        torch.autograd.backward([result.decoded, result.cost], [gradient_BS, None])

    def _update(self) -> None:
        rate = self.schedule.rate(self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        processes.averaged(p.grad for p in parameters if p.grad is not None)
        nn.utils.clip_grad_norm_(parameters, self.config.max_gradient_norm)
        self._optimizer.step()

    def _begin_quantization(self) -> None:
        def batches() -> Iterator[Tensor]:
            while True:
                yield self._audio(self.config.batch_size, self._generator)

        left = self._passes.begin_quantization(batches())
        listed = ", ".join(f"{share:.3f}" for share in left)
        self._log.note(f"of the variance, 1, 2, ... codebooks leave {listed}")

    def _audio(self, size: int, generator: torch.Generator) -> Tensor:
        return self._excerpts.batch(size, generator).to(self._device)

    def _principal_components(self) -> PrincipalComponents:
        """The same at every start: they have a generator of their own."""
        if self._components is None:
            generator = torch.Generator().manual_seed(self.config.seed + 1)
            audio_BS = self._audio(_COMPONENT_EXCERPTS, generator)
            config = self.model.config
            self._components = PrincipalComponents(audio_BS, config.hop_length, config.hidden_size)
        return self._components

    def _log_and_save(self) -> None:
        last = self.schedule.last
        self._log.advance(self.step, last)
        if self.step % self.config.log_every == 0 or self.step == last:
            replaced = float(self.model.quantizer.replaced_entries)
            figures = {**self._means.take(), "replaced_entries": replaced}
            self._log.figures(self.step, last, figures)
        if self.step % self.config.checkpoint_every == 0 or self.step == last:
            self._save()

    def _save(self) -> None:
        generators = processes.listed(self._generator.get_state())
        if processes.rank() == 0:
            save_checkpoint(self._checkpoint_path, self._state(generators))

    def _state(self, generators: list[Tensor]) -> dict[str, Any]:
        return {
            "model_config": self.model.config.to_dict(),
            "codebooks_only": self.config.codebooks_only,
            "model": self.model.state_dict(),
            "codebooks": self.model.quantizer.learning_state(),
            "optimizer": self._optimizer.state_dict(),
            "adversary": None if self._adversary is None else self._adversary.state_dict(),
            "balancer": self._balancer.state_dict(),
            "generators": generators,
            "latent_variance": self._passes.latent_variance,
            "step": self.step,
        }

    def _resume(self) -> None:
        only = self.config.codebooks_only
        state = load_checkpoint(self._checkpoint_path, self.model.config, codebooks_only=only)
        self.model.load_state_dict(state["model"])
        self.model.quantizer.load_learning_state(state["codebooks"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._adversary is not None and state["adversary"] is not None:
            self._adversary.load_state_dict(state["adversary"])
        self._balancer.load_state_dict(state["balancer"])
        self._passes.latent_variance = state["latent_variance"]
        self.step = state["step"]
        self._log.note(f"resumed at step {self.step}")
        self._resume_generator(state["generators"])

    def _resume_generator(self, states: list[Tensor]) -> None:
        """Exactly where it was; with another number of processes that has no meaning."""
        if len(states) == processes.count():
            self._generator.set_state(states[processes.rank()])
            return
        self._generator.manual_seed(self.config.seed + 7919 * processes.rank() + self.step)
        self._log.note(f"{processes.count()} processes instead of {len(states)}: other excerpts")


def _check(model_config: EncodecConfig, config: TrainingConfig, excerpts: Excerpts) -> None:
    if model_config.audio_channels != 1 or model_config.normalize:
        raise TrainingError("training takes mono codecs that do not scale their input")
    samples, window = excerpts.excerpt_samples, max(window for window, _ in config.mel_scales)
    if samples < window:
        raise TrainingError(f"excerpts have {samples} samples; the mel loss needs {window} or more")
    if samples % model_config.hop_length:
        raise TrainingError(f"excerpts of {samples} samples are not whole frames")


def _intelligibility_loss(
    model_config: EncodecConfig, config: TrainingConfig, excerpts: Excerpts
) -> IntelligibilityLoss | None:
    if config.intelligibility_weight == 0:
        return None
    loss = IntelligibilityLoss(model_config.sampling_rate)
    if excerpts.excerpt_samples < loss.least_samples:
        raise TrainingError(
            f"excerpts have {excerpts.excerpt_samples} samples; the intelligibility loss needs"
            f" {loss.least_samples} or more"
        )
    return loss
