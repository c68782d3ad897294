"""Codebooks: the search, k-means, moving averages, and replacement that takes effect."""

import pytest
import torch
from torch import Tensor

from codec.quantization import EuclideanCodebook, ResidualCodebooks
from codec.quantization.learning import fit_kmeans, replace_dead, update_averages


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _codebook(entries_ED: Tensor) -> EuclideanCodebook:
    codebook = EuclideanCodebook(entries_ED.shape[1], len(entries_ED))
    codebook.embed.copy_(entries_ED)
    codebook.embed_avg.copy_(entries_ED)
    codebook.cluster_size.fill_(1)
    return codebook


def test_the_nearest_entry_is_found(generator: torch.Generator) -> None:
    codebook = _codebook(torch.randn(50, 6, generator=generator))
    x_ND = torch.randn(400, 6, generator=generator)
    wanted = torch.cdist(x_ND.double(), codebook.embed.double()).argmin(dim=1)
    assert torch.equal(codebook.nearest(x_ND), wanted)
    assert torch.equal(codebook.lookup(wanted), codebook.embed[wanted])


def test_each_codebook_leaves_less(generator: torch.Generator) -> None:
    z_BDT = torch.randn(2, 4, 300, generator=generator)
    stack = ResidualCodebooks(4, 32, 3)
    residual_ND = z_BDT.transpose(1, 2).reshape(-1, 4)
    for k in range(3):
        fit_kmeans(stack[k], residual_ND, 10, generator)
        residual_ND = residual_ND - stack[k].lookup(stack[k].nearest(residual_ND))
    errors = [
        float((stack.decode(stack.encode(z_BDT, k)) - z_BDT).square().mean()) for k in (1, 2, 3)
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert torch.equal(stack.encode(z_BDT, 2), stack.encode(z_BDT, 3)[:, :2])


def test_kmeans_finds_clusters(generator: torch.Generator) -> None:
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    x_ND = centres.repeat(100, 1) + 0.1 * torch.randn(400, 2, generator=generator)
    codebook = EuclideanCodebook(2, 4)
    fit_kmeans(codebook, x_ND, 20, generator)
    assert torch.cdist(centres, codebook.embed).min(dim=1).values.max() < 0.1


def test_kmeans_wants_vectors_for_every_entry(generator: torch.Generator) -> None:
    with pytest.raises(ValueError, match="3 vectors for 4 entries; gather more"):
        fit_kmeans(EuclideanCodebook(2, 4), torch.zeros(3, 2), 1, generator)


def test_averages_move_entries_to_the_mean_of_their_vectors() -> None:
    codebook = _codebook(torch.tensor([[0.0], [10.0]]))
    x_ND = torch.tensor([[1.0], [3.0], [9.0], [11.0], [12.0], [12.0]])
    for _ in range(2000):
        update_averages(codebook, x_ND, codebook.nearest(x_ND), 0.99)
    assert torch.allclose(codebook.embed, torch.tensor([[2.0], [11.0]]), atol=1e-2)
    assert torch.allclose(codebook.cluster_size, torch.tensor([2 / 3, 4 / 3]), atol=1e-2)


def test_a_replaced_entry_keeps_its_place_through_the_next_update(
    generator: torch.Generator,
) -> None:
    """In Meta's code the moving average puts the dead entry back at the next step."""
    codebook = _codebook(torch.tensor([[0.0], [500.0]]))
    x_ND = torch.linspace(-1, 1, 64)[:, None]
    for _ in range(600):
        update_averages(codebook, x_ND, codebook.nearest(x_ND), 0.99)
    assert codebook.cluster_size[1] < 0.1
    assert replace_dead(codebook, x_ND, 0.1, generator) == 1
    placed = codebook.embed[1].clone()
    assert placed.abs() <= 1
    update_averages(codebook, x_ND, codebook.nearest(x_ND), 0.99)
    assert torch.allclose(codebook.embed[1], placed, atol=0.05)
    assert codebook.nearest(x_ND).unique().numel() == 2
    assert replace_dead(codebook, x_ND, 0.1, generator) == 0
