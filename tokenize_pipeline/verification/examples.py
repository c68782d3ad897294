"""The recordings that a report lets people hear: the worst, the median, and some others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from codec import Codec, CodecSpec
from tokenize_pipeline.errors import DamagedOutputError
from tokenize_pipeline.schema import read_part
from tokenize_pipeline.verification.excerpts import Excerpt, cut
from tokenize_pipeline.verification.opened_run import CommittedShard, OpenedRun
from tokenize_pipeline.verification.pairs import Pair, decode_pairs
from tokenize_pipeline.verification.round_trip import RoundTrip
from tokenize_pipeline.verification.sampling import row_key

LONGEST_SECONDS = 6.0
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


def load_examples(choices: Sequence[Choice], run: OpenedRun, codec: Codec) -> list[Example]:
    """Read and decode the chosen recordings again, those of a shard together.

    Args:
        choices: what to show.
        run: that it belongs to.
        codec: that made the codes.

    Returns:
        Those that could be had, in the order of `choices`.
    """
    loaded: dict[int, Example] = {}
    for shard in run.shards_with_parts():
        here = [choice for choice in choices if choice.trip.part == shard.record.part]
        if here:
            loaded.update((one.choice.key, one) for one in _load(here, shard, run, codec))
    return [loaded[choice.key] for choice in choices if choice.key in loaded]


def _load(
    choices: Sequence[Choice], shard: CommittedShard, run: OpenedRun, codec: Codec
) -> Iterator[Example]:
    wanted = {choice.key: choice for choice in choices}
    found: list[tuple[Choice, Excerpt]] = []
    longest_samples = round(example_seconds(codec.spec) * codec.spec.sample_rate)
    try:
        for row in read_part(run.folder.part_url(str(shard.record.part))):
            choice = wanted.pop(row_key(row.id), None)
            if choice is not None:
                excerpt = cut(row, codec.spec, longest_samples, ends_recording=False)
                found.append((choice, excerpt))
            if not wanted:
                break
    except (DamagedOutputError, FileNotFoundError):
        pass  # known already; what came before the damage can still be shown
    pairs = decode_pairs([excerpt for _, excerpt in found], shard.items, codec)
    for (choice, _), pair in zip(found, pairs, strict=True):
        if isinstance(pair, Pair):
            yield Example(choice, pair)


def _shuffled(ranked: Sequence[RoundTrip]) -> list[RoundTrip]:
    """Rows in an order that has nothing to do with their quality, the same every time."""
    return sorted(ranked, key=lambda trip: row_key(trip.id))
