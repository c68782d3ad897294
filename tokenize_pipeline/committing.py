"""Commit records on their way to storage, a few at a time, and what they add up to."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.progress import Tally
from tokenize_pipeline.records import CommitRecord

_AT_ONCE = (
    8  # a request takes tens of milliseconds; a thousand workers finish twenty shards a second
)


class Committing:
    """Writes commit records while the next shards come in. A context manager.

    Whoever leaves it early takes along what is on its way and drops what waits.

    Args:
        folder: of the run.
        commits: of the shards that are done; grows as records are written.
        sample_rate: of the codec, Hz.
    """

    def __init__(
        self, folder: RunFolder, commits: dict[int, CommitRecord], sample_rate: int
    ) -> None:
        self._folder = folder
        self._commits = commits
        self._sample_rate = sample_rate
        self._threads = ThreadPoolExecutor(_AT_ONCE, "commit")
        self._pending: deque[tuple[CommitRecord, Future[None]]] = deque()
        self.tally = sum(map(self._tally_of, commits.values()), Tally())

    def __enter__(self) -> "Committing":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threads.shutdown(cancel_futures=kind is not None)

    def add(self, record: CommitRecord) -> None:
        """Have a record written.

        Raises:
            OSError: this one or an earlier one could not be.
        """
        self._pending.append((record, self._threads.submit(self._folder.commit, record)))
        self._take(2 * _AT_ONCE)

    def flush(self) -> None:
        """Wait until all records are written.

        Raises:
            OSError: one could not be.
        """
        self._take(0)

    def _take(self, left: int) -> None:
        """Count records that are written; wait for the oldest while there are more than `left`."""
        while self._pending and (len(self._pending) > left or self._pending[0][1].done()):
            record, written = self._pending.popleft()
            written.result()
            self._commits[record.shard] = record
            self.tally += self._tally_of(record)

    def _tally_of(self, record: CommitRecord) -> Tally:
        samples = round(record.seconds * self._sample_rate)
        return Tally(record.recordings, len(record.rejected), samples)
