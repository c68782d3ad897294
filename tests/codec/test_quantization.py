"""Codebooks: the search, k-means, moving averages, and replacement that takes effect."""

import pytest
import torch
from torch import Tensor

from codec import CodebookError
from codec.quantization import EuclideanCodebook, ResidualVectorQuantizer
from codec.quantization.kmeans import fit_kmeans
from codec.quantization.learning import (
    USES_UNTIL_JUDGED,
    expire,
    replace_expired,
    sums_by_entry,
    update_averages,
)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _codebook(entries_ED: Tensor) -> EuclideanCodebook:
    codebook = EuclideanCodebook(entries_ED.shape[1], len(entries_ED))
    codebook.set_entries(entries_ED)
    return codebook


def _update(codebook: EuclideanCodebook, x_ND: Tensor) -> None:
    sums_ED1 = sums_by_entry(codebook.nearest(x_ND), x_ND, codebook.codebook_size)
    update_averages(codebook, sums_ED1, 0.99)


def test_the_nearest_entry_is_found(generator: torch.Generator) -> None:
    codebook = _codebook(torch.randn(50, 6, generator=generator))
    x_ND = torch.randn(400, 6, generator=generator)
    wanted = torch.cdist(x_ND.double(), codebook.embed.double()).argmin(dim=1)
    assert torch.equal(codebook.nearest(x_ND), wanted)
    assert torch.equal(codebook.lookup(wanted), codebook.embed[wanted])


def test_each_codebook_leaves_less(generator: torch.Generator) -> None:
    z_BDT = torch.randn(2, 4, 300, generator=generator)
    stack = ResidualVectorQuantizer(4, 4, 3, 32, kmeans_iters=10)
    stack.fit(z_BDT)
    errors = [
        float((stack.lookup(stack.search(z_BDT, k)) - z_BDT).square().mean()) for k in (1, 2, 3)
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert torch.equal(stack.search(z_BDT, 2), stack.search(z_BDT, 3)[:, :2])


def test_kmeans_finds_clusters(generator: torch.Generator) -> None:
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    x_ND = centres.repeat(100, 1) + 0.1 * torch.randn(400, 2, generator=generator)
    codebook = EuclideanCodebook(2, 4)
    fit_kmeans(codebook, x_ND, 20, generator)
    assert torch.cdist(centres, codebook.embed).min(dim=1).values.max() < 0.1
    assert torch.allclose(codebook.cluster_size, torch.ones(4), atol=0.3)
    assert torch.allclose(codebook.embed_avg, codebook.embed * codebook.cluster_size[:, None])


def test_kmeans_gives_the_same_entries_for_the_same_seed(generator: torch.Generator) -> None:
    x_ND = torch.randn(400, 6, generator=generator)
    found = []
    for seed in (1, 1, 2):
        codebook = EuclideanCodebook(6, 16)
        fit_kmeans(codebook, x_ND, 5, torch.Generator().manual_seed(seed))
        found.append(codebook.embed)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_kmeans_wants_vectors_for_every_entry(generator: torch.Generator) -> None:
    with pytest.raises(CodebookError, match="got 3 frames for a codebook of 4 entries; gather at"):
        fit_kmeans(EuclideanCodebook(2, 4), torch.zeros(3, 2), 1, generator)


def test_averages_move_entries_to_the_mean_of_their_vectors() -> None:
    codebook = _codebook(torch.tensor([[0.0], [10.0]]))
    x_ND = torch.tensor([[1.0], [3.0], [9.0], [11.0], [12.0], [12.0]])
    for _ in range(2000):
        _update(codebook, x_ND)
    assert torch.allclose(codebook.embed, torch.tensor([[2.0], [11.0]]), atol=1e-2)
    assert torch.allclose(codebook.cluster_size, torch.tensor([2 / 3, 4 / 3]), atol=1e-2)
    assert codebook.uses.tolist() == [4000, 8000]


def test_an_entry_nobody_uses_stays_where_it_is() -> None:
    """Its averages go to nothing, and the smoothing would carry the entry to the origin."""
    codebook = _codebook(torch.tensor([[0.0], [500.0]]))
    x_ND = torch.linspace(-1, 1, 8)[:, None]
    for _ in range(3000):
        _update(codebook, x_ND)
    assert codebook.embed[1] == pytest.approx(500, rel=0.02)


def test_a_replaced_entry_keeps_its_place_through_the_next_update(
    generator: torch.Generator,
) -> None:
    codebook = _codebook(torch.tensor([[0.0], [500.0]]))
    x_ND = torch.linspace(-1, 1, 64)[:, None]
    while not codebook.is_expired.any():
        assert codebook.uses.sum() < 2 * USES_UNTIL_JUDGED
        _update(codebook, x_ND)
        expire(codebook, 2)
    assert codebook.is_expired.tolist() == [False, True]
    assert replace_expired(codebook, x_ND, generator) == 1
    placed = codebook.embed[1].clone()
    assert placed.abs() <= 1
    _update(codebook, x_ND)
    assert torch.allclose(codebook.embed[1], placed, atol=0.05)
    assert codebook.nearest(x_ND).unique().numel() == 2
    assert replace_expired(codebook, x_ND, generator) == 0


def test_where_vectors_are_few_no_two_entries_go_to_one_place(generator: torch.Generator) -> None:
    codebook = _codebook(torch.full((10, 1), 500.0))
    codebook.is_expired.fill_(True)
    for moved, left in ((4, 6), (4, 2), (2, 0)):
        assert replace_expired(codebook, torch.randn(4, 1, generator=generator), generator) == moved
        assert int(codebook.is_expired.sum()) == left
    assert codebook.embed.unique().numel() == 10


@pytest.mark.parametrize(("threshold", "dead"), [(0, 0), (2, 1), (6, 2), (20, 3)])
def test_the_threshold_counts_uses_of_an_entry_where_twenty_are_due(
    threshold: float, dead: int
) -> None:
    codebook = _codebook(torch.arange(4.0)[:, None])
    codebook.uses.copy_(torch.tensor([9, 25, 99, 400]) * 2)  # 133 on average: judged
    expire(codebook, threshold)
    assert int(codebook.is_expired.sum()) == dead
    assert codebook.uses.sum() == 0
