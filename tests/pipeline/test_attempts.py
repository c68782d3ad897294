"""Which shard comes next, and when enough is enough."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenize_pipeline.attempts import FAULTS_OF_AN_OUTAGE, MAX_ATTEMPTS, Attempts
from tokenize_pipeline.records import FailedShard, Failure, Shard, SourceItem

POISON = Failure("RuntimeError: bad")
OUTAGE = Failure("OSError: no answer", blames_shard=False)


def shards(*sizes: int) -> list[Shard]:
    return [
        Shard(index, f"{index:010x}", (SourceItem(str(index), f"/{index}", size, ""),))
        for index, size in enumerate(sizes)
    ]


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.data())
def test_every_shard_ends_once(sizes: list[int], data: st.DataObject) -> None:
    """Whatever its attempts come to: done, or given up after so many of them."""
    attempts = Attempts(shards(*sizes), workers=100)
    tried, ended = dict.fromkeys(range(len(sizes)), 0), []
    first = []
    while attempts:
        attempt = attempts.take()
        index = attempt.shard.index
        tried[index] += 1
        assert attempt.number == tried[index] <= MAX_ATTEMPTS
        if attempt.number == 1:
            first.append(attempt.shard.size_bytes)
        outcome = data.draw(st.sampled_from([None, POISON, OUTAGE]))
        if outcome is None:
            attempts.done()
            ended.append(index)
        elif failed := attempts.failed(attempt, outcome):
            assert failed == FailedShard(
                attempt.shard, MAX_ATTEMPTS, outcome.cause, outcome.blames_shard
            )
            ended.append(index)
    assert sorted(ended) == list(range(len(sizes)))
    assert first == sorted(sizes, reverse=True)


@pytest.mark.parametrize("workers", [1, 50])
def test_nothing_but_faults_of_storage_is_an_outage(workers: int) -> None:
    attempts = Attempts(shards(*range(100)), workers)
    for _ in range(FAULTS_OF_AN_OUTAGE + workers - 1):
        attempts.failed(attempts.take(), OUTAGE)
        assert not attempts.storage_is_broken
    attempts.failed(attempts.take(), OUTAGE)
    assert attempts.storage_is_broken


@pytest.mark.parametrize("between", ["done", "poison"])
def test_anything_else_in_between_is_none(between: str) -> None:
    attempts = Attempts(shards(*range(100)), workers=1)
    for turn in range(60):
        attempt = attempts.take()
        if turn % 5:
            attempts.failed(attempt, OUTAGE)
        elif between == "done":
            attempts.done()
        else:
            attempts.failed(attempt, POISON)
        assert not attempts.storage_is_broken


def test_recordings_of_a_shard_that_was_given_up_are_rejected_with_the_cause() -> None:
    (shard,) = shards(5)
    (rejected,) = FailedShard(shard, 3, "ActorDiedError: gone", quarantined=True).rejected()
    assert (rejected.id, rejected.source, rejected.code) == ("0", "/0", "quarantined")
    assert rejected.detail == "shard 0, tried 3 times: ActorDiedError: gone"
