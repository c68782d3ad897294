"""What verification can find wrong: named values, not exceptions."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

# The words are stable: they stand in verify.json.
PROBLEM_CODES: Mapping[str, str] = MappingProxyType(
    {
        # of the run folder
        "shard_not_done": "a shard of the plan has no valid commit record",
        "shard_not_planned": "a commit record belongs to no shard of the plan",
        "part_missing": "a commit record names a part that is not there",
        "part_unexpected": "a file lies under data/ that no commit record names",
        "part_damaged": "a part's bytes are not those that were committed, or cannot be read",
        "part_of_other_codec": "a part was written with another codec than the run's",
        "row_count_differs": "a part has not the rows that its commit record counts",
        "recording_lost": "rows and rejections are not as many as the recordings that were read",
        "rejected_list_differs": "_run/rejected.parquet is missing, or not what the commits say",
        # of a row
        "id_twice": "more than one row has this id",
        "row_without_samples": "a row stands for no audio",
        "codebook_count_differs": "a row has another number of codebooks than the run",
        "code_out_of_range": "a code is no entry of its codebook",
        "frame_count_differs": "codes, num_frames and num_samples of a row do not fit together",
        "scale_count_differs": "a row has not one scale a chunk, or scales where there are none",
        "scale_not_finite": "a scale is NaN, infinite, or not positive",
        "constant_codebook": "a codebook says the same in every frame of the dataset",
        # of a round trip
        "codec_unavailable": "the codec of the run cannot be loaded, so nothing was decoded",
        "codec_differs": "the codec of that name has other weights than the run's",
        "source_unavailable": "the original of a row cannot be read any more",
        "source_changed": "the original is another file than when the run was planned",
        "source_too_short": "the original ends before the samples that a row stands for",
        "undecodable_row": "the codec refuses to decode a row",
        "decoded_not_finite": "the decoded audio holds NaN or infinite samples",
        "reencode_mismatch": "encoding the original again gives other codes",
        "scales_differ": "encoding the original again gives other scales",
        "limit_exceeded": "the sample is worse than the limit set for this codec",
    }
)

# Problems of a part that its shard, done again, does not have. `where` is the name of the part.
_MADE_AGAIN = frozenset({"part_missing", "part_damaged", "part_of_other_codec"})


@dataclass(frozen=True)
class Problem:
    """One finding."""

    code: str  # one of PROBLEM_CODES
    where: str  # a file, a shard, or the id of a row
    detail: str  # what was found and what was expected, for people

    def __str__(self) -> str:
        return f"{self.code}: {self.where}: {self.detail}"


class ProblemLog:
    """Counts every problem and keeps the first of each code, so memory stays bounded.

    Args:
        kept_per_code: how many of a code are kept whole.
    """

    def __init__(self, kept_per_code: int = 20) -> None:
        self.counts: Counter[str] = Counter()
        self.damaged_parts: set[str] = set()  # all of them: `tokenize` makes them again
        self._kept: list[Problem] = []
        self._kept_per_code = kept_per_code

    def add(self, code: str, where: str, detail: str) -> None:
        """Note a problem; `code` is one of `PROBLEM_CODES`."""
        if code not in PROBLEM_CODES:
            raise KeyError(f"{code!r} is no problem code")
        self.counts[code] += 1
        if code in _MADE_AGAIN:
            self.damaged_parts.add(where)
        if self.counts[code] <= self._kept_per_code:
            self._kept.append(Problem(code, where, detail))

    def __iter__(self) -> Iterator[Problem]:
        """The problems that were kept, as they were found."""
        return iter(self._kept)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def not_kept(self) -> dict[str, int]:
        """How many more of each code there are than were kept."""
        surplus = {code: count - self._kept_per_code for code, count in self.counts.items()}
        return {code: count for code, count in surplus.items() if count > 0}
