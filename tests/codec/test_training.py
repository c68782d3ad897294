"""The trainer: it learns, resumes where it was, and starts from sane activations."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from codec.encodec import EncodecConfig, EncodecModel
from codec.encodec.seanet import EncodecResnetBlock
from codec.training.excerpts import Excerpts
from codec.training.initialization import RESIDUAL_GAIN, PrincipalComponents, calibrate
from codec.training.losses import MelLoss, mel_filterbank, waveform_loss
from codec.training.trainer import Trainer, TrainingConfig

CONFIG = EncodecConfig(
    target_bandwidths=(12.0, 24.0),
    sampling_rate=8000,
    upsampling_ratios=(5, 4),
    hidden_size=16,
    num_filters=4,
    codebook_size=32,
)
QUICK = TrainingConfig(
    imitate_steps=30,
    continuous_steps=20,
    quantized_steps=20,
    batch_size=4,
    kmeans_vectors_per_entry=10,
    mel_scales=((128, 10),),
    log_every=10,
    checkpoint_every=25,
)


def _recordings() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    times = torch.arange(16_000) / 8000
    tones = torch.rand(6, 1, generator=generator) * 700 + 100
    audio = (2 * torch.pi * tones * times).sin() * 0.3
    return list((audio * 32767).short())


def _trainer(config: TrainingConfig, checkpoint: Path, lines: list[str]) -> Trainer:
    generator = torch.Generator().manual_seed(config.seed)
    excerpts = Excerpts(_recordings(), [1.0] * 6, 800, generator)
    return Trainer(CONFIG, config, excerpts, generator, checkpoint, lines.append)


def _figure(line: str, name: str) -> float:
    words = line.split()
    return float(words[words.index(name) + 1])


def test_it_learns_and_the_codes_carry_audio(tmp_path: Path) -> None:
    lines: list[str] = []
    model = _trainer(QUICK, tmp_path / "checkpoint", lines).run()
    steps = [line for line in lines if line.startswith("step")]
    assert _figure(steps[2], "waveform") < 0.8 * _figure(steps[0], "waveform")
    assert not model.training
    audio_BCS = torch.stack(_recordings())[:, None, :800].float() / 32768
    with torch.no_grad():
        codes = model.quantizer.encode(model.encoder(audio_BCS), len(model.quantizer))
    assert codes.unique().numel() > 8


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    through = _trainer(QUICK, tmp_path / "through", []).run()
    stopped = _trainer(QUICK, tmp_path / "stopped", [])
    save = stopped._save

    def save_and_die() -> None:
        save()
        raise KeyboardInterrupt

    stopped._save = save_and_die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    lines: list[str] = []
    resumed = _trainer(QUICK, tmp_path / "stopped", lines).run()
    assert lines[0] == "resumed at step 25"
    for name, tensor in through.state_dict().items():
        assert tensor.shape == resumed.state_dict()[name].shape


def test_calibrated_layers_have_unit_outputs() -> None:
    torch.manual_seed(0)
    model = EncodecModel(CONFIG)
    audio_BCS = torch.stack(_recordings())[:, None, :4000].float() / 32768
    calibrate(model, audio_BCS)
    with torch.no_grad():
        first = model.encoder.layers[0](audio_BCS)
        latent = model.encoder(audio_BCS)
        branch = model.encoder.layers[1]
        assert isinstance(branch, EncodecResnetBlock)
        assert branch.shortcut is not None
        inner = branch(first) - branch.shortcut(first)
        decoded = model.decoder(latent)
    assert float(first.std()) == pytest.approx(1, rel=0.01)
    assert float(inner.std()) == pytest.approx(RESIDUAL_GAIN, rel=0.01)
    assert float(latent.std()) == pytest.approx(1, rel=0.01)
    assert float(decoded.std()) == pytest.approx(float(audio_BCS.std()), rel=0.01)


def test_principal_components_of_tones_keep_their_energy() -> None:
    audio_BS = torch.stack(_recordings())[:, :8000].float() / 32768
    components = PrincipalComponents(audio_BS, 20, 16)
    latent = components.encode(audio_BS)
    assert latent.shape == (6, 16, 400)
    assert float(latent.square().mean()) == pytest.approx(1, rel=0.01)


def test_losses_are_zero_for_equal_audio_and_grow_with_noise() -> None:
    audio_BS = torch.stack(_recordings())[:, :8000].float() / 32768
    mel = MelLoss(8000, ((128, 10), (256, 20)))
    small, large = (audio_BS + level * torch.randn_like(audio_BS) for level in (0.01, 0.1))
    for loss in (mel, waveform_loss):
        assert float(loss(audio_BS, audio_BS)) == pytest.approx(0, abs=1e-6)
        assert 0 < float(loss(audio_BS, small)) < float(loss(audio_BS, large))
        assert float(loss(torch.zeros(2, 800), torch.zeros(2, 800))) == pytest.approx(0, abs=1e-6)


def test_mel_filters_cover_the_spectrum() -> None:
    filters_FM = mel_filterbank(24_000, 1024, 64)
    assert filters_FM.shape == (513, 64)
    assert (filters_FM >= 0).all()
    assert torch.allclose(filters_FM.sum(dim=0), torch.ones(64), atol=1e-5)


def test_excerpts_repeat_short_recordings_and_follow_the_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    ones = torch.full((10,), 16384, dtype=torch.int16)
    excerpts = Excerpts([ones, -ones], [1.0, 0.0], 25, generator)
    batch_BS = excerpts.batch(8)
    assert batch_BS.shape == (8, 25)
    assert (batch_BS > 0).all()
    with pytest.raises(ValueError, match="no recordings"):
        Excerpts([], [], 25, generator)
