"""`tokenize-pipeline codebooks`: its options, and what it does."""

import argparse
import json
from pathlib import Path

from codec import list_codecs, load_codec
from tokenize_pipeline.codebooks.picture import draw
from tokenize_pipeline.codebooks.survey import survey
from tokenize_pipeline.errors import ConfigurationError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Says what the command takes."""
    parser.add_argument(
        "codec",
        metavar="CODEC",
        help=f"one of {', '.join(list_codecs())}, or path or hub id of a checkpoint",
    )
    parser.add_argument(
        "sources", nargs="+", metavar="AUDIO", help="audio file, folder or glob; path or fsspec URL"
    )
    parser.add_argument(
        "--num-codebooks", type=int, metavar="K", help="look at the first K (default: at all)"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="draw them as well")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """Prints what there is to say, and draws it.

    Raises:
        ConfigurationError: the picture has another ending, or the audio cannot be read.
    """
    picture: Path | None = arguments.picture
    if picture is not None and picture.suffix.lower() != ".png":
        raise ConfigurationError(f"--picture makes PNG files; {picture} does not end in .png")
    report = survey(load_codec(arguments.codec), arguments.sources, arguments.num_codebooks)
    if picture is not None:
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(draw(report.codebooks))
    print(json.dumps(report.to_dict(), indent=2) if arguments.json else "\n".join(report.lines()))
    return 0
