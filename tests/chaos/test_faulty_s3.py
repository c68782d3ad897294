"""Runs on S3 that fails now and then, or at once for good: the same dataset, or a clear end."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import s3fs  # type: ignore[import-untyped]

from tests.chaos.faulty_s3 import FAULTS, FaultLayer
from tests.chaos.in_one_process import Orders, run_here, start_here
from tests.chaos.oracle import Output, assert_same, read_output
from tests.chaos.table import FaultTable
from tests.s3_server import CREDENTIALS, s3_server
from tokenize_pipeline import storage

# Stalls and pauses are short, or the tests would wait for most of their time.
_S3_OPTIONS = {"read_timeout": 1, "retries": {"mode": "standard", "max_attempts": 3}}


@pytest.fixture(scope="module")
def faults() -> Iterator[FaultLayer]:
    """A server with a bucket, behind the layer."""
    with (
        s3_server() as port,
        FaultLayer(port).listening() as layer,
        pytest.MonkeyPatch.context() as p,
    ):
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": layer.url}.items():
            p.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("chaos")
        yield layer
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def orders(faults: FaultLayer) -> Orders:
    faults.be_well()
    environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": faults.url}
    return Orders(environment=environment, s3_options=_S3_OPTIONS)


@pytest.fixture(scope="module")
def sources(faults: FaultLayer, corpus: Path) -> str:
    """The recordings in the bucket."""
    faults.be_well()
    for path in corpus.rglob("*.*"):
        storage.put_file(path, f"s3://chaos/corpus/{path.relative_to(corpus).as_posix()}")
    return "s3://chaos/corpus"


@pytest.fixture(scope="module")
def undisturbed(
    faults: FaultLayer, sources: str, tmp_path_factory: pytest.TempPathFactory
) -> Output:
    faults.be_well()
    environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": faults.url}
    report = tmp_path_factory.mktemp("s3") / "report.json"
    ending = run_here(sources, "s3://chaos/undisturbed", report, Orders(environment=environment))
    assert ending.exit_code == 0, ending.text
    return read_output("s3://chaos/undisturbed")


def until_done(source: str, output: str, report: Path, orders: Orders) -> int:
    """Run the same command until it ends well; how often it was needed."""
    turns, exit_code = 0, 1
    while exit_code != 0:
        ending = run_here(source, output, report, orders)
        turns, exit_code = turns + 1, ending.exit_code
        assert turns < 30, f"never ended well: {ending.text}"
        assert exit_code in (0, 1, 2), ending.text
        assert "tokenize-pipeline: " in ending.text or exit_code == 0
    return turns


def test_running_a_finished_job_again_writes_nothing(
    undisturbed: Output, sources: str, orders: Orders, faults: FaultLayer, report: Path
) -> None:
    ending = run_here(sources, "s3://chaos/undisturbed", report, orders)
    assert ending.exit_code == 0
    assert "34 recordings" in ending.text
    assert faults.requests["GET"] > 0
    assert not {"PUT", "POST", "DELETE"} & faults.requests.keys()


def test_requests_that_fail_in_many_ways_are_repeated(
    undisturbed: Output, sources: str, orders: Orders, faults: FaultLayer, report: Path
) -> None:
    faults.harm(FAULTS[:3], 0.1, seed=3)
    until_done(sources, "s3://chaos/some", report, orders)
    injected = faults.injected.total()
    faults.be_well()
    assert injected > 3
    assert_same(read_output("s3://chaos/some"), undisturbed)


@pytest.mark.chaos
def test_requests_that_fail_are_repeated(
    undisturbed: Output,
    sources: str,
    orders: Orders,
    faults: FaultLayer,
    report: Path,
    table: FaultTable,
) -> None:
    """Every fault in turn, upon a tenth of all requests."""
    for seed, kind in enumerate(FAULTS):
        output = f"s3://chaos/one/{seed}"
        faults.harm((kind,), 0.1 if kind != "stall" else 0.03, seed)
        until_done(sources, output, report, orders)
        injected = faults.injected[kind]
        faults.be_well()
        assert injected > 0
        table.check(f"S3: {kind}", injected, read_output(output), undisturbed)


@pytest.mark.chaos
def test_all_faults_and_kills_together(
    undisturbed: Output,
    sources: str,
    orders: Orders,
    faults: FaultLayer,
    report: Path,
    table: FaultTable,
) -> None:
    for seed in range(12):
        output = f"s3://chaos/all/{seed}"
        faults.harm(FAULTS, 0.08, seed)
        for step in (7 * seed % 40, 11 * seed % 40):
            run_here(sources, output, report, replace(orders, die_at=step))
        until_done(sources, output, report, orders)
        injected = faults.injected.total()
        faults.be_well()
        assert injected > 0
        table.check("S3: all faults, driver killed", injected, read_output(output), undisturbed)


@pytest.mark.chaos
def test_killed_at_every_write_to_s3(
    undisturbed: Output,
    sources: str,
    orders: Orders,
    faults: FaultLayer,
    report: Path,
    table: FaultTable,
) -> None:
    steps = run_here(sources, "s3://chaos/counted", report, orders).steps
    assert steps > 20
    for step in range(steps):
        output = f"s3://chaos/killed/{step}"
        assert run_here(sources, output, report, replace(orders, die_at=step)).exit_code == -9
        assert run_here(sources, output, report, orders).exit_code == 0
        table.check("S3: driver killed at a write", 1, read_output(output), undisturbed)


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.chaos
def test_storage_that_breaks_for_good_ends_the_run_clearly_and_the_next_one_finishes(
    kind: str,
    undisturbed: Output,
    sources: str,
    orders: Orders,
    faults: FaultLayer,
    tmp_path: Path,
    table: FaultTable,
) -> None:
    """Mid-run every write begins to fail, until the run has ended."""
    output, go = f"s3://chaos/broken/{FAULTS.index(kind)}", tmp_path / "go"
    run = start_here(sources, output, tmp_path / "report.json", replace(orders, wait_for=str(go)))
    while not storage.exists(f"{output}/_run/run.json"):
        assert run.process.is_alive()
    faults.harm((kind,), 1.0, 1, methods="PUT POST")
    go.touch()
    ending = run.wait()
    injected = faults.injected[kind]
    faults.be_well()
    assert ending.exit_code == 1, ending.text
    assert "tokenize-pipeline: " in ending.text
    assert "Traceback" not in ending.text
    assert injected > 0
    assert run_here(sources, output, tmp_path / "report.json", orders).exit_code == 0
    table.check(f"S3: {kind} for good", injected, read_output(output), undisturbed)


def test_one_of_several_drivers_gets_the_lock(
    undisturbed: Output, sources: str, orders: Orders, faults: FaultLayer, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    waiting = replace(orders, wait_for=str(go))
    reports = [tmp_path / f"{name}.json" for name in range(3)]
    runs = [start_here(sources, "s3://chaos/shared", path, waiting) for path in reports]
    while sum(run.process.is_alive() for run in runs) > 1:
        for run in runs:
            run.process.join(0.05)
    go.touch()
    endings = [run.wait() for run in runs]
    assert sorted(ending.exit_code for ending in endings) == [0, 2, 2], endings
    assert not faults.injected
