"""The recordings that a report lets people hear: the worst, the median, and some others."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from codec import Codec, CodecSpec
from tokenize_pipeline.records import SourceItem, TokenRow
from tokenize_pipeline.verification.pairs import Pair, SampledRow, decode_pairs
from tokenize_pipeline.verification.round_trip import RoundTrip
from tokenize_pipeline.verification.sampling import row_key

LONGEST_SECONDS = 8.0
LARGEST_SAMPLES = 300_000  # of all channels together; about a third of a megabyte as FLAC

# What is shown, in this order, and how many of each.
_WORST, _MEDIAN, _RANDOM = 2, 1, 3


@dataclass(frozen=True)
class Choice:
    """A recording to show, and why this one."""

    reason: str
    trip: RoundTrip

    @property
    def key(self) -> int:
        """Stands for the row."""
        return row_key(self.trip.id)


@dataclass(frozen=True)
class Example:
    """A recording to show, with its audio."""

    choice: Choice
    pair: Pair


def example_seconds(spec: CodecSpec) -> float:
    """How much of a recording can be heard: less of what takes more bytes a second."""
    return min(LONGEST_SECONDS, LARGEST_SAMPLES / (spec.sample_rate * spec.channels))


def choose(ranked: Sequence[RoundTrip]) -> list[Choice]:
    """Which recordings to show, none of them twice.

    Args:
        ranked: every decoded row, worst first.
    """
    middle = len(ranked) // 2
    candidates = [
        *(Choice("worst", trip) for trip in ranked[:_WORST]),
        *(Choice("median", trip) for trip in ranked[middle : middle + _MEDIAN]),
        *(Choice("random", trip) for trip in _shuffled(ranked)),
    ]
    chosen: dict[int, Choice] = {}
    for choice in candidates:
        chosen.setdefault(choice.key, choice)
    return list(chosen.values())[: _WORST + _MEDIAN + _RANDOM]


def load(
    choices: Iterable[Choice],
    rows: Iterable[TokenRow],
    items: Sequence[SourceItem],
    codec: Codec,
) -> Iterator[Example]:
    """Read and decode the chosen recordings of one part again.

    Args:
        choices: recordings of that part.
        rows: all rows of the part; read no further than needed.
        items: files of the shard of the part.
        codec: that made the codes.
    """
    wanted = {choice.key: choice for choice in choices}
    for row in rows:
        choice = wanted.pop(row_key(row.id), None)
        if choice is not None:
            sampled = SampledRow(row, choice.trip.part, items)
            (pair,) = decode_pairs([sampled], codec, example_seconds(codec.spec))
            if isinstance(pair, Pair):
                yield Example(choice, pair)
        if not wanted:
            return


def _shuffled(ranked: Sequence[RoundTrip]) -> list[RoundTrip]:
    """Rows in an order that has nothing to do with their quality, the same every time."""
    return sorted(ranked, key=lambda trip: row_key(trip.id))
