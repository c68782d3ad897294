"""What a run has made, added up from its commit records."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tokenize_pipeline.records import CommitRecord, FailedShard


@dataclass(frozen=True)
class RunSummary:
    """Totals of all committed shards."""

    recordings: int  # read, rejected ones included
    rows: int
    seconds: float  # of audio that became tokens
    rejected_by_code: Mapping[str, int]  # most frequent first
    ignored_files: int = 0  # in archives, neither audio nor beside any

    @property
    def rejected(self) -> int:
        """Recordings that made no tokens."""
        return sum(self.rejected_by_code.values())

    @property
    def rejected_fraction(self) -> float:
        """Rejected ones among all recordings."""
        return self.rejected / self.recordings if self.recordings else 0.0

    def rejected_text(self) -> str:
        """Like "3 (2 undecodable, 1 empty)"."""
        counts = ", ".join(f"{count} {code}" for code, count in self.rejected_by_code.items())
        return f"{self.rejected} ({counts})" if counts else "0"


def summarize(commits: Iterable[CommitRecord], given_up: Iterable[FailedShard] = ()) -> RunSummary:
    """Add up commit records and shards that were given up, in any order."""
    ordered = sorted(commits, key=lambda record: record.shard)
    lost = [item for failed in given_up for item in failed.rejected()]
    codes = Counter(item.code for record in ordered for item in record.rejected)
    codes.update(item.code for item in lost)
    return RunSummary(
        recordings=sum(record.recordings for record in ordered) + len(lost),
        rows=sum(record.rows for record in ordered),
        seconds=sum(record.seconds for record in ordered),
        rejected_by_code=dict(sorted(codes.items(), key=lambda pair: (-pair[1], pair[0]))),
        ignored_files=sum(record.ignored_files for record in ordered),
    )
