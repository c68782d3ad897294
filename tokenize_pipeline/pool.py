"""Shards on Ray actors.

The driver owns the loop. An actor holds one codec and works on one shard at a time. Ray restarts
and retries nothing by itself: a worker that died, that has become unavailable or that makes no
progress is killed, a new one takes its place, and its shard is tried again (see `attempts`). A
worker that failed on a shard is replaced too: who knows in what state it is.

    starting --codec loaded--> idle --shard--> busy --commit record--> idle
        any of them --failed, dead, unavailable, stuck--> killed; its shard waits again
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError

from tokenize_pipeline.attempts import MAX_ATTEMPTS, Attempt, Attempts
from tokenize_pipeline.cluster import PoolConfig, Room, one_line, room_now
from tokenize_pipeline.errors import RunFailedError
from tokenize_pipeline.progress import Tally
from tokenize_pipeline.records import FailedShard, Failure, Shard
from tokenize_pipeline.telemetry import report_shard
from tokenize_pipeline.worker import Worker

_TICK_SECONDS = 1.0
_LOOK_SECONDS = 10.0  # between looks at which machines there are
_TALLIES_A_TICK = 50  # workers that are asked how far they are, those first that were not for long


@dataclass(eq=False)
class _Hand:
    """One worker as the driver sees it."""

    actor: Any
    reply: Any  # to what it was asked last; None while idle
    attempt: Attempt | None = None  # None while starting or idle
    tally: Tally = field(default_factory=Tally)
    tally_reply: Any = None
    asked_at: float = 0.0  # for its tally
    moved_at: float = 0.0  # when it began, or its tally was seen to grow


class Crew:
    """Makes workers, an actor each, and ends them.

    Args:
        worker: what works on shards.
    """

    def __init__(self, worker: type[Any]) -> None:
        self._worker = worker

    def new(self, config: PoolConfig, gpus: float) -> Any:
        """A worker; its process is started when there is room for it."""
        options = {
            "num_cpus": config.cpus_per_worker,
            "num_gpus": gpus,
            "max_restarts": 0,
            "max_task_retries": 0,
            "max_concurrency": 2,  # `tally` answers while `work` runs
        }
        return make_actor(self._worker, options, config, gpus > 0, report_shard)

    def end(self, actor: Any) -> None:
        """End a worker whatever it does."""
        ray.kill(actor, no_restart=True)


class ShardPool:
    """Works on shards with as many workers as there is room for.

    Args:
        config: what the run was asked to do.
        shards: to work on, the largest first.
        room: what the cluster has for us.
        crew: makes workers and ends them; of `Worker` when None.
    """

    def __init__(
        self,
        config: PoolConfig,
        shards: Sequence[Shard],
        room: Room,
        crew: Crew | None = None,
    ) -> None:
        self._config = config
        self._room = room
        self._crew = crew or Crew(Worker)
        self._attempts = Attempts(shards, room.workers)
        self._hands: list[_Hand] = []
        self._failed_starts: list[str] = []  # causes, since the last good one
        self._next_tick = 0.0
        self._next_look = 0.0

    def run(
        self, on_tick: Callable[[Tally], None], on_start: Callable[[], None] = lambda: None
    ) -> Iterator[Any | FailedShard]:
        """What the workers made of each shard, as it comes.

        Args:
            on_tick: called about once a second with what the busy workers have done so far.
            on_start: called once, when a worker has its codec and before any gets a shard.

        Raises:
            RunFailedError: no worker can be started, or the cluster or the storage is lost.
        """
        started = False
        try:
            while self._attempts or self._busy():
                self._look()
                self._hire()
                if not started and any(hand.reply is None for hand in self._hands):
                    on_start()
                    started = True
                self._assign()
                yield from self._collect()
                if time.monotonic() >= self._next_tick:
                    self._next_tick = time.monotonic() + _TICK_SECONDS
                    self._ask_for_tallies()
                    yield from self._end_the_stuck()
                    on_tick(sum((hand.tally for hand in self._busy()), Tally()))
        except (RayError, ConnectionError) as error:
            raise RunFailedError(f"lost the Ray cluster: {one_line(error)}") from error
        finally:
            for hand in self._hands:
                self._crew.end(hand.actor)

    def _busy(self) -> list[_Hand]:
        return [hand for hand in self._hands if hand.attempt is not None]

    def _look(self) -> None:
        """See now and then whether machines have come or gone."""
        if not self._room.is_fixed and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_SECONDS
            self._room = room_now(self._config, self._room.gpus_per_worker)

    def _hire(self) -> None:
        """Start workers up to what the remaining shards can use."""
        if len(self._failed_starts) >= MAX_ATTEMPTS:
            if not self._hands:
                raise RunFailedError(f"no worker can be started: {self._failed_starts[-1]}")
            return
        wanted = min(self._room.workers, len(self._attempts) + len(self._busy()))
        while len(self._hands) < wanted:
            actor = self._crew.new(self._config, self._room.gpus_per_worker)
            self._hands.append(_Hand(actor, actor.start.remote()))

    def _assign(self) -> None:
        for hand in self._hands:
            if self._attempts and hand.reply is None:
                hand.attempt = self._attempts.take()
                hand.tally, hand.tally_reply = Tally(), None
                hand.moved_at = time.monotonic()
                hand.reply = hand.actor.work.remote(hand.attempt.shard, hand.attempt.number)

    def _collect(self) -> Iterator[Any | FailedShard]:
        """Take the replies that are there, waiting a moment for the first."""
        waiting = {hand.reply: hand for hand in self._hands if hand.reply is not None}
        some, _ = ray.wait(list(waiting), num_returns=1, timeout=_TICK_SECONDS)
        done = some and ray.wait(list(waiting), num_returns=len(waiting), timeout=0)[0]
        for reply in done:
            try:
                outcome = ray.get(reply)
            except RayError as error:
                outcome = Failure(one_line(error))
            yield from self._settle(waiting[reply], outcome)

    def _settle(self, hand: _Hand, outcome: Any | Failure | None) -> Iterator[Any | FailedShard]:
        """Act on a reply: None or a failure to `start`, a result or a failure to `work`."""
        attempt, hand.attempt, hand.reply = hand.attempt, None, None
        if outcome is None:
            self._failed_starts.clear()
        elif not isinstance(outcome, Failure):
            self._attempts.done()
            yield outcome
        elif attempt is None:
            self._failed_starts.append(outcome.cause)
            self._dismiss(hand)
        else:
            if outcome.blames_shard:
                self._dismiss(hand)
            yield from self._failed(attempt, outcome)

    def _failed(self, attempt: Attempt, failure: Failure) -> Iterator[FailedShard]:
        given_up = self._attempts.failed(attempt, failure)
        if given_up is not None:
            yield given_up
        if self._attempts.storage_is_broken:
            raise RunFailedError(f"nothing but faults of storage any more: {failure.cause}")

    def _dismiss(self, hand: _Hand) -> None:
        """Make sure that a worker does nothing any more."""
        self._hands.remove(hand)
        self._crew.end(hand.actor)

    def _end_the_stuck(self) -> Iterator[Any | FailedShard]:
        """Settle with workers that have made no progress for too long."""
        limit_seconds = self._config.shard_timeout_seconds
        for hand in self._busy():
            if time.monotonic() - hand.moved_at > limit_seconds:
                cause = f"no progress for {limit_seconds:g} s (--shard-timeout); ended the worker"
                yield from self._settle(hand, Failure(cause))

    def _ask_for_tallies(self) -> None:
        """Ask workers how far they are, and take what others have answered. Never waits."""
        busy = self._busy()
        asked = {hand.tally_reply: hand for hand in busy if hand.tally_reply is not None}
        done = asked and ray.wait(list(asked), num_returns=len(asked), timeout=0)[0]
        for reply in done:
            hand = asked[reply]
            hand.tally_reply = None
            try:
                tally = ray.get(reply)
            except RayError:
                continue  # the reply to its shard will tell what happened
            if tally != hand.tally:
                hand.tally, hand.moved_at = tally, time.monotonic()
        idle = (hand for hand in busy if hand.tally_reply is None)
        for hand in sorted(idle, key=lambda hand: hand.asked_at)[:_TALLIES_A_TICK]:
            hand.tally_reply, hand.asked_at = hand.actor.tally.remote(), time.monotonic()


def make_actor(kind: type[Any], options: Mapping[str, Any], *arguments: Any) -> Any:
    """An actor of Ray.

    Args:
        kind: class of what it does.
        options: of the actor.
        arguments: of the class.
    """
    return ray.remote(kind).options(**options).remote(*arguments)
