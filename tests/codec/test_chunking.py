"""Cutting into chunks and adding chunks up, for any lengths and any arrival."""

from collections.abc import Iterator

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from codec.encodec.chunking import cut, overlap_add, triangle

LAYOUTS = st.tuples(st.integers(1, 40), st.integers(1, 40)).map(lambda ls: (max(ls), min(ls)))


def _blocks(audio_CS: Tensor, sizes: list[int]) -> list[Tensor]:
    """The recording cut into blocks of the given sizes, the rest as one block; some are empty."""
    blocks, start = [], 0
    for size in sizes:
        blocks.append(audio_CS[:, start : start + size])
        start += size
    return [*blocks, audio_CS[:, start:]]


@given(LAYOUTS, st.integers(0, 200), st.lists(st.integers(0, 60), max_size=8))
def test_chunks_are_those_of_the_whole_recording(
    layout: tuple[int, int], num_samples: int, sizes: list[int]
) -> None:
    length, stride = layout
    audio_CS = torch.arange(2 * num_samples).view(2, num_samples).float()
    found = list(cut(_blocks(audio_CS, sizes), length, stride))
    starts = range(0, num_samples, stride)
    assert len(found) == len(starts)
    for (chunk_CS, is_last), start in zip(found, starts, strict=True):
        assert torch.equal(chunk_CS, audio_CS[:, start : start + length])
        assert is_last == (start == starts[-1])


@given(LAYOUTS, st.integers(1, 200))
def test_chunks_of_a_recording_add_up_to_it(layout: tuple[int, int], num_samples: int) -> None:
    length, stride = layout
    audio_CS = torch.rand(2, num_samples) + 1
    chunks = (chunk for chunk, _ in cut([audio_CS], length, stride))
    added_CS = torch.cat(list(overlap_add(chunks, stride)), dim=-1)
    assert added_CS.shape == audio_CS.shape
    assert torch.allclose(added_CS, audio_CS, rtol=1e-5)


def test_the_cross_fade_is_linear() -> None:
    ones, zeros = torch.ones(1, 100), torch.zeros(1, 100)
    added = torch.cat(list(overlap_add([ones, zeros], 80)), dim=-1)[0]
    fade = added[80:100]
    assert torch.allclose(fade, torch.arange(20, 0, -1) / 21, atol=1e-5)
    assert torch.equal(added[:80], torch.ones(80))
    assert not added[100:].any()


def test_weights_are_positive_and_symmetric() -> None:
    weights = triangle(7, torch.zeros(1))
    assert (weights > 0).all()
    assert torch.allclose(weights, weights.flip(0))


@settings(max_examples=30)
@given(st.integers(1, 30))
def test_no_more_than_a_chunk_and_a_block_are_held(block_samples: int) -> None:
    """Chunks come as soon as the samples after them, so a long recording is never gathered."""
    given_samples = 0

    def blocks() -> Iterator[Tensor]:
        nonlocal given_samples
        for _ in range(200):
            given_samples += block_samples
            yield torch.zeros(1, block_samples)

    for index, _ in enumerate(cut(blocks(), 20, 15)):
        assert given_samples <= index * 15 + 20 + 2 * block_samples
