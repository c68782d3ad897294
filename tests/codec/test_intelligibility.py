"""The intelligibility loss: what it rewards, and that it goes with the published measure."""

import itertools
from pathlib import Path

import numpy as np
import pystoi
import pytest
import torch
from torch import Tensor

from codec import TrainingError
from codec.encodec import EncodecConfig
from codec.training.config import TrainingConfig
from codec.training.excerpts import Excerpts
from codec.training.intelligibility import IntelligibilityLoss, third_octave_bands
from codec.training.log import SilentLog
from codec.training.trainer import Trainer, untrained_model
from tests.codec.conftest import Clip

RATE = 24_000


@pytest.fixture(scope="module")
def loss() -> IntelligibilityLoss:
    return IntelligibilityLoss(RATE)


@pytest.fixture(scope="module")
def speech(clip: Clip) -> Tensor:
    return clip("speech", 3 * RATE, RATE, 1)


def _noise_like(audio_BS: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(audio_BS.shape, generator=generator) * audio_BS.std()


def test_it_is_zero_for_the_same_at_any_level(loss: IntelligibilityLoss, speech: Tensor) -> None:
    assert float(loss(speech, speech)) == pytest.approx(0, abs=1e-3)
    assert float(loss(speech, 0.5 * speech)) == pytest.approx(0, abs=0.02)


def test_it_is_about_one_for_what_has_nothing_to_do_with_it(
    loss: IntelligibilityLoss, speech: Tensor
) -> None:
    assert 0.8 < float(loss(speech, _noise_like(speech))) < 1.2


def test_it_goes_with_the_published_measure(loss: IntelligibilityLoss, speech: Tensor) -> None:
    shares = np.linspace(0, 3, 7)
    noise_BS = _noise_like(speech)
    noisy = [speech + share * noise_BS for share in shares]
    ours = [1 - float(loss(speech, found_BS)) for found_BS in noisy]
    reference = [pystoi.stoi(speech[0].numpy(), found_BS[0].numpy(), RATE) for found_BS in noisy]
    assert np.corrcoef(ours, reference)[0, 1] > 0.9
    assert all(a > b for a, b in itertools.pairwise(ours))


def test_silence_has_a_loss_and_a_gradient(loss: IntelligibilityLoss) -> None:
    found_BS = torch.zeros(1, RATE, requires_grad=True)
    value = loss(torch.zeros(1, RATE), found_BS)
    value.backward()
    assert value.isfinite()
    assert found_BS.grad is not None
    assert found_BS.grad.isfinite().all()


def test_bands_lie_beside_each_other() -> None:
    bands_FJ = third_octave_bands(RATE, 1024)
    assert bands_FJ.shape == (513, 15)
    assert bands_FJ.sum(dim=1).max() == 1
    assert (bands_FJ.sum(dim=0) >= 1).all()


def test_excerpts_have_a_segment(tmp_path: Path) -> None:
    model = untrained_model(EncodecConfig(hidden_size=16, num_filters=2), 0)
    excerpts = Excerpts([torch.zeros(RATE, dtype=torch.int16)], [1.0], 3200)
    config = TrainingConfig(intelligibility_weight=1.0)
    with pytest.raises(TrainingError, match=r"have 3200 samples; .* needs 8903 or more"):
        Trainer(model, config, excerpts, tmp_path / "c.pt", SilentLog())
