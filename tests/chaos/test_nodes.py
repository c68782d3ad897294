"""The death of a node that holds no driver."""

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from tests.chaos.oracle import Output, read_output
from tests.chaos.slow_worker import SlowMeanCodec, SlowWorker
from tests.chaos.table import FaultTable
from tokenize_pipeline import driver, pool
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.driver import prepare, tokenize

pytestmark = pytest.mark.chaos


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A node for the driver, without room for workers, and two that have some."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    monkeypatch.setattr(pool, "Worker", SlowWorker)
    monkeypatch.setattr(driver, "open_codec", lambda _: SlowMeanCodec())
    sizes = {"object_store_memory": 100 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **sizes})
    for _ in range(2):
        cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    ray.init(
        address=cluster.address,
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path.cwd())}},
    )
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_a_node_dies(
    nodes: Cluster, corpus: Path, undisturbed: Output, tmp_path: Path, table: FaultTable
) -> None:
    output = tmp_path / "out"
    victim = next(iter(nodes.worker_nodes))

    def kill() -> None:
        """Once the first shard is done and others are on both nodes."""
        while not list((output / "_run").glob("commits/*")):
            time.sleep(0.05)
        nodes.remove_node(victim, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    run = prepare(TokenizeConfig((str(corpus),), str(output), max_rejected=0.5))
    tokenize(run)
    killer.join()
    table.check("node killed", 1, read_output(str(output)), undisturbed)
