"""Two processes that train: they have the same codebooks and weights, and those of one process."""

import subprocess
import sys
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from tests.codec import many_processes
from tests.conftest import REPOSITORY

State = dict[str, Tensor]


class Outcome(NamedTuple):
    """State dicts by scenario."""

    first: dict[str, State]
    second: dict[str, State]
    alone: dict[str, State]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("processes")
    command = [sys.executable, "-W", "error", "-m", "tests.codec.many_processes"]
    started = [
        subprocess.Popen(
            [*command, str(rank), "2", str(folder)],
            cwd=REPOSITORY,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    alone = {
        "even": many_processes.learned("even"),
        "upstream": many_processes.learned_upstream(),
    }
    for process in started:
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
    found = [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    return Outcome(found[0], found[1], alone)


def furthest(one: State, other: State) -> float:
    """The largest difference of any two values."""
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.mark.parametrize("scenario", ["even", "uneven", "trained", "adversarial"])
def test_all_processes_have_the_same_bits(outcome: Outcome, scenario: str) -> None:
    assert furthest(outcome.first[scenario], outcome.second[scenario]) == 0


@pytest.mark.parametrize("scenario", ["even", "uneven"])
def test_codebooks_are_those_of_one_process_on_all_the_audio(
    outcome: Outcome, scenario: str
) -> None:
    """Sums are float64, so that their order hardly ever shows in a float32."""
    alone = outcome.alone["even"]
    assert int(alone["replaced_entries"]) > 0, "nothing died, so replacement was not tried"
    assert furthest(outcome.first[scenario], alone) < 1e-5


def test_upstream_differs_between_processes_and_from_one(outcome: Outcome) -> None:
    """Meta's quantizer averages over each process's own vectors: the tests above would fail."""
    first, second, alone = (part["upstream"] for part in outcome)
    embeds = [name for name in first if name.endswith("embed")]
    pairs = {"each other": (first, second), "one process": (first, alone)}
    for name, (one, other) in pairs.items():
        distance = furthest({n: one[n] for n in embeds}, {n: other[n] for n in embeds})
        assert distance > 1e-3, f"no different from {name}"
