"""The part of the report with recordings: to hear, to see, and how they differ."""

from collections.abc import Sequence
from html import escape

from torch import Tensor

from codec.base import CodecSpec
from tokenize_pipeline.audio import flac_bytes
from tokenize_pipeline.verification.examples import Example, example_seconds
from tokenize_pipeline.verification.figures import (
    DIFFERENCE_RANGE_DB,
    data_uri,
    spectrograms,
)
from tokenize_pipeline.verification.markup import note, section
from tokenize_pipeline.verification.plots import waveform
from tokenize_pipeline.verification.scorecard import METRICS, Scores


def listening_section(examples: Sequence[Example], spec: CodecSpec) -> str:
    """Players and pictures of some recordings; "" if there are none."""
    if not examples:
        return ""
    explanation = (
        f"The first {example_seconds(spec):.1f} s at most. Spectrograms run from 0 to "
        f"{spec.sample_rate / 2000:g} kHz on a mel scale, original and decoded at one brightness. "
        f"In the difference, orange is louder and blue quieter than the original, by up to "
        f"{DIFFERENCE_RANGE_DB:.0f} dB; where it is dark, little was lost."
    )
    articles = (_example(example, spec.sample_rate) for example in examples)
    return section("Listen", note(explanation), *articles)


def _example(example: Example, sample_rate: int) -> str:
    pair, trip = example.pair, example.choice.trip
    pictures = spectrograms(pair.original, pair.decoded, sample_rate)
    loudest = float(max(pair.original.abs().max(), pair.decoded.abs().max()))
    sides = [
        _side("Original", trip.id, pair.original, pictures.original, loudest),
        _side("Decoded", trip.id, pair.decoded, pictures.decoded, loudest),
        _side("Difference", trip.id, pair.decoded - pair.original, pictures.difference, loudest),
    ]
    players = (
        _player("original", trip.id, pair.original, sample_rate),
        _player("decoded", trip.id, pair.decoded, sample_rate),
        "",
    )
    figures = "".join(
        f"<figure>{side}{player}</figure>" for side, player in zip(sides, players, strict=True)
    )
    return (
        f'<article class="example"><div class="name"><h3>{escape(trip.id)}</h3>'
        f'<span class="tag">{escape(example.choice.reason)}</span></div>'
        f'<p class="scores">{_scores(trip.scores)} over {trip.seconds:.1f} s</p>'
        f'<div class="sides">{figures}</div></article>'
    )


def _side(side: str, row_id: str, audio_CS: Tensor, picture: bytes, loudest: float) -> str:
    what = f"of {row_id}, {side.lower()}"
    return (
        f"<figcaption>{side}</figcaption>"
        f"{waveform(audio_CS, loudest, f'Waveform {what}')}"
        f'<img alt="Spectrogram {escape(what)}" src="{data_uri("image/png", picture)}">'
    )


def _player(side: str, row_id: str, audio_CS: Tensor, sample_rate: int) -> str:
    return (
        f'<audio controls preload="metadata" aria-label="{escape(row_id)}, {side}" '
        f'src="{data_uri("audio/flac", flac_bytes(audio_CS, sample_rate))}"></audio>'
    )


def _scores(scores: Scores) -> str:
    answered = [(metric, scores[metric.name]) for metric in METRICS]
    return " &middot; ".join(
        f"{metric.title} {value:.2f} {metric.unit}".rstrip()
        for metric, value in answered
        if value is not None
    )
