"""`ray up` and `ray submit` over real ssh: two machines that are this one at two addresses.

The file is jobs/cluster-local.yaml, with addresses, keys and ports of the test, a home folder of
the test, and this environment instead of an installation. `ray stop` ends every Ray on a machine,
so the test leaves it out, and ends by their ids the processes whose command names its folder.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import REPOSITORY
from tests.pipeline.audio_files import write_corpus
from tests.pipeline.processes import end_processes_that_name, processes_that_name
from tests.pipeline.test_jobs import ENVIRONMENT, free_ports, number_of_rows, wait_until
from tokenize_pipeline.commit import RunFolder

HEAD, OTHER = "127.0.0.3", "127.0.0.2"  # 127.0.0.1 Ray would replace by another
SSH = shutil.which("ssh")
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin:/usr/local/sbin")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        SSHD is None or shutil.which("rsync") is None or os.geteuid() != 0,
        reason="needs sshd, rsync and root",
    ),
]


@pytest.fixture
def home() -> Iterator[Path]:
    """The home folder of both machines. What was started with its name ends with it."""
    folder = Path(tempfile.mkdtemp(prefix="own-", dir="/tmp"))  # paths of sockets are short
    try:
        yield folder
    finally:
        end_processes_that_name(folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def cluster_file(home: Path) -> Path:
    """jobs/cluster-local.yaml for two machines that are this one."""
    ssh_port, ray_port = free_ports(2)
    start_sshd(home, ssh_port)
    exports = {**environment_at(home), "PYTHONPATH": str(REPOSITORY)}
    names = ("RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED", "PATH", "PYTHONPATH")
    lines = [f"export {name}='{exports[name]}'" for name in names]
    (home / ".bash_profile").write_text("\n".join(lines) + "\n")
    config = yaml.safe_load((REPOSITORY / "jobs" / "cluster-local.yaml").read_text("utf-8"))
    config["cluster_name"] = home.name
    config["provider"].update(head_ip=HEAD, worker_ips=[OTHER])
    config["auth"] = {
        "ssh_user": "root",
        "ssh_private_key": str(home / "key"),
    }
    config["setup_commands"] = ["test -f ~/tokenize-pipeline/constraints.txt"]
    config["head_start_ray_commands"] = [ray_start(config, "head", home, ray_port, HEAD)]
    config["worker_start_ray_commands"] = [ray_start(config, "worker", home, ray_port, OTHER)]
    path = home / "cluster.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_ray_submit_to_own_machines(
    cluster_file: Path, home: Path, codec_folder: Path, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus", count=30)
    environment = environment_at(home)
    call(["ray", "up", "--yes", "--no-config-cache", str(cluster_file)], environment)
    try:
        wait_until(lambda: len(raylets(home)) == 2, seconds=90)
    except AssertionError:
        log = home / "ray" / "session_latest" / "logs" / "monitor.out"
        pytest.fail(f"only one machine: {log.read_text('utf-8')[-3000:]}")
    command = [
        *("ray", "submit", "--no-config-cache", str(cluster_file)),
        *(str(REPOSITORY / "jobs" / "tokenize.py"), str(corpus), "--output", str(tmp_path / "out")),
        *("--codec", str(codec_folder), "--max-rejected", "0.5", "--address", "auto"),
    ]
    printed = call(command, environment)
    assert "30 rows, " in printed
    assert number_of_rows(tmp_path / "out") == 30
    assert len(RunFolder(str(tmp_path / "out")).commits()) == 4


def environment_at(home: Path) -> dict[str, str]:
    """With our own `ssh` first on the path, and as docs/cluster.md says for own machines."""
    paths = [str(home / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    own = {"HOME": str(home), "PATH": os.pathsep.join(paths), "RAY_UP_enable_autoscaler_v2": "0"}
    return {**ENVIRONMENT, **own}


def start_sshd(home: Path, port: int) -> None:
    (home / "bin").mkdir()
    # ssh looks for ~ in the list of users, not in $HOME, so the key is named outright.
    command = f'exec {SSH} -p {port} -i {home}/key "$@"'
    (home / "bin" / "ssh").write_text(f"#!/bin/sh\n{command}\n")
    (home / "bin" / "ssh").chmod(0o755)
    for name in ("key", "host_key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name)], check=True
        )
    shutil.copy(home / "key.pub", home / "authorized_keys")
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd insists on it
    lines = [
        *(f"Port {port}", f"ListenAddress {HEAD}", f"ListenAddress {OTHER}"),
        *(f"HostKey {home}/host_key", f"AuthorizedKeysFile {home}/authorized_keys"),
        *("StrictModes no", "UsePAM no", "PermitRootLogin yes", "PasswordAuthentication no"),
        *(f"PidFile {home}/sshd.pid", f"SetEnv HOME={home}", "MaxStartups 100"),
    ]
    (home / "sshd_config").write_text("\n".join(lines) + "\n")
    subprocess.run([str(SSHD), "-f", str(home / "sshd_config")], check=True)


def ray_start(config: dict[str, Any], role: str, home: Path, port: int, address: str) -> str:
    """The command of the file, on ports, in folders and with an address of the test."""
    (command,) = [line for line in config[f"{role}_start_ray_commands"] if line != "ray stop"]
    more = [f"--node-ip-address={address}", "--num-cpus=1", "--disable-usage-stats"]
    if role == "head":
        more += [f"--temp-dir={home}/ray", "--include-dashboard=false"]
    assert "6379" in command
    return " ".join([command.replace("6379", str(port)), *more])


def call(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False,
        timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def raylets(home: Path) -> list[int]:
    return [pid for pid, line in processes_that_name(home) if "raylet/raylet " in line]
