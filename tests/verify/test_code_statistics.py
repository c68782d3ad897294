"""Usage and entropy of codebooks, where they are known."""

import math

import numpy as np
import pytest

from tokenize_pipeline.verification.code_statistics import (
    BARS,
    PAIRS_PER_SHARD,
    CodeCounts,
    outliers,
)


def counted(codes: np.ndarray, codebook_size: int) -> CodeCounts:
    counts = CodeCounts(len(codes), codebook_size)
    counts.add(codes.astype(np.uint16))
    return counts


def test_equally_used_entries_have_full_entropy() -> None:
    (book,) = counted(np.arange(1024)[None].repeat(3, axis=0).reshape(1, -1), 1024).statistics()
    assert book.entropy_bits == pytest.approx(10)
    assert book.perplexity == pytest.approx(1024)
    assert book.used_entries == 1024
    assert book.usage == pytest.approx([1 / BARS] * BARS)


def test_one_code_has_no_entropy() -> None:
    (book,) = counted(np.full((1, 2000), 7), 1024).statistics()
    assert (book.entropy_bits, book.used_entries, book.is_constant) == (0.0, 1, True)
    assert book.usage[0] == 1


def test_entropy_of_known_shares() -> None:
    (book,) = counted(np.array([[0, 0, 1, 2]]), 4).statistics()
    assert book.entropy_bits == pytest.approx(1.5)
    assert book.usage == (0.5, 0.25, 0.25, 0.0)


def test_codebooks_are_counted_apart_and_rows_together() -> None:
    counts = CodeCounts(2, 8)
    counts.add(np.array([[1, 1], [2, 3]], dtype=np.uint16))
    counts.add(np.array([[1], [4]], dtype=np.uint16))
    first, second = counts.statistics()
    assert (first.used_entries, second.used_entries) == (1, 3)
    assert second.entropy_bits == pytest.approx(math.log2(3))


def test_a_codebook_of_more_entries_than_uint8_and_no_frames() -> None:
    (book,) = CodeCounts(1, 65536).statistics()
    assert (book.frames, book.entropy_bits, sum(book.usage)) == (0, 0.0, 0.0)


def random_codes(frames: int, seed: int, size: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, size, (2, frames))


def test_bigram_entropy_is_that_of_the_pairs() -> None:
    (book,) = counted(np.array([[0, 1, 0, 1, 0, 1, 0, 1, 0]]), 4).statistics()
    assert book.bigram_entropy_bits == pytest.approx(1.0)
    assert book.bigrams == 8
    assert book.dead_entries == 2
    (book,) = counted(random_codes(8000, 1)[:1], 64).statistics()
    assert book.bigram_entropy_bits == pytest.approx(2 * book.entropy_bits, abs=0.5)


def test_pairs_of_a_shard_are_bounded() -> None:
    counts = CodeCounts(2, 64)
    for seed in range(4):
        counts.add(random_codes(3000, seed).astype(np.uint16))
    assert {book.bigrams for book in counts.statistics()} == {2999 + 2999 + PAIRS_PER_SHARD - 6000}


def test_counts_of_shards_add_up_to_those_of_the_whole() -> None:
    parts = [random_codes(frames, seed=frames) for frames in (500, 700, 300)]
    whole, merged = CodeCounts(2, 64), CodeCounts(2, 64)
    for codes in parts:
        whole.add(codes.astype(np.uint16))
        merged.merge(counted(codes, 64))
    assert merged.statistics() == whole.statistics()


def test_a_shard_like_the_others_has_no_drift_and_another_has() -> None:
    shards = [counted(random_codes(2000, seed), 64) for seed in range(6)]
    shards.append(counted(random_codes(2000, 7, size=8), 64))
    whole = CodeCounts(2, 64)
    for shard in shards:
        whole.merge(shard)
    drifts = [shard.drift_bits(whole) for shard in shards]
    assert max(drifts[:-1]) < 0.03
    assert drifts[-1] > 0.3
    assert outliers(drifts) == [6]
    assert outliers(drifts[:3]) == []
    assert counted(np.zeros((2, 50)), 64).drift_bits(counted(np.ones((2, 50)), 64)) > 0.9
