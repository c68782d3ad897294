"""ResidualVectorQuantizer: the interface espnet documents, gradients, initialization, errors."""

import inspect
import math

import pytest
import torch
from torch import Tensor

from codec import (
    AudioShapeError,
    CodebookError,
    CodecConfigError,
    NonFiniteError,
    UnsupportedBandwidthError,
)
from codec.encodec import EncodecConfig, EncodecModel
from codec.quantization import QuantizedResult, ResidualVectorQuantizer

FRAME_RATE = 75


def latent(batch: int, width: int, frames: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, width, frames, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def error(quantizer: ResidualVectorQuantizer, x: Tensor) -> float:
    return float((quantizer.eval()(x, FRAME_RATE).quantized - x).square().mean())


@pytest.fixture
def quantizer() -> ResidualVectorQuantizer:
    """Three fitted codebooks of 16 entries for vectors of 8 numbers."""
    made = ResidualVectorQuantizer(8, 8, 3, 16, kmeans_iters=5)
    made.fit(latent(4, 8, 100))
    return made


def test_the_constructor_takes_what_espnet_documents() -> None:
    parameters = inspect.signature(ResidualVectorQuantizer).parameters
    positional = {n: p.default for n, p in parameters.items() if p.kind is not p.KEYWORD_ONLY}
    assert positional == {
        "dimension": 256,
        "codebook_dim": 512,
        "n_q": 8,
        "bins": 1024,
        "decay": 0.99,
        "kmeans_init": True,
        "kmeans_iters": 50,
        "threshold_ema_dead_code": 2,
        "quantizer_dropout": False,
    }


def test_a_result_has_names_and_is_a_tuple(quantizer: ResidualVectorQuantizer) -> None:
    x = latent(2, 8, 25, 1)
    result = quantizer(x, FRAME_RATE)
    assert isinstance(result, QuantizedResult)
    quantized, codes, bandwidth, penalty = result
    assert quantized.shape == x.shape
    assert codes.shape == (3, 2, 25)
    assert codes.dtype == torch.int64
    assert float(bandwidth) == pytest.approx(3 * 4 * 75 / 1000)
    assert penalty is not None
    assert 0 < float(penalty) < float(x.var())


def test_quantized_is_what_the_codes_stand_for(quantizer: ResidualVectorQuantizer) -> None:
    quantizer.eval()
    x = latent(2, 8, 25, 1)
    for bandwidth, count in ((0.3, 1), (0.6, 2), (0.899, 2), (0.9, 3), (50.0, 3), (None, 3)):
        result = quantizer(x, FRAME_RATE, bandwidth)
        assert len(result.codes) == count
        assert torch.equal(result.codes, quantizer.encode(x, FRAME_RATE, bandwidth))
        assert torch.equal(result.quantized, quantizer.decode(result.codes))


def test_st_begins_with_a_later_codebook(quantizer: ResidualVectorQuantizer) -> None:
    x = latent(2, 8, 25, 1)
    codes = quantizer.encode(x, FRAME_RATE)
    left = x - quantizer.decode(codes[:1])
    assert torch.equal(quantizer.encode(left, FRAME_RATE, st=1), codes[1:])
    with pytest.raises(UnsupportedBandwidthError, match="st is 3; with 3 codebooks it must be 0"):
        quantizer.encode(x, FRAME_RATE, st=3)


def test_bandwidth_follows_its_definition_and_not_the_examples() -> None:
    published = ResidualVectorQuantizer(4, 4, n_q=8, bins=1024)
    assert published.get_bandwidth_per_quantizer(16_000) == pytest.approx(160)
    assert published.get_bandwidth_per_quantizer(75) == pytest.approx(0.75)
    counts = [published.get_num_quantizers_for_bandwidth(75, b) for b in (0.75, 1.5, 3, 6, 24)]
    assert counts == [1, 2, 4, 8, 8]
    assert published.get_num_quantizers_for_bandwidth(75) == 8
    assert published.get_num_quantizers_for_bandwidth(75, 0) == 8


@pytest.mark.parametrize("count", range(1, 33))
def test_a_bandwidth_of_n_codebooks_has_room_for_n(count: int) -> None:
    made = ResidualVectorQuantizer(2, 2, n_q=32, bins=1000, kmeans_init=False)
    for rate in (50, 75, 86.1328125, 150):
        kbps = count * made.get_bandwidth_per_quantizer(rate)
        assert made.get_num_quantizers_for_bandwidth(rate, kbps) == count


def test_gradients_pass_as_if_nothing_was_quantized(quantizer: ResidualVectorQuantizer) -> None:
    x = latent(2, 8, 25, 1).requires_grad_()
    weights = latent(2, 8, 25, 2)
    (quantizer(x, FRAME_RATE).quantized * weights).sum().backward()
    assert x.grad is not None
    assert torch.allclose(x.grad, weights, atol=1e-6)


def test_the_penalty_pulls_towards_the_sum_of_any_number_of_entries(
    quantizer: ResidualVectorQuantizer,
) -> None:
    quantizer.eval()
    x = latent(2, 8, 25, 1).requires_grad_()
    result = quantizer(x, FRAME_RATE)
    result.penalty.backward()
    sums = [quantizer.decode(result.codes[:k]) for k in (1, 2, 3)]
    left = torch.stack([x.detach() - found for found in sums])
    assert x.grad is not None
    assert torch.allclose(x.grad, 2 * left.sum(dim=0) / 3 / x.numel(), atol=1e-7)
    errors = left.square().mean(dim=(1, 2, 3))
    assert torch.allclose(result.penalty, errors.mean())


def test_projections_learn_where_the_codebooks_are_of_another_width() -> None:
    made = ResidualVectorQuantizer(12, 4, 2, 16, kmeans_iters=5)
    x = latent(2, 12, 300)
    result = made(x, FRAME_RATE)
    assert made[0].embed.shape == (16, 4)
    ((result.quantized - x).square().mean() + result.penalty).backward()
    gradients = [parameter.grad for parameter in made.parameters()]
    assert len(gradients) == 8
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
    before = error(made, x)
    optimizer = torch.optim.Adam(made.train().parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        result = made(x, FRAME_RATE)
        ((result.quantized - x).square().mean() + result.penalty).backward()
        optimizer.step()
    assert error(made, x) < 0.9 * before


def test_frames_are_gathered_over_batches_before_kmeans() -> None:
    made = ResidualVectorQuantizer(8, 8, 2, 16, kmeans_frames_per_entry=10)
    for index in range(3):
        x = latent(2, 8, 25, index)
        result = made(x, FRAME_RATE)
        assert torch.equal(result.quantized, x)
        assert result.codes.shape == (0, 2, 25)
        assert float(result.bandwidth) == float(result.penalty) == 0
        assert made.frames_gathered == 50 * (index + 1)
        with pytest.raises(CodebookError, match="of 160 frames for k-means were seen"):
            made.encode(x, FRAME_RATE)
    with pytest.raises(CodebookError, match="not been fitted"):
        made.decode(torch.zeros(2, 2, 25, dtype=torch.int64))
    with pytest.raises(CodebookError, match="not been fitted: 150 of 160 frames for k-means were"):
        made.eval()(latent(2, 8, 25), FRAME_RATE)
    result = made.train()(latent(2, 8, 25, 3), FRAME_RATE)
    assert made.is_fitted
    assert result.codes.shape == (2, 2, 25)
    assert made.frames_gathered == 0


def test_the_same_batches_give_the_same_codebooks() -> None:
    states: list[dict[str, Tensor]] = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(states))
        made = ResidualVectorQuantizer(8, 8, 2, 16, quantizer_dropout=True, seed=seed)
        for index in range(20):
            made(latent(2, 8, 50, index), FRAME_RATE)
        states.append(made.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(
        states[0]["layers.0.codebook.embed"], states[2]["layers.0.codebook.embed"]
    )


def test_learning_goes_on_from_a_saved_state_as_if_never_stopped() -> None:
    def trained(first: int, last: int, made: ResidualVectorQuantizer) -> ResidualVectorQuantizer:
        made.quantizer_dropout = True
        for index in range(first, last):
            made(0.1 * latent(2, 8, 50, index) + (index > 10), FRAME_RATE)
        return made

    through = trained(0, 60, ResidualVectorQuantizer(8, 8, 2, 16))
    for middle in (1, 37):
        half = trained(0, middle, ResidualVectorQuantizer(8, 8, 2, 16))
        other = ResidualVectorQuantizer(8, 8, 2, 16)
        other.load_state_dict(half.state_dict())
        other.load_learning_state(half.learning_state())
        resumed = trained(middle, 60, other)
        assert resumed.replaced_entries == through.replaced_entries > 0
        for name, tensor in through.state_dict().items():
            assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_dropout_uses_every_number_of_codebooks(quantizer: ResidualVectorQuantizer) -> None:
    quantizer.quantizer_dropout = True
    x = latent(1, 8, 10)
    counts = [len(quantizer(x, FRAME_RATE).codes) for _ in range(200)]
    assert set(counts) == {1, 2, 3}
    assert 0.5 < counts.count(3) / 200 < 0.8  # half of the batches, and a third of the others
    assert {len(quantizer(x, FRAME_RATE, 0.6).codes) for _ in range(50)} == {1, 2}
    assert {len(quantizer.eval()(x, FRAME_RATE).codes) for _ in range(50)} == {3}


def test_precision_of_the_surroundings_does_not_reach_the_codes(
    quantizer: ResidualVectorQuantizer,
) -> None:
    quantizer.eval()
    x = latent(2, 8, 200, 1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(quantizer(x, FRAME_RATE).codes, quantizer.encode(x, FRAME_RATE))
    assert torch.equal(quantizer(x, FRAME_RATE).codes, quantizer.encode(x, FRAME_RATE))


def test_the_quantizer_of_a_model_is_this_one_and_learns() -> None:
    config = EncodecConfig(
        target_bandwidths=(12.0,),
        upsampling_ratios=(2, 2, 2),
        hidden_size=8,
        num_filters=4,
        codebook_size=16,
    )
    model = EncodecModel(config)
    assert isinstance(model.quantizer, ResidualVectorQuantizer)
    x = latent(2, 8, 40)
    before = model.quantizer[0].embed.clone()
    model.quantizer.eval()(x, FRAME_RATE)
    assert torch.equal(model.quantizer[0].embed, before)
    model.quantizer.train()(x, FRAME_RATE)
    assert not torch.equal(model.quantizer[0].embed, before)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(8, 25), AudioShapeError, r"shape \(8, 25\); this quantizer takes \[batch, 8"),
        (torch.zeros(2, 9, 25), AudioShapeError, r"shape \(2, 9, 25\)"),
        (torch.zeros(2, 8, 0), AudioShapeError, "at least one of each"),
        (torch.zeros(2, 8, 25).long(), AudioShapeError, "x holds torch.int64"),
        (torch.full((2, 8, 25), math.nan), NonFiniteError, "400 of the 400 values of x are NaN"),
        (torch.full((1, 8, 1), -math.inf), NonFiniteError, "8 of the 8 values of x are NaN or inf"),
    ],
)
def test_input_that_is_no_latent_is_refused(
    quantizer: ResidualVectorQuantizer, x: Tensor, error: type[Exception], message: str
) -> None:
    before = quantizer.state_dict()["layers.0.codebook.embed"].clone()
    for method in (quantizer, quantizer.encode):
        with pytest.raises(error, match=message):
            method(x, FRAME_RATE)
    if error is not AudioShapeError:
        with pytest.raises(error, match=message):
            quantizer.fit(x)
    assert torch.equal(quantizer[0].embed, before)


@pytest.mark.parametrize("bandwidth", [0.299, 1e-9, -1.0, math.nan])
def test_a_bandwidth_below_one_codebook_is_refused(
    quantizer: ResidualVectorQuantizer, bandwidth: float
) -> None:
    with pytest.raises(UnsupportedBandwidthError, match="no room for a codebook of 16 entries at"):
        quantizer(latent(2, 8, 25), FRAME_RATE, bandwidth)


def test_fewer_frames_than_entries_are_refused(quantizer: ResidualVectorQuantizer) -> None:
    with pytest.raises(CodebookError, match="k-means got 15 frames for a codebook of 16 entries"):
        quantizer.fit(latent(1, 8, 15))


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (torch.zeros(3, 25).long(), r"shape \(3, 25\); wanted integers \[codebooks, batch"),
        (torch.zeros(4, 2, 25).long(), "with 1 to 3 codebooks"),
        (torch.zeros(3, 2, 25), "codes are torch.float32"),
        (torch.full((3, 2, 25), 16), "lie between 16 and 16; codebooks have entries 0 to 15"),
        (torch.full((3, 2, 25), -1), "lie between -1 and -1"),
    ],
)
def test_codes_that_are_none_are_refused(
    quantizer: ResidualVectorQuantizer, codes: Tensor, message: str
) -> None:
    with pytest.raises(AudioShapeError, match=message):
        quantizer.decode(codes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bins": 1}, "bins is 1; a codebook has at least 2 entries"),
        ({"n_q": 0}, "n_q is 0; it must be at least 1"),
        ({"codebook_dim": 0}, "codebook_dim is 0; it must be at least 1"),
        ({"decay": 1.0}, "decay is 1.0; it must be at least 0 and below 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(CodecConfigError, match=message):
        ResidualVectorQuantizer(**settings)  # type: ignore[arg-type]


def test_a_rate_of_nothing_is_refused(quantizer: ResidualVectorQuantizer) -> None:
    with pytest.raises(CodecConfigError, match="sample_rate is 0; it must be above 0"):
        quantizer(latent(2, 8, 25), 0)
