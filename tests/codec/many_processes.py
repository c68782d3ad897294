"""What each of several processes does in `test_processes.py`, and one process alone on all of it.

    python -m tests.codec.many_processes RANK PROCESSES FOLDER

writes FOLDER/rank<RANK>.pt. Dimension key: B batch, D width, T frames.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import torch
from torch import Tensor, distributed, nn

from codec import processes
from codec.quantization import ResidualVectorQuantizer
from tests.codec.test_training import QUICK, trainer_of

BATCHES = 40
FRAME_RATE = 75
ROWS = {"even": (2, 2), "uneven": (3, 1)}  # of each batch, for the two processes


def batches(kind: str) -> Iterator[Tensor]:
    """This process's share of each batch; all of it where there is one process.

    Frames come from clusters. A third of these falls silent after a while, so that entries die.
    """
    generator = torch.Generator().manual_seed(1)
    centres = 3 * torch.randn(12, 8, generator=generator)
    first = [sum(ROWS[kind][:rank]) for rank in range(2)]
    for index in range(BATCHES):
        alive = 12 if index < 10 else 8
        chosen = torch.randint(alive, (4, 25), generator=generator)
        noise = torch.randn(4, 25, 8, generator=generator)
        x_BDT = (centres[chosen] + 0.3 * noise).transpose(1, 2)
        mine = slice(
            first[processes.rank()], first[processes.rank()] + ROWS[kind][processes.rank()]
        )
        yield x_BDT if processes.count() == 1 else x_BDT[mine]


def learned(kind: str) -> dict[str, Tensor]:
    """Codebooks of ours after all batches."""
    quantizer = ResidualVectorQuantizer(8, 8, 3, 16, kmeans_iters=10)
    quantizer.quantizer_dropout = True
    for x_BDT in batches(kind):
        quantizer(x_BDT, FRAME_RATE)
    state = quantizer.state_dict()
    return {**state, "replaced_entries": torch.tensor(quantizer.replaced_entries)}


def learned_upstream() -> dict[str, Tensor]:
    """Codebooks of Meta's quantizer after all batches."""
    from encodec.quantization.vq import ResidualVectorQuantizer as MetaQuantizer

    torch.manual_seed(0)
    quantizer: nn.Module = MetaQuantizer(8, n_q=3, bins=16, kmeans_iters=10).train()
    for x_BDT in batches("even"):
        quantizer(x_BDT, FRAME_RATE)
    return quantizer.state_dict()


def trained(folder: Path, *, adversarial: bool) -> dict[str, Tensor]:
    """A model after a few steps of every stage."""
    config = replace(
        QUICK, imitate_steps=4, continuous_steps=2, quantized_steps=6, adversarial=adversarial
    )
    checkpoint = folder / f"{adversarial}-{processes.count()}"
    return trainer_of(config, checkpoint).run().state_dict()


def results(folder: Path) -> dict[str, dict[str, Tensor]]:
    """Everything above, by name."""
    scenarios: dict[str, Callable[[], dict[str, Tensor]]] = {
        "even": lambda: learned("even"),
        "uneven": lambda: learned("uneven"),
        "upstream": learned_upstream,
        "trained": lambda: trained(folder, adversarial=False),
        "adversarial": lambda: trained(folder, adversarial=True),
    }
    return {name: run() for name, run in scenarios.items()}


def main() -> None:
    """Joins the others, and writes what came out here."""
    rank, count, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting-point",
        rank=rank,
        world_size=count,
        timeout=timedelta(seconds=120),
    )
    torch.save(results(folder), folder / f"rank{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
