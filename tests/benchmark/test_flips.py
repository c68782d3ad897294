"""Codes that differ, counted."""

import pytest
import torch

from tests.benchmark.tasks import NUM_CODEBOOKS, small_task
from tokenize_pipeline.benchmark import flips
from tokenize_pipeline.benchmark.flips import flip_shares, measure_flips
from tokenize_pipeline.benchmark.ours import make_codec
from tokenize_pipeline.benchmark.reference import TransformersSide


def test_share_is_of_all_frames_of_all_recordings() -> None:
    wanted = [torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([[7], [8]])]
    found = [torch.tensor([[1, 2, 3], [4, 0, 0]]), torch.tensor([[0], [0]])]
    assert flip_shares(wanted, found) == (0.25, 0.75)
    assert flip_shares(wanted, wanted) == (0.0, 0.0)


def test_codes_of_other_recordings_cannot_be_compared() -> None:
    wanted = [torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 1, dtype=torch.int64)]
    with pytest.raises(ValueError, match="cannot be compared"):
        flip_shares(wanted, wanted[::-1])


@pytest.mark.parametrize("variant", ["24khz", "48khz"])
def test_transformers_gives_our_codes(variant: str) -> None:
    """Both sides do the same work, or their times could not be compared."""
    task = small_task(variant, 1.3, 0.4, 2.5)
    found = measure_flips(task, TransformersSide(task, allow_tf32=False))
    assert found["ours, TF32"] is None
    theirs, half = found["transformers, unpadded"], found["ours, bfloat16"]
    assert theirs is not None
    assert half is not None
    assert len(theirs) == len(half) == NUM_CODEBOOKS
    assert max(theirs) < 0.01
    assert 0 < max(half) < 0.9


@pytest.mark.parametrize("variant", ["24khz", "48khz"])
def test_the_bare_model_gives_our_codes(variant: str) -> None:
    """On a GPU it shows what TF32 does; a CPU has none, so nothing may differ there."""
    task = small_task(variant, 1.3, 0.4, 2.5)
    shares = flip_shares(flips._our_codes(task, "float32"), flips._tf32_codes(task))
    assert max(shares) < 0.01


@pytest.mark.parametrize("variant", ["24khz", "48khz"])
def test_codes_are_worth_comparing(variant: str) -> None:
    """Random weights must not give every frame the same codes."""
    task = small_task(variant, 3.0)
    codec = make_codec(task, "float32")
    (encoded,) = codec.encode_stream(task.waveforms(), task.num_codebooks)
    for codes_T in encoded.codes:
        assert len(codes_T.unique()) >= 8  # of 16
