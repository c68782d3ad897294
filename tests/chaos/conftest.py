"""Sources, the undisturbed output, and the table that all tests of this folder fill."""

from pathlib import Path

import pytest

from tests.chaos.in_one_process import run_here
from tests.chaos.oracle import Output, read_output
from tests.chaos.table import FaultTable
from tests.pipeline.audio_files import write_corpus
from tests.pipeline.conftest import codec_folder, ray_cluster  # noqa: F401  used here too

_TABLE = pytest.StashKey[FaultTable]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TABLE] = FaultTable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    table = terminalreporter.config.stash[_TABLE]
    if table.lines:
        terminalreporter.section("faults")
        for line in table.text():
            terminalreporter.line(line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests may take long."""
    for item in items:
        if item.get_closest_marker("chaos") is not None:
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture
def table(request: pytest.FixtureRequest) -> FaultTable:
    return request.config.stash[_TABLE]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty-four recordings in five shards, two of them broken."""
    return write_corpus(tmp_path_factory.mktemp("chaos") / "corpus", count=32)


@pytest.fixture(scope="session")
def undisturbed(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Output:
    """What a run makes that nothing happens to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    ending = run_here(str(corpus), str(folder / "out"), folder / "report.json")
    assert ending.exit_code == 0, ending.text
    return read_output(str(folder / "out"))


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """Where a run in a process of its own tells how it went."""
    return tmp_path / "report.json"
