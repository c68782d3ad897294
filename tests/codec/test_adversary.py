"""Adversarial training: losses and balance against values worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from codec import TrainingError
from codec.training.adversary import SHARE_OF_STEPS, Adversary
from codec.training.balancer import LossBalancer
from codec.training.discriminator import (
    Judgement,
    MultiScaleSTFTDiscriminator,
    deception_loss,
    discriminator_loss,
    feature_loss,
)

CPU = torch.device("cpu")


def judgement(logits: list[float], *features: list[float]) -> Judgement:
    return Judgement(torch.tensor(logits), [torch.tensor(values) for values in features])


def test_hinge_losses_are_those_of_the_paper() -> None:
    real = [judgement([2.0, 0.5]), judgement([-1.0])]
    fake = [judgement([-2.0, 0.0]), judgement([1.5])]
    of_real, of_fake = (0 + 0.5) / 2 + 2, (0 + 1) / 2 + 2.5
    assert float(discriminator_loss(real, fake)) == pytest.approx((of_real + of_fake) / 2)
    assert float(deception_loss(fake)) == pytest.approx(((3 + 1) / 2 + 0) / 2)


def test_feature_loss_is_relative_to_the_real_features() -> None:
    real = [judgement([0.0], [1.0, -3.0], [10.0, 10.0]), judgement([0.0], [4.0], [5.0])]
    fake = [judgement([0.0], [2.0, -3.0], [10.0, 10.0]), judgement([0.0], [2.0], [5.0])]
    of_layers = (1 / 2) / (4 / 2), 0, 2 / 4, 0
    assert float(feature_loss(real, fake)) == pytest.approx(sum(of_layers) / 4)
    assert float(feature_loss(real, real)) == 0


def test_the_discriminator_sees_complex_spectrograms_of_every_scale() -> None:
    made = MultiScaleSTFTDiscriminator((512, 128), num_filters=4)
    found = made(torch.randn(3, 1024))
    assert [len(scale.features) for scale in found] == [5, 5]
    # A frame every quarter window; 257 and 65 frequencies, halved three times.
    assert found[0].logits.shape == (3, 1, 9, 33)
    assert found[1].logits.shape == (3, 1, 33, 9)
    assert found[0].features[0].shape == (3, 4, 9, 257)
    audio_BS = torch.randn(1, 1024, requires_grad=True)
    torch.stack([scale.logits.mean() for scale in made(audio_BS)]).sum().backward()
    assert audio_BS.grad is not None
    assert (audio_BS.grad != 0).all()


def test_the_balancer_gives_each_loss_its_share_of_the_gradient() -> None:
    balancer = LossBalancer({"small": 1.0, "large": 3.0}, decay=0.5)
    # Gradients of each row: 0.001 * (3, 4), with norm 0.005; and 100 * (0, 1), with norm 100.
    small, large = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 1.0])

    def losses(decoded_BS: Tensor, factor: float) -> dict[str, Tensor]:
        return {
            "small": 0.001 * (decoded_BS * small).sum(),
            "large": factor * (decoded_BS * large).sum(),
        }

    decoded_BS = torch.zeros(2, 2, requires_grad=True)
    first = balancer.gradient(losses(decoded_BS, 100), decoded_BS)
    assert torch.allclose(first, (0.25 * small / 5 + 0.75 * large).expand(2, 2))
    # The norm of the second loss doubles: its average is (0.5 * 100 + 200) / (0.5 + 1).
    second = balancer.gradient(losses(decoded_BS, 200), decoded_BS)
    average = (0.5 * 100 + 200) / 1.5
    assert torch.allclose(second, (0.25 * small / 5 + 0.75 * 200 / average * large).expand(2, 2))
    restored = LossBalancer({"small": 1.0, "large": 3.0}, decay=0.5)
    restored.load_state_dict(balancer.state_dict())
    again = [b.gradient(losses(decoded_BS, 7), decoded_BS) for b in (balancer, restored)]
    assert torch.equal(again[0], again[1])


def test_the_adversary_learns_to_tell_in_two_steps_of_three() -> None:
    adversary = Adversary(CPU, 512, 0, 4, bfloat16=False)
    generator = torch.Generator().manual_seed(0)
    times = torch.arange(512) / 8000
    real_BS = (2 * math.pi * 500 * times).sin().expand(4, 512)
    learned, fake_BS = 0, real_BS
    losses = []
    for step in range(30):
        before = [parameter.clone() for parameter in adversary.discriminator.parameters()]
        fake_BS = torch.randn(4, 512, generator=generator)
        losses.append(float(adversary.learn(real_BS, fake_BS, step, 10.0)))
        after = adversary.discriminator.parameters()
        learned += not all(torch.equal(b, a) for b, a in zip(before, after, strict=True))
    assert losses[-1] < 0.8 * losses[0]
    assert learned == pytest.approx(30 * SHARE_OF_STEPS, abs=7)
    with torch.no_grad():
        real, fake = adversary.losses(real_BS, real_BS), adversary.losses(real_BS, fake_BS)
    assert float(real["features"]) == 0
    assert float(real["deception"]) < float(fake["deception"])


def test_excerpts_too_short_for_any_discriminator_are_refused() -> None:
    with pytest.raises(TrainingError, match="needs excerpts of at least 128 samples, not 100"):
        Adversary(CPU, 100, 0, 4, bfloat16=False)
