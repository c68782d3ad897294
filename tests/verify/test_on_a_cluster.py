"""Verification on Ray finds what verification in one process finds."""

from dataclasses import replace
from pathlib import Path

import pytest

from codec import load_codec
from tests.pipeline.conftest import ray_cluster  # noqa: F401  a fixture
from tests.verify.runs import make_run, recommit, with_codes, write_voice
from tokenize_pipeline import verify
from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.schema import read_part
from tokenize_pipeline.verification.opened_run import open_run
from tokenize_pipeline.verification.settings import VerifyConfig
from tokenize_pipeline.verify import verify_run


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Four shards, of which one has swapped codebooks and one a row of another."""
    files = [write_voice(tmp_path / f"{n}.flac", 1.0 + n / 10, seed=n) for n in range(8)]
    folder = make_run(tmp_path / "out", load_codec("tiny_24khz"), files, files_per_shard=2)
    rows = [list(read_part(url)) for url in folder.part_urls()]
    recommit(folder, 1, [with_codes(row, row.codes[[1, 0, *range(2, 8)]]) for row in rows[1]])
    recommit(folder, 3, [*rows[3], rows[0][0]])
    return folder


def test_a_cluster_finds_what_one_process_finds(
    ray_cluster: None,  # noqa: F811
    run: RunFolder,
) -> None:
    alone = verify_run(VerifyConfig(run.url, deep=True)).to_dict()
    assert alone["problems"]["counts"] == {
        "codebooks_swapped": 2,
        "source_unavailable": 1,
        "id_twice": 1,
        "limit_exceeded": 1,
    }
    together = verify_run(VerifyConfig(run.url, deep=True, workers=2)).to_dict()
    assert together == alone


def test_a_shard_that_cannot_be_verified_is_named(
    ray_cluster: None,  # noqa: F811
    run: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def without_seconds(url: str) -> object:
        """A commit record that no driver would write, so that the worker stumbles."""
        opened = open_run(url)
        record = replace(opened.commits[2], seconds="many")  # type: ignore[arg-type]
        return replace(opened, commits={**opened.commits, 2: record})

    monkeypatch.setattr(verify, "open_run", without_seconds)
    monkeypatch.setattr(verify, "_wants_cluster", lambda *_: True)
    result = verify_run(VerifyConfig(run.url, workers=1))
    (problem,) = [problem for problem in result.log if problem.code == "shard_not_verified"]
    assert problem.where.startswith("train-000002-")
    assert "tried 3 times: TypeError" in problem.detail
    assert result.exit_code == 3


@pytest.mark.parametrize(
    ("hours", "asked", "expected"),
    [(1, {}, False), (1, {"workers": 2}, True), (1, {"address": "auto"}, True), (50, {}, True)],
)
def test_large_datasets_and_those_who_ask_get_a_cluster(
    run: RunFolder, hours: float, asked: dict[str, int | str], expected: bool
) -> None:
    opened = open_run(run.url)
    commits = {0: replace(opened.commits[0], seconds=3600.0 * hours)}
    config = VerifyConfig(run.url, **asked)  # type: ignore[arg-type]
    assert verify._wants_cluster(replace(opened, commits=commits), config) is expected
