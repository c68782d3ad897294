"""The commands of the README, typed exactly so, in processes of their own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.pipeline.audio_files import write_corpus
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


def test_ray_job_submit(cluster: Cluster, corpus: Path, codec_folder: Path, tmp_path: Path) -> None:
    checkout, output = tmp_path / "checkout", tmp_path / "out"
    for name in ("codec", "tokenize_pipeline", "jobs"):
        shutil.copytree(REPOSITORY / name, checkout / name)
    shutil.copy(REPOSITORY / ".gitignore", checkout)
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "large").write_bytes(b"x")
    submit = ["ray", "job", "submit", "--address", cluster.dashboard, "--working-dir", ".", "--"]
    done = finished([*submit, *job(corpus, output, codec_folder, "jobs/tokenize.py")], checkout)
    assert "8/8 recordings, " in done
    assert "6 rows, 0.00 hours, 2 (1 empty, 1 undecodable) rejected of 8" in done
    assert number_of_rows(output) == 6
    assert {"codec", "tokenize_pipeline", "jobs"} <= cluster.shipped()
    assert ".venv" not in cluster.shipped()


def test_a_running_cluster_gets_our_packages_from_any_folder(
    cluster: Cluster, corpus: Path, codec_folder: Path, tmp_path: Path
) -> None:
    script = str(REPOSITORY / "jobs" / "tokenize.py")
    command = job(corpus, tmp_path / "out", codec_folder, script)
    finished([*command, "--address", cluster.address], tmp_path)
    assert number_of_rows(tmp_path / "out") == 6


def job(corpus: Path, output: Path, codec: Path, script: str) -> list[str]:
    options = ["--output", str(output), "--codec", str(codec), "--max-rejected", "0.5"]
    return ["python", script, str(corpus), *options]


def finished(command: list[str], folder: Path) -> str:
    """What a command printed, once it has ended well."""
    done = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def number_of_rows(output: Path) -> int:
    return sum(1 for url in RunFolder(str(output)).part_urls() for _ in read_part(url))
