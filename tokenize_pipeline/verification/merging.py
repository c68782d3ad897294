"""Findings of shards added up to those of a dataset, in memory that does not grow with its shards.

    findings, as they come   -> sums, keys on disk, each shard's findings in a file of its own
    findings, in order again -> logs, round trips, drift

Workers finish in any order; the second pass makes the result the same every time. What stays in
memory is the round trips of the sample.
"""

import pickle
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from tokenize_pipeline.errors import DamagedOutputError
from tokenize_pipeline.schema import read_part
from tokenize_pipeline.verification.code_statistics import CodeCounts, outliers
from tokenize_pipeline.verification.findings import ShardFindings
from tokenize_pipeline.verification.opened_run import CommittedShard, OpenedRun
from tokenize_pipeline.verification.problems import ProblemLog
from tokenize_pipeline.verification.result import ShardCodes
from tokenize_pipeline.verification.round_trip import RoundTrip
from tokenize_pipeline.verification.sampling import row_key
from tokenize_pipeline.verification.unique_ids import SeenKeys

_BARELY_USED = 0.1  # of the entries of a codebook
_ENOUGH_FRAMES_PER_ENTRY = 100  # to say so


class MergedFindings:
    """All findings of a dataset. A context manager: leaving it removes its files.

    Args:
        run: that was verified.
    """

    def __init__(self, run: OpenedRun) -> None:
        self.rows = 0
        self.recordings = 0
        self.samples = 0
        self.frames = 0
        self.codes = CodeCounts(run.num_codebooks, run.spec.codebook_size)
        self.trips: list[RoundTrip] = []
        self.shard_codes: list[ShardCodes] = []
        self._run = run
        self._folder = TemporaryDirectory(prefix="verify-")
        self._keys = SeenKeys(self._subfolder("keys"))
        self._spool = self._subfolder("shards")

    def __enter__(self) -> "MergedFindings":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._folder.cleanup()

    def add(self, findings: ShardFindings) -> None:
        """Take the findings of a shard, in any order."""
        self.rows += findings.rows
        self.recordings += findings.recordings
        self.samples += findings.samples
        self.frames += findings.frames
        self.codes.merge(findings.codes)
        self._keys.add(findings.shard, findings.keys)
        with self._file(findings.shard).open("wb") as file:
            pickle.dump(findings, file)

    def finish(self, problems: ProblemLog, notices: ProblemLog) -> None:
        """Put everything in order, and look at what only all shards together can tell.

        Args:
            problems: takes what was found wrong.
            notices: takes what is worth knowing.
        """
        for findings in self._in_order():
            problems.merge(findings.problems)
            notices.merge(findings.notices)
            self.trips += findings.trips
            if findings.frames:
                drift = findings.codes.drift_bits(self.codes)
                entropies = tuple(findings.codes.entropies_bits())
                self.shard_codes.append(
                    ShardCodes(
                        findings.shard, findings.part or "", findings.frames, drift, entropies
                    )
                )
        self._check_ids(problems)
        self._check_codebooks(problems, notices)

    def _check_ids(self, problems: ProblemLog) -> None:
        repeated: dict[int, frozenset[int]] = dict(self._keys.repeated())
        if repeated:
            shards = frozenset().union(*repeated.values())
            for row_id, times in sorted(_count_ids(self._run, shards, repeated).items()):
                if times > 1:
                    problems.add("id_twice", row_id, f"{times} rows have this id")

    def _check_codebooks(self, problems: ProblemLog, notices: ProblemLog) -> None:
        for index, book in enumerate(self.codes.statistics()):
            where = f"codebook {index}"
            if book.is_constant:
                detail = f"one code in all of its {book.frames} frames"
                problems.add("constant_codebook", where, detail)
            elif (
                book.used_entries < _BARELY_USED * book.codebook_size
                and book.frames > _ENOUGH_FRAMES_PER_ENTRY * book.codebook_size
            ):
                detail = f"{book.used_entries} of {book.codebook_size} entries"
                notices.add("codebook_barely_used", where, detail)
        for index in outliers([shard.drift_bits for shard in self.shard_codes]):
            shard = self.shard_codes[index]
            detail = f"{shard.drift_bits:.2f} bits from the dataset"
            notices.add("codebook_drift", shard.part, detail)

    def _in_order(self) -> Iterator[ShardFindings]:
        for path in sorted(self._spool.iterdir()):
            with path.open("rb") as file:
                yield pickle.load(file)  # noqa: S301  written above

    def _file(self, shard: int) -> Path:
        return self._spool / f"{shard:012d}"

    def _subfolder(self, name: str) -> Path:
        folder = Path(self._folder.name, name)
        folder.mkdir()
        return folder


def _count_ids(run: OpenedRun, shards: Iterable[int], keys: Mapping[int, object]) -> Counter[str]:
    """How often each id with one of `keys` occurs in the rows of some shards, read again."""
    counts: Counter[str] = Counter()
    for shard in _those(run.shards_with_parts(), shards):
        with suppress(DamagedOutputError, FileNotFoundError):  # known already
            rows = read_part(run.folder.part_url(str(shard.record.part)))
            counts.update(row.id for row in rows if row_key(row.id) in keys)
    return counts


def _those(shards: Sequence[CommittedShard], wanted: Iterable[int]) -> list[CommittedShard]:
    indices = set(wanted)
    return [shard for shard in shards if shard.index in indices]
