"""The commands of the README, typed exactly so, in processes of their own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import create_package
from ray.job_submission import JobStatus, JobSubmissionClient

from tests.conftest import REPOSITORY
from tests.pipeline.audio_files import write_corpus, write_noise
from tests.pipeline.processes import descendants, title
from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.schema import read_part

ENVIRONMENT = {
    **os.environ,
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus")


def test_the_name_of_the_job_hides_no_standard_module(tmp_path: Path) -> None:
    """`import torch` needs the standard library's `tokenize`."""
    command = ["python", "jobs/tokenize.py", "nowhere", "--output", str(tmp_path / "out")]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "tokenize-pipeline: source does not exist: nowhere\n"
    assert not (tmp_path / "out").exists()


@dataclass(frozen=True)
class Cluster:
    """A cluster in processes of its own."""

    address: str
    dashboard: str
    folder: Path

    def shipped(self) -> set[str]:
        """What the working directories that jobs brought along hold, one level deep."""
        found = self.folder.glob("session_*/runtime_resources/working_dir_files/*/*")
        return {path.name for path in found}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """`ray start` on ports of its own; ended by its process group."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # paths of sockets are short
    port, dashboard_port, agent_port = free_ports(3)
    command = [
        *("ray", "start", "--head", "--block", f"--port={port}", "--num-cpus=2"),
        *(f"--dashboard-port={dashboard_port}", f"--dashboard-agent-listen-port={agent_port}"),
        *(f"--temp-dir={folder}",),
        *("--disable-usage-stats", "--node-ip-address=127.0.0.1"),
    ]
    log = (folder / "start.log").open("wb")
    with (
        log,
        subprocess.Popen(
            command, env=ENVIRONMENT, stdout=log, stderr=log, start_new_session=True
        ) as process,
    ):
        try:
            wait_for_port(dashboard_port, process)
            wait_for_port(agent_port, process)
            yield Cluster(f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard_port}", folder)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=3)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the repository with what people have in theirs."""
    folder = tmp_path / "checkout"
    for name in ("codec", "tokenize_pipeline", "jobs", "docs"):
        shutil.copytree(REPOSITORY / name, folder / name)
    for name in (".gitignore", ".rayignore", "constraints.txt", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, folder)
    for name in (".venv", "out", "speech"):
        (folder / name).mkdir()
        (folder / name / "large").write_bytes(b"x")
    return folder


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, "the cluster did not start"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail("the dashboard of the cluster did not answer")


def test_ray_job_submit(
    cluster: Cluster, corpus: Path, codec_folder: Path, tmp_path: Path, checkout: Path
) -> None:
    output = tmp_path / "out"
    done = finished([*submit(cluster), *job(corpus, output, codec_folder)], checkout)
    assert "8/8 recordings, " in done
    assert "6 rows, 0.00 hours, 2 (1 empty, 1 undecodable) rejected of 8" in done
    assert number_of_rows(output) == 6
    assert cluster.shipped() == {"codec", "constraints.txt", "jobs", "tokenize_pipeline"}


def test_what_is_sent_to_a_cluster_is_small(checkout: Path, tmp_path: Path) -> None:
    """Nearly all of it is the embedded codec."""
    package = tmp_path / "package.zip"
    create_package(str(checkout), package, include_gitignore=True, excludes=[])
    with zipfile.ZipFile(package) as opened:
        names = {name for name in opened.namelist() if not name.endswith("/")}
    ours = {path.relative_to(checkout).as_posix() for path in tracked(checkout)}
    kept = ("codec/", "tokenize_pipeline/", "jobs/", "constraints.txt")
    assert names == {name for name in ours if name.startswith(kept)}
    print(f"sent to a cluster: {package.stat().st_size / 1e6:.1f} MB in {len(names)} files")
    assert package.stat().st_size < 8e6


def test_a_job_says_how_it_ended(
    cluster: Cluster, codec_folder: Path, tmp_path: Path, checkout: Path
) -> None:
    """`ray job submit` itself knows 0 and 1; the job's own code and its line are in its record."""
    command = [*submit(cluster, "wrong"), *job(Path("/nowhere"), tmp_path / "out", codec_folder)]
    done = subprocess.run(
        command, cwd=checkout, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "tokenize-pipeline: source does not exist: /nowhere" in done.stdout
    assert JobSubmissionClient(cluster.dashboard).get_job_info("wrong").driver_exit_code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_stopped_job_is_resumed_by_another(
    cluster: Cluster, codec_folder: Path, tmp_path: Path, checkout: Path
) -> None:
    """The same bytes as a run that nobody stopped, and nothing of the first is left running."""
    for index in range(24):
        write_noise(tmp_path / "corpus" / f"{index:02d}.flac", 60.0, index)
    one_worker = ["--workers", "1"]
    client = JobSubmissionClient(cluster.dashboard)
    first = job(tmp_path / "corpus", tmp_path / "out", codec_folder) + one_worker
    finished([*submit(cluster, "first", "--no-wait"), *first], checkout)
    commits = tmp_path / "out" / "_run" / "commits"
    wait_until(lambda: bool(list(commits.glob("*.json"))))
    finished(["ray", "job", "stop", "--address", cluster.dashboard, "first"], checkout)
    assert client.get_job_status("first") == JobStatus.STOPPED
    done_before = {path.name: path.stat().st_mtime_ns for path in commits.iterdir()}
    assert 0 < len(done_before) < 3
    wait_until(lambda: not workers())
    again = subprocess.run(
        [*submit(cluster, "first"), *first], cwd=checkout, env=ENVIRONMENT, capture_output=True,
        check=False,
    )  # fmt: skip
    assert again.returncode == 1, "a name that was used is a lock"
    log = finished([*submit(cluster, "second"), *first], checkout)
    assert "24 rows, 0.40 hours, 0 rejected of 24 recordings" in log
    assert {name: (commits / name).stat().st_mtime_ns for name in done_before} == done_before
    undisturbed = job(tmp_path / "corpus", tmp_path / "undisturbed", codec_folder)
    finished([*submit(cluster), *undisturbed], checkout)
    assert parts(tmp_path / "out") == parts(tmp_path / "undisturbed")


def test_a_running_cluster_gets_our_packages_from_any_folder(
    cluster: Cluster, corpus: Path, codec_folder: Path, tmp_path: Path
) -> None:
    script = str(REPOSITORY / "jobs" / "tokenize.py")
    command = job(corpus, tmp_path / "out", codec_folder, script=script)
    finished([*command, "--address", cluster.address], tmp_path)
    assert number_of_rows(tmp_path / "out") == 6


def submit(cluster: Cluster, name: str | None = None, *more: str) -> list[str]:
    named = [] if name is None else ["--submission-id", name]
    address = ["--address", cluster.dashboard]
    return ["ray", "job", "submit", *address, *named, *more, "--working-dir", ".", "--"]


def job(corpus: Path, output: Path, codec: Path, script: str = "jobs/tokenize.py") -> list[str]:
    options = ["--output", str(output), "--codec", str(codec), "--max-rejected", "0.5"]
    return ["python", script, str(corpus), *options]


def finished(command: list[str], folder: Path) -> str:
    """What a command printed, once it has ended well."""
    done = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def parts(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (output / "data").iterdir()}


def workers() -> list[int]:
    """Processes below this one that hold a codec."""
    return [pid for pid in descendants() if title(pid).startswith("ray::Worker")]


def wait_until(happened: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def tracked(folder: Path) -> list[Path]:
    """Files of the checkout, but for what Python wrote there."""
    return [
        path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]


def number_of_rows(output: Path) -> int:
    return sum(1 for url in RunFolder(str(output)).part_urls() for _ in read_part(url))
