"""The trainer: it learns, resumes where it was, and starts from sane activations."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from codec import CodecConfigError, TrainingError
from codec.encodec import EncodecConfig, EncodecModel
from codec.encodec.seanet import EncodecResnetBlock
from codec.training.config import TrainingConfig
from codec.training.excerpts import Excerpts
from codec.training.initialization import RESIDUAL_GAIN, PrincipalComponents, calibrate
from codec.training.losses import MelLoss, mel_filterbank, waveform_loss
from codec.training.schedule import Schedule, Stage
from codec.training.trainer import Trainer, untrained_model

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
    kmeans_frames_per_entry=10,
    mel_scales=((128, 10),),
    discriminator_filters=4,
    log_every=10,
    checkpoint_every=25,
)


class Recorded:
    """Keeps what a training shows."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.means: list[dict[str, float]] = []
        self.steps: list[int] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def advance(self, step: int, last: int) -> None:
        self.steps.append(step)

    def figures(self, step: int, last: int, means: Mapping[str, float]) -> None:
        self.means.append(dict(means))


def recordings() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    times = torch.arange(16_000) / 8000
    tones = torch.rand(6, 1, generator=generator) * 700 + 100
    audio = (2 * torch.pi * tones * times).sin() * 0.3
    return list((audio * 32767).short())


def trainer_of(
    config: TrainingConfig,
    checkpoint: Path,
    log: Recorded | None = None,
    model: EncodecModel | None = None,
) -> Trainer:
    excerpts = Excerpts(recordings(), [1.0] * 6, 800)
    model = model or untrained_model(CONFIG, config.seed)
    return Trainer(model, config, excerpts, checkpoint, log or Recorded())


def stopped_at(step: int, trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a training until its checkpoint of that step is written, then kills it."""
    save = trainer._save

    def save_and_die() -> None:
        save()
        if trainer.step == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "_save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[EncodecModel, Recorded, Path]:
    """A model after all stages, what was shown, and its checkpoint."""
    log, checkpoint = Recorded(), tmp_path_factory.mktemp("trained") / "checkpoint"
    return trainer_of(QUICK, checkpoint, log).run(), log, checkpoint


def test_it_learns_and_the_codes_carry_audio(
    trained: tuple[EncodecModel, Recorded, Path],
) -> None:
    model, log, _ = trained
    assert log.means[2]["waveform"] < 0.8 * log.means[0]["waveform"]
    assert log.steps == list(range(1, 71))
    assert log.notes[0].startswith("of the variance, 1, 2, ... codebooks leave 0.")
    assert not model.training
    audio_BCS = torch.stack(recordings())[:, None, :800].float() / 32768
    with torch.no_grad():
        latent_BDT = model.encoder(audio_BCS)
        codes = model.quantizer.search(latent_BDT, len(model.quantizer))
        error = (model.quantizer.lookup(codes) - latent_BDT).var() / latent_BDT.var()
    assert codes.unique().numel() > 8
    assert error < 0.5


@pytest.mark.parametrize(
    ("step", "adversarial"), [(25, False), (50, False), (60, True)], ids=["first", "k-means", "all"]
)
def test_a_killed_run_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, adversarial: bool
) -> None:
    config = replace(QUICK, adversarial=adversarial, checkpoint_every=step)
    through = trainer_of(config, tmp_path / "through")
    through.run()
    stopped_at(step, trainer_of(config, tmp_path / "stopped"), monkeypatch)
    log = Recorded()
    resumed = trainer_of(config, tmp_path / "stopped", log)
    assert log.notes == [f"resumed at step {step}"]
    resumed.run()
    for name, tensor in through.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    if adversarial:
        assert through._adversary is not None
        assert resumed._adversary is not None
        found = resumed._adversary.discriminator.state_dict()
        for name, tensor in through._adversary.discriminator.state_dict().items():
            assert torch.equal(tensor, found[name]), name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stopped", "through"]


def test_a_trained_codec_begins_with_the_last_stage(
    tmp_path: Path, trained: tuple[EncodecModel, Recorded, Path]
) -> None:
    trained[0].save_pretrained(tmp_path / "codec")
    model = EncodecModel.from_pretrained(tmp_path / "codec")
    config = replace(QUICK, imitate_steps=0, continuous_steps=0, quantized_rate=1e-4)
    log = Recorded()
    trainer_of(config, tmp_path / "checkpoint", log, model).run()
    assert len(log.steps) == QUICK.quantized_steps
    assert log.means[0]["waveform"] < 1.2 * trained[1].means[-1]["waveform"]


def test_fitting_codebooks_touches_nothing_else(
    tmp_path: Path, trained: tuple[EncodecModel, Recorded, Path]
) -> None:
    trained[0].save_pretrained(tmp_path / "codec")
    model = EncodecModel.from_pretrained(tmp_path / "codec")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    config = replace(QUICK, imitate_steps=0, continuous_steps=0, codebooks_only=True)
    log = Recorded()
    fitted = trainer_of(config, tmp_path / "checkpoint", log, model).run()
    assert len(log.means) == 2
    for name, tensor in fitted.state_dict().items():
        if not name.startswith("quantizer."):
            assert torch.equal(tensor, before[name]), name
        elif name.endswith(".embed"):
            assert not torch.equal(tensor, before[name]), name
    with pytest.raises(TrainingError, match="is of a training of codebooks only; name a new one"):
        trainer_of(QUICK, tmp_path / "checkpoint")


def test_a_checkpoint_of_another_model_is_refused(
    tmp_path: Path, trained: tuple[EncodecModel, Recorded, Path]
) -> None:
    other = untrained_model(replace(CONFIG, num_filters=8), 0)
    with pytest.raises(TrainingError, match="of another model: num_filters 4, not 8; name a new"):
        trainer_of(QUICK, trained[2], model=other)
    (tmp_path / "damaged").write_bytes(trained[2].read_bytes()[:5000])
    with pytest.raises(TrainingError, match="damaged is no checkpoint of this program"):
        trainer_of(QUICK, tmp_path / "damaged")


def test_what_cannot_be_trained_is_refused(tmp_path: Path) -> None:
    excerpts = Excerpts(recordings(), [1.0] * 6, 800)
    stereo = untrained_model(replace(CONFIG, audio_channels=2), 0)
    with pytest.raises(TrainingError, match="training takes mono codecs"):
        Trainer(stereo, QUICK, excerpts, tmp_path / "checkpoint", Recorded())
    long_window = replace(QUICK, mel_scales=((1024, 10),))
    with pytest.raises(TrainingError, match="have 800 samples; the mel loss needs 1024"):
        trainer_of(long_window, tmp_path / "checkpoint")
    with pytest.raises(CodecConfigError, match="batch_size is 0; it must be at least 1"):
        replace(QUICK, batch_size=0)
    with pytest.raises(CodecConfigError, match="dropout_share is 2; it must be within 0 and 1"):
        replace(QUICK, dropout_share=2)


def test_stages_follow_one_another_and_the_rate_falls() -> None:
    schedule = Schedule(QUICK)
    stages = [schedule.stage(step) for step in (0, 29, 30, 49, 50, 69)]
    wanted = [Stage.IMITATE] * 2 + [Stage.CONTINUOUS] * 2 + [Stage.QUANTIZED] * 2
    assert stages == wanted
    assert schedule.last == 70
    rates = [schedule.rate(step) for step in (49, 50, 60, 70)]
    assert rates == pytest.approx([1.5e-3, 1e-3, 0.51e-3, 0.02e-3])


def test_calibrated_layers_have_unit_outputs() -> None:
    torch.manual_seed(0)
    model = EncodecModel(CONFIG)
    audio_BCS = torch.stack(recordings())[:, None, :4000].float() / 32768
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
    audio_BS = torch.stack(recordings())[:, :8000].float() / 32768
    components = PrincipalComponents(audio_BS, 20, 16)
    latent = components.encode(audio_BS)
    assert latent.shape == (6, 16, 400)
    assert float(latent.square().mean()) == pytest.approx(1, rel=0.01)
    with pytest.raises(CodecConfigError, match="hidden_size of 32 is more than the 20 samples"):
        PrincipalComponents(audio_BS, 20, 32)


def test_losses_are_zero_for_equal_audio_and_grow_with_noise() -> None:
    audio_BS = torch.stack(recordings())[:, :8000].float() / 32768
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
    excerpts = Excerpts([ones, -ones], [1.0, 0.0], 25)
    batch_BS = excerpts.batch(8, generator)
    assert batch_BS.shape == (8, 25)
    assert (batch_BS > 0).all()
    for nothing in ([], [ones[:0]]):
        with pytest.raises(TrainingError, match="needs recordings, of at least one sample each"):
            Excerpts(nothing, [1.0], 25)
