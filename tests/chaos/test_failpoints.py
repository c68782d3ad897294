"""A driver killed before and after any write: the same command again makes the same dataset."""

import random
import time
from pathlib import Path

import pytest

from tests.chaos.in_one_process import Orders, run_here, start_here
from tests.chaos.oracle import Output, assert_same, read_output
from tests.chaos.table import FaultTable

KILLED = -9


def steps_of_a_run(corpus: Path, tmp_path: Path) -> int:
    return run_here(str(corpus), str(tmp_path / "counted"), tmp_path / "counted.json").steps


def kill_and_resume(corpus: Path, output: Path, report: Path, *steps: int) -> int:
    """Runs that die, and one that does not; how many did die."""
    killed = 0
    for step in steps:
        ending = run_here(str(corpus), str(output), report, Orders(die_at=step))
        assert ending.exit_code in (KILLED, 0), ending.text
        killed += ending.exit_code == KILLED
    ending = run_here(str(corpus), str(output), report)
    assert ending.exit_code == 0, ending.text
    return killed


def test_killed_at_some_steps(
    corpus: Path, undisturbed: Output, tmp_path: Path, report: Path, table: FaultTable
) -> None:
    """Every nineteenth step, so that all kinds of steps are met."""
    steps = steps_of_a_run(corpus, tmp_path)
    assert steps > 60
    for step in range(0, steps, 19):
        output = tmp_path / f"out{step}"
        assert kill_and_resume(corpus, output, report, step) == 1
        table.check("driver killed at a write", 1, read_output(str(output)), undisturbed)


@pytest.mark.chaos
def test_killed_at_every_step(
    corpus: Path, undisturbed: Output, tmp_path: Path, report: Path, table: FaultTable
) -> None:
    for step in range(steps_of_a_run(corpus, tmp_path)):
        output = tmp_path / f"out{step}"
        assert kill_and_resume(corpus, output, report, step) == 1, step
        table.check("driver killed at a write", 1, read_output(str(output)), undisturbed)


@pytest.mark.chaos
def test_killed_again_and_again(
    corpus: Path, undisturbed: Output, tmp_path: Path, report: Path, table: FaultTable
) -> None:
    chance = random.Random(5)
    for turn in range(20):
        output = tmp_path / f"out{turn}"
        steps = [chance.randrange(60) for _ in range(6)]
        killed = kill_and_resume(corpus, output, report, *steps)
        table.check("driver killed repeatedly", killed, read_output(str(output)), undisturbed)


def test_shards_may_be_done_in_any_order(
    corpus: Path, undisturbed: Output, tmp_path: Path, report: Path
) -> None:
    for seed in range(2):
        output = str(tmp_path / f"out{seed}")
        assert run_here(str(corpus), output, report, Orders(seed=seed)).exit_code == 0
        assert_same(read_output(output), undisturbed)


def test_two_drivers_of_one_output(
    corpus: Path, undisturbed: Output, tmp_path: Path, report: Path
) -> None:
    """Started together: one is refused, the other finishes."""
    output, go = str(tmp_path / "out"), tmp_path / "go"
    orders = Orders(wait_for=str(go))
    reports = [tmp_path / f"{name}.json" for name in range(3)]
    runs = [start_here(str(corpus), output, path, orders) for path in reports]
    end = time.monotonic() + 60
    while sum(run.process.is_alive() for run in runs) > 1 and time.monotonic() < end:
        time.sleep(0.1)
    refused = [run for run in runs if not run.process.is_alive()]
    assert len(refused) == 2
    for run in refused:
        ending = run.wait()
        assert ending.exit_code == 2
        assert "is at work on this output; wait until it has ended" in ending.text
    go.touch()
    (left,) = (run for run in runs if run not in refused)
    assert left.wait().exit_code == 0
    assert_same(read_output(output), undisturbed)
