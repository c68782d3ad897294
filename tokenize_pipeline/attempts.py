"""Which shard is tried next, and when to stop trying.

    waiting --taken--> tried --done--> (a commit record)
        ^                |
        +----- failed ---+--failed MAX_ATTEMPTS times--> given up

A shard that its workers die or fail on is given up as one that cannot be done, and quarantined.
Faults of storage say nothing against a shard: it is left for the next run. When nothing but such
faults comes, the storage itself is broken, and trying the other shards would be in vain.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from tokenize_pipeline.records import FailedShard, Failure, Shard

MAX_ATTEMPTS = 3  # for a shard, and for starting a worker
FAULTS_OF_AN_OUTAGE = 12  # of storage, one after another, with nothing done in between


@dataclass(frozen=True)
class Attempt:
    """One try at a shard."""

    shard: Shard
    number: int  # this one included


class Attempts:
    """The shards that are still to be tried, the largest first.

    Args:
        shards: all to work on.
        workers: that may run into one and the same fault of storage at once.
    """

    def __init__(self, shards: Iterable[Shard], workers: int) -> None:
        ordered = sorted(shards, key=lambda shard: (-shard.size_bytes, shard.index))
        self._waiting = deque(Attempt(shard, 1) for shard in ordered)
        self._most_faults = FAULTS_OF_AN_OUTAGE + workers
        self._faults = 0  # of storage, since something was done

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> Attempt:
        """The next one; there must be one."""
        return self._waiting.popleft()

    def done(self) -> None:
        """Note that an attempt ended well."""
        self._faults = 0

    def failed(self, attempt: Attempt, failure: Failure) -> FailedShard | None:
        """Note how an attempt ended; the shard, if that was its last."""
        self._faults = 0 if failure.blames_shard else self._faults + 1
        if attempt.number < MAX_ATTEMPTS:
            self._waiting.append(Attempt(attempt.shard, attempt.number + 1))
            return None
        return FailedShard(attempt.shard, attempt.number, failure.cause, failure.blames_shard)

    @property
    def storage_is_broken(self) -> bool:
        """Whether there were too many faults of storage, and nothing else, to be an accident."""
        return self._faults >= self._most_faults
