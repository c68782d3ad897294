"""Findings of shards add up the same in any order, and ids are unique across shards."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verify.runs import ScalarCodec, make_run, recommit
from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.schema import read_part
from tokenize_pipeline.verification.merging import MergedFindings
from tokenize_pipeline.verification.opened_run import open_run
from tokenize_pipeline.verification.problems import ProblemLog
from tokenize_pipeline.verification.shard_check import ShardVerifier
from tokenize_pipeline.verification.unique_ids import SeenKeys

CODEC = ScalarCodec()


@pytest.fixture
def run(tmp_path: Path, files: list[Path]) -> RunFolder:
    return make_run(tmp_path / "out", CODEC, files)


def merged(run: RunFolder, order: list[int]) -> tuple[list[str], MergedFindings]:
    opened = open_run(run.url)
    verifier = ShardVerifier(opened, CODEC, share=1.0)
    problems, notices = ProblemLog(), ProblemLog()
    shards = opened.shards_with_parts()
    with MergedFindings(opened) as findings:
        for index in order:
            findings.add(verifier.verify(shards[index]))
        findings.finish(problems, notices)
    return list(map(str, problems)), findings


def test_the_order_of_shards_does_not_matter(run: RunFolder) -> None:
    rows = list(read_part(run.part_urls()[0]))
    recommit(run, 1, [*read_part(run.part_urls()[1]), rows[0], rows[0]])
    problems, first = merged(run, [0, 1, 2])
    again, second = merged(run, [2, 0, 1])
    assert problems == again
    assert "id_twice: 0.flac: 3 rows have this id" in problems
    assert first.trips == second.trips
    assert first.shard_codes == second.shard_codes
    assert first.codes.statistics() == second.codes.statistics()
    assert (first.rows, first.recordings) == (9, 9)


def test_nothing_is_left_on_disk(run: RunFolder) -> None:
    opened = open_run(run.url)
    with MergedFindings(opened) as findings:
        folder = Path(findings._folder.name)
        assert folder.is_dir()
    assert not folder.exists()


@given(
    st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=8), max_size=6),
    st.lists(st.sampled_from([0, 1, 2**63, 2**64 - 1]), max_size=4),
)
def test_keys_that_repeat_are_found_with_their_shards(
    tmp_path_factory: pytest.TempPathFactory, shards: list[list[int]], extra: list[int]
) -> None:
    everything = [*shards, extra]
    seen = SeenKeys(tmp_path_factory.mktemp("keys"))
    for number, keys in enumerate(everything):
        seen.add(number, np.array(keys, dtype=np.uint64))
    flat = [key for keys in everything for key in keys]
    expected = {
        key: frozenset(n for n, keys in enumerate(everything) if key in keys)
        for key in flat
        if flat.count(key) > 1
    }
    assert dict(seen.repeated()) == expected
