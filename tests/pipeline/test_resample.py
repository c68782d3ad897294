"""Resampling in blocks gives what torchaudio gives for the whole file."""

import math
from collections.abc import Iterator, Sequence

import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tokenize_pipeline import resample as module
from tokenize_pipeline.resample import resample

SIMPLE_RATES = [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000]


def noise(channels: int, samples: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(channels, samples, generator=generator) * 2 - 1


def in_blocks(audio_CS: Tensor, lengths: Sequence[int], orig: int, new: int) -> Tensor:
    """Resample in blocks of the given lengths, the rest in one block more."""
    cuts, left = [], audio_CS.shape[1]
    for length in lengths:
        cuts.append(min(length, left))
        left -= cuts[-1]
    blocks = torch.split(audio_CS, [*cuts, left], dim=1)
    return torch.cat([torch.zeros(len(audio_CS), 0), *resample(blocks, orig, new)], dim=1)


def reference(audio_CS: Tensor, orig: int, new: int) -> Tensor:
    """In double precision: torchaudio's own weights in single precision are off by up to 1.5e-5."""
    resampled_CS: Tensor = torchaudio.functional.resample(audio_CS.double(), orig, new)
    return resampled_CS.float()


@given(
    orig=st.sampled_from(SIMPLE_RATES),
    new=st.sampled_from([24000, 48000]),
    samples=st.integers(1, 60_000),
    channels=st.integers(1, 2),
    lengths=st.lists(st.integers(0, 20_000), max_size=8),
)
@settings(max_examples=40, deadline=None)
def test_blocks_give_what_torchaudio_gives_for_the_whole(
    orig: int, new: int, samples: int, channels: int, lengths: list[int]
) -> None:
    audio_CS = noise(channels, samples)
    resampled_CS = in_blocks(audio_CS, lengths, orig, new)
    assert resampled_CS.shape == (channels, math.ceil(samples * new / orig))
    torch.testing.assert_close(resampled_CS, reference(audio_CS, orig, new), atol=1e-6, rtol=0)


@given(lengths=st.lists(st.integers(0, 30_000), max_size=6), samples=st.integers(1, 50_000))
@settings(max_examples=20, deadline=None)
@pytest.mark.parametrize(("orig", "new"), [(44100, 24000), (8000, 48000), (35467, 24000)])
def test_the_cut_into_blocks_changes_no_bit(
    orig: int, new: int, lengths: list[int], samples: int
) -> None:
    audio_CS = noise(1, samples)
    assert torch.equal(in_blocks(audio_CS, lengths, orig, new), in_blocks(audio_CS, [], orig, new))


@pytest.mark.parametrize(("orig", "new"), [(8000, 48000), (44100, 24000), (16000, 24000)])
def test_the_number_of_threads_changes_no_bit(orig: int, new: int) -> None:
    audio_CS = noise(1, 3 * orig)
    before = torch.get_num_threads()
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(in_blocks(audio_CS, [], orig, new))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@pytest.mark.parametrize(
    ("orig", "new"), [(44100, 24000), (16000, 24000), (48000, 24000), (24000, 44100)]
)
def test_weights_computed_as_needed_are_those_of_torchaudio(
    orig: int, new: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LARGEST_KERNEL", 0)
    audio_CS = noise(2, 20_001)
    resampled_CS = in_blocks(audio_CS, [7, 5000, 1], orig, new)
    torch.testing.assert_close(resampled_CS, reference(audio_CS, orig, new), atol=1e-6, rtol=0)


def test_rates_without_a_common_divisor_keep_a_tone() -> None:
    """As a kernel for torchaudio this would be 850 million weights."""
    orig, new, hertz = 35467, 24000, 1000
    tone_CS = torch.sin(2 * math.pi * hertz * torch.arange(orig, dtype=torch.float64) / orig)
    resampled_CS = in_blocks(tone_CS[None].float(), [], orig, new)
    expected = torch.sin(2 * math.pi * hertz * torch.arange(new, dtype=torch.float64) / new)
    middle = slice(100, -100)
    torch.testing.assert_close(
        resampled_CS[0, middle].double(), expected[middle], atol=2e-3, rtol=0
    )


def test_equal_rates_change_nothing() -> None:
    audio_CS = noise(2, 1000)
    assert torch.equal(in_blocks(audio_CS, [3, 500], 24000, 24000), audio_CS)


@pytest.mark.parametrize("orig", [24000, 16000, 35467])
def test_nothing_in_nothing_out(orig: int) -> None:
    assert list(resample([], orig, 24000)) == []


@pytest.mark.parametrize(("orig", "new"), [(2, 3), (147, 80), (35467, 24000)])
def test_only_what_later_tiles_need_is_kept(orig: int, new: int) -> None:
    stream = module._Stream(module._make_tiles(orig, new))
    most = stream._tiles.num_inputs(0) + 50_000

    def blocks() -> Iterator[Tensor]:
        for _ in range(40):
            assert sum(piece_CS.shape[1] for piece_CS in stream._kept) <= most
            yield noise(1, 50_000)

    made = sum(piece_CS.shape[1] for piece_CS in stream.run(blocks()))
    assert made == math.ceil(40 * 50_000 * new / orig)
