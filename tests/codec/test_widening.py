"""A codec made wider: the same function, with new channels that can learn."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from codec.encodec import EncodecConfig, EncodecModel
from codec.training.widening import widened

NARROW = EncodecConfig(hidden_size=16, num_filters=4, target_bandwidths=(3.0,))


@pytest.fixture(scope="module")
def narrow() -> EncodecModel:
    torch.manual_seed(0)
    model = EncodecModel(NARROW).eval()
    torch.nn.init.normal_(model.quantizer[0].embed)
    return model


@pytest.fixture(scope="module")
def audio() -> Tensor:
    return torch.randn(2, 1, 3200, generator=torch.Generator().manual_seed(1)) * 0.1


@pytest.mark.parametrize("filters", [4, 6, 8])
def test_it_computes_the_same(narrow: EncodecModel, audio: Tensor, filters: int) -> None:
    wide = widened(narrow, filters, audio, 0).eval()
    assert wide.config == replace(NARROW, num_filters=filters)
    with torch.no_grad():
        z_BDT = narrow.encoder(audio)
        torch.testing.assert_close(wide.encoder(audio), z_BDT, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(wide.decoder(z_BDT), narrow.decoder(z_BDT), atol=1e-5, rtol=1e-5)
    assert torch.equal(wide.quantizer[0].embed, narrow.quantizer[0].embed)


def test_every_new_channel_learns_at_once(narrow: EncodecModel, audio: Tensor) -> None:
    wide = widened(narrow, 8, audio, 0).train()
    (wide.decoder(wide.encoder(audio)) - audio).square().mean().backward()
    last = wide.get_parameter("decoder.layers.15.conv.weight")  # [1, C, W]
    assert not last[:, 4:].any(), "what comes from new channels begins at zero"
    assert last.grad is not None
    assert (last.grad[:, 4:].abs().amax(dim=(0, 2)) > 0).all()


def test_new_channels_are_as_loud_as_old_ones(narrow: EncodecModel, audio: Tensor) -> None:
    wide = widened(narrow, 8, audio, 0)
    with torch.no_grad():
        first_BCS = wide.encoder.layers[0](audio)
    torch.testing.assert_close(first_BCS[:, 4:].std(), first_BCS[:, :4].std())


def test_narrower_is_refused(narrow: EncodecModel, audio: Tensor) -> None:
    with pytest.raises(ValueError, match=r"has 4 filters .* 3 filters were asked for"):
        widened(narrow, 3, audio, 0)
