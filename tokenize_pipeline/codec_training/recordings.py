"""Audio to train on, held in memory.

Dimension key: S samples.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from codec.encodec import EncodecConfig
from codec.training.excerpts import Excerpts
from codec.training.log import TrainingLog
from tokenize_pipeline.decode_ahead import DecodeAhead
from tokenize_pipeline.errors import ConfigurationError
from tokenize_pipeline.records import SourceItem
from tokenize_pipeline.sources import find_items, read_recordings


def read_excerpts(
    sources: Sequence[str],
    shares: Sequence[float] | None,
    config: EncodecConfig,
    excerpt_seconds: float,
    log: TrainingLog,
    *,
    part: int = 0,
    parts: int = 1,
) -> Excerpts:
    """Excerpts of all sources, of whole frames.

    Args:
        sources: files, folders or globs.
        shares: how often to draw from each; None: as much as it holds.
        config: of the codec; decides rate and hop.
        excerpt_seconds: length of an excerpt, about.
        log: told what was found.
        part: which part of the files of each source to read, counted from 0.
        parts: how many parts there are; processes share the files between them.

    Raises:
        ConfigurationError: a source does not exist, or nothing in it can be read.
    """
    recordings: list[Tensor] = []
    weights: list[float] = []
    for index, source in enumerate(sources):
        items = find_items(source)
        own = items[part::parts] or [items[part % len(items)]]
        audio = _read(own, config)
        samples = sum(map(len, audio))
        if not samples:
            raise ConfigurationError(f"nothing in {source} can be read as audio")
        share = shares[index] if shares else samples
        weights += [share * len(recording) / samples for recording in audio]
        recordings += audio
        hours = samples / config.sampling_rate / 3600
        log.note(f"{source}: {len(audio)} recordings, {hours:.2f} hours")
    frames = max(1, round(excerpt_seconds * config.sampling_rate / config.hop_length))
    return Excerpts(recordings, weights, frames * config.hop_length)


def _read(items: Sequence[SourceItem], config: EncodecConfig) -> list[Tensor]:
    """Every recording that decodes, mono int16 [S]: an hour takes 173 MB at 24 kHz."""
    recordings = (recording for item in items for recording in read_recordings(item))
    audio = []
    with DecodeAhead(recordings, config.sampling_rate, config.audio_channels) as decoded:
        for recording in decoded:
            blocks = [(block_CS[0].clamp(-1, 1) * 32767).round().short() for block_CS in recording]
            if blocks and recording.rejected is None:
                audio.append(torch.cat(blocks))
    return audio
