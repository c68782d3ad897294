"""Loose audio files: one file, one recording."""

from collections.abc import Iterator
from functools import partial

from tokenize_pipeline import storage
from tokenize_pipeline.records import Recording, SourceItem

# How names of audio files end. What they hold is told from their content, not from this.
# fmt: off
SUFFIXES = frozenset({
    ".3g2", ".3ga", ".3gp", ".aac", ".ac3", ".adts", ".aif", ".aifc", ".aiff", ".amr", ".ape",
    ".au", ".avr", ".caf", ".dff", ".dsf", ".dts", ".eac3", ".ec3", ".f4a", ".flac", ".gsm",
    ".htk", ".ircam", ".m4a", ".m4b", ".m4r", ".mka", ".mkv", ".mlp", ".mov", ".mp1", ".mp2",
    ".mp3", ".mp4", ".mpc", ".mpga", ".nist", ".oga", ".ofr", ".ofs", ".ogg", ".oggflac", ".opus",
    ".paf", ".qt", ".ra", ".rf64", ".rm", ".sd2", ".sf", ".snd", ".sph", ".spx", ".svx", ".tak",
    ".thd", ".tta", ".voc", ".vqf", ".w64", ".wav", ".wave", ".webm", ".wma", ".wmv", ".wv",
    ".wve", ".xi",
})
# fmt: on


def split(item: SourceItem) -> Iterator[SourceItem]:
    """Files are grouped into shards."""
    yield item


def read_recordings(item: SourceItem) -> Iterator[Recording]:
    """The file itself."""
    name = storage.name_of(item.url)
    yield Recording(item.id, item.url, name, partial(storage.open_input, item.url))
