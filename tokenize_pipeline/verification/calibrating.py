"""Measures what a codec does to sound recordings, and derives the limits of verification from it.

    kinds of audio -> excerpts, short and long -> codes -> [ sound, or with a fault ] -> scores
    scores of sound tokens -> limits; scores of faulty ones -> which limits see which fault

Dimension key: C channels, S samples, K codebooks, T frames.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from torch import Tensor

from codec import Codec, CodecSpec, EncodedAudio
from tokenize_pipeline.audio import open_audio
from tokenize_pipeline.errors import AudioError, ConfigurationError
from tokenize_pipeline.records import Recording, SourceItem
from tokenize_pipeline.sources import find_items, read_recordings
from tokenize_pipeline.verification.excerpts import SHORTEST_SECONDS
from tokenize_pipeline.verification.limits import FEWEST_ROWS
from tokenize_pipeline.verification.originals import take
from tokenize_pipeline.verification.scorecard import METRICS, Metric, Scores, score

EXCERPT_SECONDS = (SHORTEST_SECONDS, 6.0)  # as short as a sample may be, and as long as most are
STANDARD_ERRORS = 4.0

# How far beyond its mean a limit lies at least, where all recordings came out alike.
_LEAST_MARGINS = MappingProxyType(
    {
        "si_sdr": 3.0,
        "log_mel_distance": 2.0,
        "stft_distance": 0.3,
        "loudness_difference": 2.0,
        "clipping": 2.0,
        "seam_jump": 10.0,
        "stoi": 0.1,
        "pesq": 0.2,
    }
)
_WORST_POSSIBLE = MappingProxyType({"stoi": 0.0, "pesq": 1.04})  # a limit beyond it says nothing

Fault = Callable[[EncodedAudio], EncodedAudio]


@dataclass(frozen=True)
class Calibration:
    """What was measured at one number of codebooks."""

    num_codebooks: int
    bounds: Mapping[str, float]
    sound: Mapping[str, Mapping[str, float]]  # mean by kind of audio and metric
    faulty: Mapping[str, Mapping[str, float]]  # mean by fault and metric, all kinds together

    def seen(self, fault: str) -> list[str]:
        """Metrics whose limit a fault exceeds."""
        means = self.faulty[fault]
        return [
            metric.name
            for metric in METRICS
            if metric.name in means
            and metric.name in self.bounds
            and metric.badness(means[metric.name]) > metric.badness(self.bounds[metric.name])
        ]


def calibrate(
    codec: Codec, num_codebooks: int, kinds: Mapping[str, Sequence[Tensor]]
) -> Calibration:
    """Measure a codec at one number of codebooks.

    Args:
        codec: to measure.
        num_codebooks: to encode with.
        kinds: recordings [C, S] by kind of audio; at least `FEWEST_ROWS` of each.
    """
    sound: dict[str, list[Scores]] = {}
    faulty: dict[str, list[Scores]] = {name: [] for name in FAULTS}
    for kind, recordings in kinds.items():
        for seconds in EXCERPT_SECONDS:
            samples = round(seconds * codec.spec.sample_rate)
            audio = [audio_CS[:, :samples] for audio_CS in recordings]
            tokens = list(codec.encode_stream(audio, num_codebooks))
            sound[f"{kind}, {seconds:g} s"] = _scores(codec, audio, tokens)
            if seconds == EXCERPT_SECONDS[-1]:
                for name, fault in FAULTS.items():
                    faulty[name] += _scores(codec, audio, list(map(fault, tokens)))
    return Calibration(
        num_codebooks,
        {metric.name: bound for metric, bound in _bounds(sound.values())},
        {kind: _means(scores) for kind, scores in sound.items()},
        {name: _means(scores) for name, scores in faulty.items()},
    )


def read_kind(source: str, spec: CodecSpec, count: int) -> list[Tensor]:
    """The beginnings [C, S] of up to `count` recordings of a source, spread over it.

    Raises:
        ConfigurationError: too few of them can be read.
    """
    items = find_items(source)
    samples = round(EXCERPT_SECONDS[-1] * spec.sample_rate)
    chosen = items[:: max(1, len(items) // count)][:count]
    found = [audio for item in chosen for audio in _beginnings(item, spec, samples)]
    if len(found) < FEWEST_ROWS:
        raise ConfigurationError(
            f"{source} has {len(found)} recordings that can be read; {FEWEST_ROWS} are needed"
        )
    return found[:count]


def _beginnings(item: SourceItem, spec: CodecSpec, samples: int) -> Iterator[Tensor]:
    for recording in read_recordings(item):
        if not isinstance(recording, Recording):
            continue
        try:
            with recording.open() as file:
                reader = open_audio(
                    file, recording.name, spec.sample_rate, spec.channels, recording.segment
                )
                (audio_CS,), _ = take(
                    reader.blocks(), [range(samples)], spec.channels, to_the_end=False
                )
        except AudioError:
            continue
        if audio_CS.shape[1]:
            yield audio_CS


def _scores(codec: Codec, audio: Sequence[Tensor], tokens: Sequence[EncodedAudio]) -> list[Scores]:
    pairs = zip(audio, codec.decode_batch(tokens), strict=True)
    return [score(audio_CS, decoded_CS, codec.spec) for audio_CS, decoded_CS in pairs]


def _bounds(groups: Iterable[list[Scores]]) -> Iterator[tuple[Metric, float]]:
    """A limit for each metric that has answers: beyond the mean of the worst group."""
    groups = list(groups)
    for metric in METRICS:
        found = [bound for scores in groups if (bound := _bound(metric, scores)) is not None]
        if not found:
            continue
        worst = max(found, key=metric.badness)
        impossible = _WORST_POSSIBLE.get(metric.name)
        if impossible is None or metric.badness(worst) < metric.badness(impossible):
            yield metric, float(f"{worst:.3g}")


def _bound(metric: Metric, scores: Sequence[Scores]) -> float | None:
    values = _values(metric, scores)
    if len(values) < FEWEST_ROWS:
        return None
    error = statistics.stdev(values) / math.sqrt(FEWEST_ROWS)
    margin = max(_LEAST_MARGINS[metric.name], STANDARD_ERRORS * error)
    mean = statistics.fmean(values)
    return mean - margin if metric.better == "higher" else mean + margin


def _means(scores: Sequence[Scores]) -> dict[str, float]:
    found = {metric.name: _values(metric, scores) for metric in METRICS}
    return {name: round(statistics.fmean(v), 3) for name, v in found.items() if v}


def _values(metric: Metric, scores: Sequence[Scores]) -> list[float]:
    """Those that a limit is held against: magnitudes where near zero is better."""
    values = [value for one in scores if (value := one[metric.name]) is not None]
    return [abs(value) for value in values] if metric.better == "near zero" else values


def _swapped(encoded: EncodedAudio) -> EncodedAudio:
    if len(encoded.codes) < 2:
        return encoded
    return replace(encoded, codes=encoded.codes[[1, 0, *range(2, len(encoded.codes))]])


def _late(encoded: EncodedAudio) -> EncodedAudio:
    return replace(encoded, codes=encoded.codes.roll(1, dims=1))


def _constant(encoded: EncodedAudio) -> EncodedAudio:
    return replace(encoded, codes=encoded.codes[:, :1].expand_as(encoded.codes))


FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "two codebooks swapped": _swapped,
        "one frame late": _late,
        "one code repeated": _constant,
    }
)
