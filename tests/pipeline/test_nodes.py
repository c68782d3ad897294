"""Machines that come and go while a run goes on, with GPUs that Ray only believes in."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID
from ray.cluster_utils import Cluster

from tests.pipeline.audio_files import write_noise
from tests.pipeline.processes import descendants, end_processes_that_name, title
from tests.pipeline.test_jobs import ENVIRONMENT, free_ports
from tokenize_pipeline import pool
from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.driver import prepare, tokenize
from tokenize_pipeline.progress import Progress, Tally
from tokenize_pipeline.shard import tokenize_shard
from tokenize_pipeline.worker import open_codec

pytestmark = pytest.mark.slow
NODE: dict[str, Any] = {"num_cpus": 1, "num_gpus": 1, "object_store_memory": 100 << 20}
SHARDS = 24
# An autoscaler that starts processes on this machine and calls them machines: up to two.
AUTOSCALING = {
    "cluster_name": "fake",
    "max_workers": 2,
    "upscaling_speed": 100.0,
    "idle_timeout_minutes": 1.0,
    "provider": {
        "type": "fake_multinode",
        "launch_multiple": True,
        "head_node_id": FAKE_HEAD_NODE_ID,
    },
    "available_node_types": {
        "head": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "gpu": {
            "resources": {"CPU": 1, "GPU": 1},
            "node_config": {},
            "min_workers": 0,
            "max_workers": 2,
        },
    },
    "head_node_type": "head",
    "auth": {},
    "docker": {},
    "file_mounts": {},
    "cluster_synced_files": [],
    "file_mounts_sync_continuously": False,
    "rsync_exclude": [],
    "rsync_filter": [],
    "initialization_commands": [],
    "setup_commands": [],
    "head_setup_commands": [],
    "worker_setup_commands": [],
    "head_start_ray_commands": [],
    "worker_start_ray_commands": [],
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough for twenty-four shards."""
    folder = tmp_path_factory.mktemp("corpus")
    recordings = [write_noise(folder / "noise" / f"{seed}.flac", 15.0, seed) for seed in range(8)]
    for index in range(8 * SHARDS):
        (folder / "links").mkdir(exist_ok=True)
        (folder / "links" / f"{index:04d}.flac").symlink_to(recordings[index % 8])
    return folder / "links"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.setattr(pool, "_LOOK_SECONDS", 0.5)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head without anything to work with."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def parts(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (output / "data").iterdir()}


def undisturbed(config: TokenizeConfig) -> dict[str, bytes]:
    """The parts as a plain process makes them, without Ray."""
    codec = open_codec(config)
    run = prepare(config)
    for shard in run.shards:
        tokenize_shard(shard, codec, config)
    return parts(Path(config.output))


def workers() -> list[int]:
    """Processes below this one that are at work on a shard."""
    return [pid for pid in descendants() if title(pid).startswith("ray::Worker.work")]


def test_a_node_that_comes_is_used_and_one_that_goes_loses_nothing(
    cluster: Cluster,
    corpus: Path,
    codec_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = cluster.add_node(**NODE)
    events: list[str] = []
    real_show = Progress.show
    commits = tmp_path / "out" / "_run" / "commits"

    def show(progress: Progress, done: Tally) -> None:
        """In the thread of the driver, every second."""
        real_show(progress, done)
        if not events and list(commits.glob("*.json")):
            events.append("added")
            cluster.add_node(**NODE)
        elif events == ["added"] and len(workers()) == 2:
            events.append("removed")
            cluster.remove_node(first, allow_graceful=False)

    monkeypatch.setattr(Progress, "show", show)
    config = TokenizeConfig((str(corpus),), str(tmp_path / "out"), codec=str(codec_folder))
    tokenize(prepare(config))
    assert events == ["added", "removed"], "the second node was not used beside the first"
    plain = TokenizeConfig((str(corpus),), str(tmp_path / "plain"), codec=str(codec_folder))
    assert parts(tmp_path / "out") == undisturbed(plain)
    assert len(parts(tmp_path / "out")) == SHARDS
    attempts = [record.attempts for record in RunFolder(config.output).commits().values()]
    assert 1 <= sum(attempts) - SHARDS <= 2, "what the lost node was doing was done again"


def test_an_autoscaler_starts_the_machines_that_waiting_workers_need(
    corpus: Path, codec_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None at first, two in the end: as many as it may start."""
    folder = Path(tempfile.mkdtemp(prefix="auto-", dir="/tmp"))  # paths of sockets are short
    config_file = folder / "autoscaling.json"
    config_file.write_text(json.dumps(AUTOSCALING))
    port, dashboard_port = free_ports(2)
    command = [
        *("ray", "start", "--head", f"--port={port}", "--num-cpus=0", f"--temp-dir={folder}/ray"),
        *(f"--autoscaling-config={config_file}", f"--dashboard-port={dashboard_port}"),
        *("--disable-usage-stats", "--node-ip-address=127.0.0.1"),
    ]
    fakes = {
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
        "RAY_FAKE_CLUSTER": "1",
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
        "RAY_enable_autoscaler_v2": "1",
    }
    seen: list[int] = []
    real_show = Progress.show

    def show(progress: Progress, done: Tally) -> None:
        real_show(progress, done)
        seen.append(sum(node["Alive"] for node in ray.nodes()))

    monkeypatch.setattr(Progress, "show", show)
    config = TokenizeConfig((str(corpus),), str(tmp_path / "out"), codec=str(codec_folder))
    try:
        subprocess.run(command, env={**ENVIRONMENT, **fakes}, check=True, capture_output=True)
        ray.init(address=f"127.0.0.1:{port}", log_to_driver=False)
        assert ray.cluster_resources().get("GPU", 0) == 0
        monkeypatch.setattr(ray, "is_initialized", lambda: False)  # as in a process of its own
        monkeypatch.setattr("tokenize_pipeline.cluster._connect", lambda *_: None)
        assert tokenize(prepare(config)).rows == 8 * SHARDS
    finally:
        ray.shutdown()
        end_processes_that_name(folder)
        shutil.rmtree(folder, ignore_errors=True)
    assert max(seen) == 3, "a head and two machines"
