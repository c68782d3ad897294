"""What Meta's quantizer gets wrong, side by side with ours on the same data.

Its expiry writes the entry, and the moving average puts the dead one back: facebookresearch/encodec
issue 61. Dimension key: N vectors, D width, T frames.
"""

import pytest
import torch
from encodec.quantization.core_vq import EuclideanCodebook as MetaCodebook
from encodec.quantization.vq import ResidualVectorQuantizer as MetaQuantizer
from torch import Tensor, nn

from codec.quantization import ResidualVectorQuantizer

FRAME_RATE = 75
ENTRIES = 64
WIDTH = 8


def clustered(batches: int, frames: int, clusters: int, seed: int = 0) -> list[Tensor]:
    """Batches [1, D, T] around so many centres."""
    generator = torch.Generator().manual_seed(seed)
    centres_ED = 4 * torch.randn(clusters, WIDTH, generator=torch.Generator().manual_seed(99))
    made = []
    for _ in range(batches):
        chosen = torch.randint(clusters, (frames,), generator=generator)
        x_TD = centres_ED[chosen] + 0.3 * torch.randn(frames, WIDTH, generator=generator)
        made.append(x_TD.t()[None])
    return made


def meta_quantizer(num_codebooks: int, *, kmeans_init: bool = True) -> nn.Module:
    torch.manual_seed(0)
    made: nn.Module = MetaQuantizer(
        WIDTH, n_q=num_codebooks, bins=ENTRIES, kmeans_init=kmeans_init, kmeans_iters=10
    )
    return made.train()


def entries_of(quantizer: nn.Module) -> Tensor:
    """The first codebook, of ours or Meta's."""
    if isinstance(quantizer, ResidualVectorQuantizer):
        return quantizer[0].embed
    return meta_codebook(quantizer).get_buffer("embed")


def encoded(quantizer: nn.Module, x: Tensor) -> Tensor:
    """Codes [K, B, T], of ours or Meta's."""
    assert isinstance(quantizer, ResidualVectorQuantizer | MetaQuantizer)
    codes: Tensor = quantizer.encode(x, FRAME_RATE)
    return codes


def meta_codebook(quantizer: nn.Module) -> nn.Module:
    return quantizer.get_submodule("vq.layers.0._codebook")


def dead_entries(quantizer: nn.Module, batches: list[Tensor]) -> int:
    """Entries of the first codebook that are nearest to no frame."""
    x_ND = torch.cat([x[0].t() for x in batches])
    return ENTRIES - len(torch.cdist(x_ND, entries_of(quantizer)).argmin(dim=1).unique())


def kill_entries(quantizer: nn.Module, count: int) -> None:
    """Moves entries far away from all there is to code, in every buffer that tells their place."""
    if isinstance(quantizer, ResidualVectorQuantizer):
        entries_ED = quantizer[0].embed.clone()
        entries_ED[:count] += 1000
        quantizer[0].set_entries(entries_ED)
    else:
        buffers = dict(meta_codebook(quantizer).named_buffers())
        buffers["embed"][:count] += 1000
        sizes_E1 = buffers["cluster_size"][:count, None]
        buffers["embed_avg"][:count] = buffers["embed"][:count] * sizes_E1


def test_expiry_takes_effect_here_and_not_upstream() -> None:
    """48 of 64 entries are killed; 100 batches later all live here, and upstream none of them."""
    before, after = {}, {}
    start, batches = torch.cat(clustered(4, 256, 64), dim=2), clustered(100, 256, 64, seed=1)
    for name, made in {
        "ours": ResidualVectorQuantizer(WIDTH, WIDTH, 1, ENTRIES, kmeans_iters=10),
        "upstream": meta_quantizer(1),
    }.items():
        made(start, FRAME_RATE)
        kill_entries(made, 48)
        before[name] = dead_entries(made, batches[-20:])
        for x in batches:
            made(x, FRAME_RATE)
        after[name] = dead_entries(made, batches[-20:])
    assert (before["ours"], after["ours"]) == (48, 0)
    # Some more die upstream when its averages begin, which do not agree with its entries.
    assert 48 <= before["upstream"] <= after["upstream"]


def test_initialization_on_small_batches_is_worth_something_here_and_not_upstream() -> None:
    """Batches have fewer frames than a codebook has entries.

    Upstream remembers the first one, which leaves hardly anything for the later codebooks to begin
    with, and their entries have not come to life when ours begin with all of theirs.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, WIDTH, 2000, generator=generator)
    ours = ResidualVectorQuantizer(WIDTH, WIDTH, 4, ENTRIES, kmeans_iters=10)
    theirs = meta_quantizer(4)
    while not ours.is_fitted:
        batch = torch.randn(1, WIDTH, 50, generator=generator)
        ours(batch, FRAME_RATE)
        theirs(batch, FRAME_RATE)
    used, left = {}, {}
    for name, made in {"ours": ours.eval(), "upstream": theirs.eval()}.items():
        codes = encoded(made, x)
        used[name] = [len(codes_BT.unique()) for codes_BT in codes]
        left[name] = float((x - made(x, FRAME_RATE).quantized).square().mean() / x.var())
    assert min(used["ours"]) >= 0.95 * ENTRIES
    assert max(used["upstream"][1:]) < 0.5 * ENTRIES
    assert left["ours"] < 0.06
    assert left["upstream"] > 2 * left["ours"]


def test_tiny_batches_starve_nobody_here_and_everybody_upstream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Frames for an eighth of the entries a batch; every entry is used as often as any other.

    Upstream judges nearly all of them dead in every batch, which would move them every time if its
    moving average did not undo that.
    """
    judged_dead: list[int] = []

    def counted(_codebook: MetaCodebook, _samples: Tensor, mask: Tensor) -> None:
        judged_dead.append(int(mask.sum()))

    monkeypatch.setattr(MetaCodebook, "replace_", counted)
    start, batches = torch.cat(clustered(40, 64, 64), dim=2), clustered(900, 8, 64, seed=1)
    ours = ResidualVectorQuantizer(WIDTH, WIDTH, 1, ENTRIES, kmeans_iters=10, decay=0.999)
    theirs = meta_quantizer(1)
    judgements = 0
    for x in (start, *batches):
        uses = int(ours[0].uses.sum())
        ours(x, FRAME_RATE)
        judgements += int(ours[0].uses.sum()) < uses
    for x in (start[..., :128], *batches[:100]):
        theirs(x, FRAME_RATE)
    assert min(judged_dead[-20:]) > 0.9 * ENTRIES
    assert judgements == 1
    assert ours.replaced_entries <= 0.1 * ENTRIES
    assert dead_entries(ours, [start]) <= 2
