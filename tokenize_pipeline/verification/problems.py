"""What verification can find: named values, not exceptions.

A problem is a fault, and one of them makes the exit code 3. A notice is what a listener or a
trainer wants to know of sound tokens: silence, codes that stand still because the audio does.
"""

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
        "shard_not_verified": "a shard could not be verified to its end",
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
        "row_out_of_place": "a row does not begin where the row before it in its recording ends",
        "codebook_count_differs": "a row has another number of codebooks than the run",
        "code_out_of_range": "a code is no entry of its codebook",
        "frame_count_differs": "codes, num_frames and num_samples of a row do not fit together",
        "chunk_lost": "the codes of a whole chunk are missing from a row",
        "scales_dropped": "the codec scales chunks, but a row has no scales or only ones",
        "scale_count_differs": "a row has not one scale a chunk, or scales where there are none",
        "scale_not_finite": "a scale is NaN, infinite, or not positive",
        "constant_codes": "a row repeats one code although its audio does not stand still",
        "constant_codebook": "a codebook says the same in every frame of the dataset",
        # of a round trip
        "codec_unavailable": "the codec of the run cannot be loaded, so nothing was decoded",
        "codec_differs": "the codec of that name has other weights than the run's",
        "source_unavailable": "the original of a row cannot be read any more",
        "source_changed": "the original is another file than when the run was planned",
        "source_too_short": "the original ends before the samples that a row stands for",
        "audio_lost": "the original goes on where its last row ends",
        "undecodable_row": "the codec refuses to decode a row",
        "decoded_not_finite": "the decoded audio holds NaN or infinite samples",
        "codebooks_swapped": "the codes are those of the audio, but codebooks are out of order",
        "audio_shifted": "the tokens are those of the audio some frames earlier or later",
        "other_weights": "no codes of a shard are those that the run's codec gives: the shard was "
        "made with other weights, or its codes are in disorder",
        "reencode_mismatch": "encoding the original again gives other codes",
        "scales_differ": "encoding the original again gives other scales",
        "limit_exceeded": "the sample is worse than the limit set for this codec",
    }
)

NOTICE_CODES: Mapping[str, str] = MappingProxyType(
    {
        "silent_audio": "a row holds digital silence for a while",
        "still_codes": "a row repeats one code for a while",
        "codebook_drift": "the codes of a shard are spread otherwise than those of the dataset",
        "codebook_barely_used": "less than a tenth of a codebook's entries ever occur",
    }
)


# Problems of a part that its shard, done again, does not have. `where` is the name of the part.
_MADE_AGAIN = frozenset({"part_missing", "part_damaged", "part_of_other_codec", "other_weights"})


@dataclass(frozen=True)
class Problem:
    """One finding."""

    code: str  # one of PROBLEM_CODES or NOTICE_CODES
    where: str  # a file, a shard, or the id of a row
    detail: str  # what was found and what was expected, for people

    def __str__(self) -> str:
        return f"{self.code}: {self.where}: {self.detail}"


class ProblemLog:
    """Counts every finding and keeps the first of each code, so memory stays bounded.

    Args:
        kept_per_code: how many of a code are kept whole.
    """

    def __init__(self, kept_per_code: int = 20) -> None:
        self.counts: Counter[str] = Counter()
        self.damaged_parts: set[str] = set()  # all of them: `tokenize` makes them again
        self._kept: list[Problem] = []
        self._kept_per_code = kept_per_code

    def add(self, code: str, where: str, detail: str) -> None:
        """Note a finding; `code` is one of `PROBLEM_CODES` or `NOTICE_CODES`."""
        if code not in PROBLEM_CODES and code not in NOTICE_CODES:
            raise KeyError(f"{code!r} is no problem code")
        self.counts[code] += 1
        if code in _MADE_AGAIN:
            self.damaged_parts.add(where)
        if self.counts[code] <= self._kept_per_code:
            self._kept.append(Problem(code, where, detail))

    def take(self, problem: Problem) -> None:
        """Note a finding that is there already."""
        self.add(problem.code, problem.where, problem.detail)

    def merge(self, other: "ProblemLog") -> None:
        """Take over what another log counted and, as far as there is room, kept."""
        kept = Counter(problem.code for problem in self._kept)
        for problem in other:
            if kept[problem.code] < self._kept_per_code:
                self._kept.append(problem)
                kept[problem.code] += 1
        self.counts.update(other.counts)
        self.damaged_parts |= other.damaged_parts

    def __iter__(self) -> Iterator[Problem]:
        """The findings that were kept, as they were made."""
        return iter(self._kept)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def not_kept(self) -> dict[str, int]:
        """How many more of each code there are than were kept."""
        surplus = {code: count - self._kept_per_code for code, count in self.counts.items()}
        return {code: count for code, count in surplus.items() if count > 0}
