"""Usage and entropy of codebooks, where they are known."""

import math

import numpy as np
import pytest

from tokenize_pipeline.verification.code_statistics import BARS, CodeCounts


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
