"""Which rows of a shard are decoded again, and how much of each: a choice by their ids alone.

The sample is a share of the audio of the shard. Rows are taken by a hash of their ids, so that
neither their order nor the number of workers changes the choice; the last one is cut where the
share is used up. Of every shard at least a second is compared, from the beginning of a recording,
where codes can be held against those of the audio, and of one that does not begin with silence if
there is any. Rows whose codes stand still are looked at besides.
"""

import hashlib
import heapq
from dataclasses import dataclass, field

import numpy as np

from codec.base import CodecSpec
from tokenize_pipeline.records import TokenRow
from tokenize_pipeline.verification.excerpts import (
    LONGEST_SECONDS,
    SHORTEST_SECONDS,
    Excerpt,
    cut,
)
from tokenize_pipeline.verification.still_codes import StillRun

MOST_SUSPECTS = 2  # of a shard
_SUSPECT_SECONDS = 1.0  # of what stands still, looked at
_UNBOUNDED = 1 << 62
_LIVELY_SHARE = 0.5  # of the first frames, that differ from the one before


@dataclass(order=True)
class _Candidate:
    """A row that may be chosen; a heap holds the largest key on top."""

    negative_key: int
    number: int  # of the row in its part
    excerpt: Excerpt = field(compare=False)


class Sampler:
    """Takes the rows of a part one after another and holds no more than the sample.

    Args:
        spec: of the codec.
        part: file name of the part.
        budget_samples: a channel, to compare in all; None for all there are.
    """

    def __init__(self, spec: CodecSpec, part: str, budget_samples: int | None) -> None:
        self._spec = spec
        self._part = part
        self._shortest = round(SHORTEST_SECONDS * spec.sample_rate)
        self._longest = round(LONGEST_SECONDS * spec.sample_rate)
        self._budget = _UNBOUNDED if budget_samples is None else budget_samples
        self._heap: list[_Candidate] = []
        self._heap_samples = 0
        self._opener: tuple[tuple[bool, int], _Candidate] | None = None
        self._suspects: list[_Candidate] = []
        self._count = 0

    def add(self, row: TokenRow, *, ends_recording: bool, still: StillRun | None = None) -> None:
        """Consider a sound row.

        Args:
            row: the next one of the part.
            ends_recording: no later row belongs to its recording.
            still: what of it says nothing, silence aside.
        """
        key, number = row_key(row.id), self._count
        self._count += 1

        def candidate(samples: int) -> _Candidate:
            taken = cut(
                row,
                self._spec,
                samples,
                part=self._part,
                ends_recording=ends_recording,
                still=still,
            )
            return _Candidate(-key, number, taken)

        room = min(self._longest, max(self._shortest, self._budget))
        if self._budget > self._shortest and self._may_be_chosen(key):
            self._push(candidate(room))
        if row.start_sample == 0:
            rank = (not _is_lively(row, self._spec), key)
            if self._opener is None or rank < self._opener[0]:
                self._opener = rank, candidate(room)
        if still is not None and still.first_frame * self._spec.hop_samples < self._longest:
            self._suspect(candidate(self._samples_until(still)))

    def chosen(self) -> list[Excerpt]:
        """The sample, in the order of the part."""
        ordered = sorted(self._heap, key=lambda one: -one.negative_key)
        if self._opener is not None:
            opener = self._opener[1]
            ordered = [opener, *(one for one in ordered if one.number != opener.number)]
        taken: dict[int, Excerpt] = {}
        left = self._budget
        for one in ordered:
            if taken and left < self._shortest:
                break
            excerpt = one.excerpt.shortened(self._spec, max(left, self._shortest))
            left -= excerpt.num_samples
            taken[one.number] = excerpt
        for one in self._suspects:
            longest = max(one.excerpt, taken.get(one.number, one.excerpt), key=_compared)
            taken[one.number] = longest
        return [taken[number] for number in sorted(taken)]

    def _may_be_chosen(self, key: int) -> bool:
        full = self._heap_samples >= self._budget
        return not full or -key > self._heap[0].negative_key

    def _push(self, one: _Candidate) -> None:
        heapq.heappush(self._heap, one)
        self._heap_samples += one.excerpt.num_samples
        while self._heap_samples - self._heap[0].excerpt.num_samples >= self._budget:
            self._heap_samples -= heapq.heappop(self._heap).excerpt.num_samples

    def _suspect(self, one: _Candidate) -> None:
        heapq.heappush(self._suspects, one)
        if len(self._suspects) > MOST_SUSPECTS:
            heapq.heappop(self._suspects)

    def _samples_until(self, still: StillRun) -> int:
        """Up to where it can be seen that nothing changes."""
        begin = still.first_frame * self._spec.hop_samples
        return min(self._longest, begin + round(_SUSPECT_SECONDS * self._spec.sample_rate))


def row_key(row_id: str) -> int:
    """64 bits that stand for the id of a row."""
    digest = hashlib.sha256(row_id.encode("utf-8", "backslashreplace"))
    return int.from_bytes(digest.digest()[:8], "big")


def _compared(excerpt: Excerpt) -> int:
    return excerpt.num_samples


def _is_lively(row: TokenRow, spec: CodecSpec) -> bool:
    """Whether the first second of a row says something."""
    codes_KT = row.codes[:, : max(2, round(SHORTEST_SECONDS * spec.frames_per_second))]
    if codes_KT.shape[1] < 2:
        return False
    changes = (codes_KT[:, 1:] != codes_KT[:, :-1]).any(axis=0)
    return bool(np.mean(changes) >= _LIVELY_SHARE)
