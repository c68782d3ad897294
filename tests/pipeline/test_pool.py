"""Shards survive their workers; those that cannot be done are given up while the others go on."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.pipeline.faulty_workers import FaultyWorker
from tokenize_pipeline import attempts, cluster, pool
from tokenize_pipeline.cluster import Room
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.errors import ConfigurationError, RunFailedError
from tokenize_pipeline.pool import ShardPool
from tokenize_pipeline.progress import Tally
from tokenize_pipeline.records import CommitRecord, FailedShard, Shard, SourceItem


def shards(*faults: str) -> list[Shard]:
    """Shards whose first item says what happens; later ones are larger."""
    return [
        Shard(index, f"{index:010x}", (SourceItem(fault, f"/{index}", 100 * index, ""),))
        for index, fault in enumerate(faults)
    ]


def run(
    config: TokenizeConfig, planned: list[Shard], ticks: list[Tally] | None = None
) -> dict[int, CommitRecord | FailedShard]:
    outcomes: dict[int, CommitRecord | FailedShard] = {}
    keep = [] if ticks is None else ticks
    for outcome in ShardPool(config, planned, Room(config.workers or 2, 0)).run(keep.append):
        index = outcome.shard if isinstance(outcome, CommitRecord) else outcome.shard.index
        assert index not in outcomes, "a shard was reported twice"
        outcomes[index] = outcome
    return outcomes


@pytest.fixture
def config(ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenizeConfig:
    monkeypatch.setattr(pool, "Worker", FaultyWorker)
    return TokenizeConfig(("x",), str(tmp_path), workers=2)


def test_dead_workers_are_replaced_and_what_always_fails_is_given_up(
    config: TokenizeConfig,
) -> None:
    """All in one run, so that faults fall upon workers that others' faults have replaced."""
    several = ("exit once", "kill", "sys.exit once", "unpicklable once", "failure", "hang once")
    config = replace(config, shard_timeout_seconds=8)
    ticks: list[Tally] = []
    outcomes = run(config, shards("slow", *several), ticks)
    done = [outcome for outcome in outcomes.values() if isinstance(outcome, CommitRecord)]
    assert {record.shard: record.attempts for record in done} == {0: 1, 1: 2, 3: 2, 4: 2, 6: 2}
    given_up = [outcome for outcome in outcomes.values() if isinstance(outcome, FailedShard)]
    causes = {failed.shard.index: failed.cause for failed in given_up}
    assert causes.keys() == {2, 5}
    assert {failed.attempts for failed in given_up} == {attempts.MAX_ATTEMPTS} == {3}
    assert causes[2].startswith("ActorDiedError: The actor died")
    assert causes[5] == "RuntimeError: a bad shard (shard.py, line 1)"
    assert not any("\n" in cause for cause in causes.values())
    assert any(tick.samples for tick in ticks), "progress inside a shard was not seen"


def test_the_largest_shards_come_first(config: TokenizeConfig, tmp_path: Path) -> None:
    one_worker = TokenizeConfig(("x",), str(tmp_path), workers=1)
    run(one_worker, shards("none", "none", "none", "none"))
    assert (tmp_path / "order.txt").read_text().split("\n")[:4] == ["3 1", "2 1", "1 1", "0 1"]


@pytest.mark.parametrize(
    ("codec", "cause"),
    [("no start", "CheckpointError: no such weights"), ("dies at start", "ActorDiedError")],
)
def test_workers_that_cannot_start_end_the_run(
    config: TokenizeConfig, tmp_path: Path, codec: str, cause: str
) -> None:
    bad = TokenizeConfig(("x",), str(tmp_path), codec=codec, workers=2)
    with pytest.raises(RunFailedError, match=f"no worker can be started: {cause}"):
        run(bad, shards("none"))


@pytest.mark.parametrize(
    ("resources", "values", "room"),
    [
        ({"CPU": 8.0}, {}, (0, 8)),
        ({"CPU": 8.0}, {"cpus_per_worker": 3.0}, (0, 2)),
        ({"CPU": 8.0}, {"workers": 3}, (0, 3)),
        ({"CPU": 200.0}, {}, (0, 200)),
        ({"CPU": 64.0, "GPU": 4.0}, {}, (1, 4)),
        ({"CPU": 64.0, "GPU": 4.0}, {"gpus_per_worker": 0.5}, (0.5, 8)),
        ({"CPU": 2.0, "GPU": 4.0}, {}, (1, 2)),
        ({"CPU": 64.0, "GPU": 4.0}, {"gpus_per_worker": 0.0}, (0, 64)),
    ],
)
def test_workers_fill_the_cluster_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
    resources: dict[str, float],
    values: dict[str, Any],
    room: tuple[float, int],
) -> None:
    set_resources(monkeypatch, resources)
    found = cluster._room(TokenizeConfig(("x",), "out", **values))
    assert (found.gpus_per_worker, found.workers) == room


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "[::1]:1"])
def test_a_cluster_that_does_not_answer_is_a_clear_error(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot reach a Ray cluster at .*refused"):
        cluster._connect(TokenizeConfig(("x",), "out", address=address), Path("unused"))


def test_a_cluster_without_room_for_a_worker_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    set_resources(monkeypatch, {"CPU": 2.0})
    config = TokenizeConfig(("x",), "out", gpus_per_worker=1.0)
    message = "a worker needs 1 CPUs and 1 GPUs; the cluster has 2 and 0"
    with pytest.raises(ConfigurationError, match=message):
        cluster._room(config)


@pytest.mark.parametrize(
    ("possible", "room"),
    [
        (None, (0, 2)),
        ({"CPU": 64, "GPU": 16}, (1, 16)),
        ({"CPU": 64, "GPU": sys.maxsize}, (0, 64)),
        ({"CPU": 1}, (0, 2)),
    ],
)
def test_what_an_autoscaler_may_start_is_room(
    monkeypatch: pytest.MonkeyPatch, possible: dict[str, int] | None, room: tuple[float, int]
) -> None:
    set_resources(monkeypatch, {"CPU": 2.0}, possible)
    found = cluster._room(TokenizeConfig(("x",), "out"))
    assert (found.gpus_per_worker, found.workers) == room


def test_the_room_follows_the_machines_unless_a_number_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = TokenizeConfig(("x",), "out")
    set_resources(monkeypatch, {"CPU": 2.0, "GPU": 2.0})
    assert not cluster._room(config).is_fixed
    set_resources(monkeypatch, {"CPU": 8.0, "GPU": 4.0})
    assert cluster.room_now(config, 1.0).workers == 4
    set_resources(monkeypatch, {})
    assert cluster.room_now(config, 1.0).workers == 1, "one waits, which tells an autoscaler"
    assert cluster.room_now(replace(config, workers=7), 1.0) == Room(7, 1.0, is_fixed=True)


def test_machines_that_are_about_to_join_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = iter([{}, {"CPU": 0.0}, {"CPU": 8.0}, {"CPU": 8.0}])
    set_resources(monkeypatch, {})
    monkeypatch.setattr(ray, "cluster_resources", lambda: next(seen))
    monkeypatch.setattr(cluster, "_TICK_SECONDS", 0.01)
    assert cluster._room(TokenizeConfig(("x",), "out"), patience_seconds=10).workers == 8


def set_resources(
    monkeypatch: pytest.MonkeyPatch,
    present: dict[str, float],
    possible: dict[str, int] | None = None,
) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: present)
    limits = "ray._private.state.state.get_max_resources_from_cluster_config"
    monkeypatch.setattr(limits, lambda: possible)
