"""Measures a codec anew and writes the limits that `verify` holds its tokens to.

    python jobs/calibrate.py speech/ music/ --codec tiny_24khz

Each source is a kind of audio of its own: limits are set by the worst of them. To be run when the
weights of a codec change; takes some minutes on a CPU. The table is
tokenize_pipeline/verification/calibration.json.
"""

import sys
from pathlib import Path

# This folder comes first on sys.path, and its tokenize.py would hide the standard module.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

from codec import Codec, CodecError, load_codec
from codec.exact import one_thread
from tokenize_pipeline.errors import ConfigurationError, PipelineError
from tokenize_pipeline.verification.calibrating import Calibration, calibrate, read_kind
from tokenize_pipeline.verification.limits import CALIBRATION_FILE, calibration


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("audio", nargs="+", help="file, folder or glob of one kind of audio")
    parser.add_argument("--codec", required=True, help="name, or path of a checkpoint")
    parser.add_argument(
        "--num-codebooks",
        nargs="+",
        type=int,
        metavar="K",
        help="default: those of its published bandwidths",
    )
    parser.add_argument(
        "--recordings", type=int, default=40, metavar="N", help="of each kind (default: 40)"
    )
    parser.add_argument(
        "--output", type=Path, default=CALIBRATION_FILE, help="table to write (default: ours)"
    )
    return parser.parse_args(argv)


def as_entry(codec: Codec, source: str, measured: Sequence[Calibration]) -> dict[str, Any]:
    """What stands in the table."""
    return {
        "fingerprint": codec.spec.fingerprint,
        "source": source,
        "num_codebooks": {
            str(one.num_codebooks): {
                "bounds": one.bounds,
                "sound": one.sound,
                "faulty": one.faulty,
            }
            for one in measured
        },
    }


def report(one: Calibration) -> None:
    """Prints limits, what sound tokens score, and which limits see which fault."""
    print(f"\n{one.num_codebooks} codebooks")
    figures: Mapping[str, Mapping[str, float]] = {"limit": one.bounds, **one.sound, **one.faulty}
    for name, means in figures.items():
        seen = f"  seen by {', '.join(one.seen(name)) or 'none'}" if name in one.faulty else ""
        print(f"  {name:24}", *(f"{key} {value:g}" for key, value in means.items()), seen)


def main(argv: Sequence[str]) -> int:
    """Measures, prints, writes."""
    arguments = parse_arguments(argv)
    try:
        codec = load_codec(arguments.codec)
        spec = codec.spec
        kinds = {
            Path(source).name: read_kind(source, spec, arguments.recordings)
            for source in arguments.audio
        }
        counts = arguments.num_codebooks or [
            spec.codebooks_for_bandwidth(kbps) for kbps in spec.bandwidths_kbps
        ]
        with one_thread():
            measured = [calibrate(codec, count, kinds) for count in counts]
    except CodecError as error:
        print(f"error: {error}", file=sys.stderr)
        return ConfigurationError.exit_code
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    for one in measured:
        report(one)
    numbers = ", ".join(f"{len(audio)} of {kind}" for kind, audio in kinds.items())
    source = f"measured by jobs/calibrate.py on {numbers}"
    table = dict(calibration())
    table["codecs"] = {**table["codecs"], spec.name: as_entry(codec, source, measured)}
    arguments.output.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print(f"\nlimits in {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
