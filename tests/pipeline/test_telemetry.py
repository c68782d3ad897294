"""What workers report is what Prometheus reads, and what the dashboard shows."""

import http.client
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.conftest import REPOSITORY
from tests.pipeline.test_commit import record
from tests.pipeline.test_jobs import free_ports
from tokenize_pipeline import telemetry, worker
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.progress import Tally
from tokenize_pipeline.records import CommitRecord, Failure, Shard
from tokenize_pipeline.worker import Worker

DASHBOARD = REPOSITORY / "docs" / "grafana-dashboard.json"
TALLY = Tally(3, 1, 24000, waited_seconds=2.0, published_seconds=1.0)


@pytest.fixture
def exporter() -> Iterator[str]:
    """Address of what Prometheus would read of a cluster of its own."""
    (port,) = free_ports(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        ray.init(
            address="local",
            num_cpus=1,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=100 << 20,
            _metrics_export_port=port,
            _system_config={"metrics_report_interval_ms": 200},
            runtime_env={"env_vars": {"PYTHONPATH": str(Path.cwd())}},
        )
        yield f"127.0.0.1:{port}"
        ray.shutdown()


def test_prometheus_reads_what_workers_report(exporter: str) -> None:
    class Reporter:
        def report(self) -> None:
            telemetry.report_shard(record(), 2, TALLY, 10.0)
            telemetry.report_shard(Failure("it broke"), 3, TALLY, 10.0)

    reporter: Any = ray.remote(Reporter).remote()
    ray.get(reporter.report.remote())
    wanted = {
        "ray_tokenize_audio_seconds_total": 1.1,
        "ray_tokenize_recordings_total": 3,
        'ray_tokenize_rejected_total{code="empty"}': 1,
        'ray_tokenize_shards_total{outcome="done"}': 1,
        'ray_tokenize_shards_total{outcome="failed"}': 1,
        "ray_tokenize_retries_total": 2,
        "ray_tokenize_decode_wait_seconds_total": 4,
        "ray_tokenize_encode_seconds_total": 14,
        "ray_tokenize_publish_seconds_total": 2,
        "ray_tokenize_shard_seconds_count": 2,
        "ray_tokenize_times_real_count": 1,
    }
    end = time.monotonic() + 40
    while (found := figures(exporter)) and time.monotonic() < end:
        if {name: found.get(name) for name in wanted} == wanted:
            break
        time.sleep(0.2)
    assert {name: found.get(name) for name in wanted} == wanted
    assert {name.partition("{")[0] for name in found} == set(telemetry.exported_names())


def figures(address: str) -> dict[str, float]:
    """Our figures, with the labels that we gave them."""
    connection = http.client.HTTPConnection(address, timeout=5)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    found = {}
    for line in lines:
        parsed = re.fullmatch(r"(ray_tokenize_\w+)\{(.*)\} (\S+)", line)
        if parsed:
            ours = re.findall(r'\b(?:code|outcome)="\w+"', parsed[2])
            found[parsed[1] + (f"{{{ours[0]}}}" if ours else "")] = float(parsed[3])
    return found or {"nothing": 0.0}


def test_the_dashboard_shows_every_figure_and_no_other() -> None:
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    queries = " ".join(t["expr"] for panel in dashboard["panels"] for t in panel["targets"])
    shown = set(re.findall(r"ray_tokenize_\w+", queries))
    assert shown <= set(telemetry.exported_names())
    for name in (*telemetry.COUNTERS, *telemetry.HISTOGRAMS):
        assert any(found.startswith(f"ray_{name}_") for found in shown), f"{name} is not shown"
    for query in [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]:
        assert query.count("(") == query.count(")")
    labels = re.findall(r"(\w+)=~?\"", queries) + re.findall(r"by \((\w+)\)", queries)
    assert set(labels) == {"outcome", "le", "NodeAddress", "code"}


def test_a_worker_reports_every_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[tuple[Any, ...]] = []
    outcomes: list[CommitRecord | Exception] = [record(), ValueError("bad")]

    def tokenize_shard(*_: Any, tally: Tally, **__: Any) -> CommitRecord:
        tally.recordings = 7
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(worker, "tokenize_shard", tokenize_shard)
    monkeypatch.setattr(worker, "open_codec", lambda *_: object())
    working = Worker(TokenizeConfig(("x",), "out"), False, lambda *seen: reports.append(seen))
    assert working.start() is None
    shard = Shard(0, "0123456789", ())
    answers = [working.work(shard, attempt) for attempt in (1, 2)]
    assert [report[:2] for report in reports] == [(answers[0], 1), (answers[1], 2)]
    assert isinstance(answers[1], Failure)
    assert all(tally.recordings == 7 and seconds >= 0 for _, _, tally, seconds in reports)
