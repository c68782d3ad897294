"""Trains a small EnCodec on folders of audio; this is how the embedded `tiny_24khz` was made.

    python jobs/train_codec.py speech/ music/ --shares 0.8 0.2 --output tiny --checkpoint tiny.ckpt

Runs on a CPU. Started again with the same checkpoint, it goes on where it was.
"""

import sys
from pathlib import Path

# This folder comes first on sys.path, and its tokenize.py would hide the standard module.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import argparse
import time
from dataclasses import fields, replace

import torch

from codec.encodec import EncodecConfig
from codec.training.excerpts import Excerpts
from codec.training.trainer import Trainer, TrainingConfig
from tokenize_pipeline.decode_ahead import DecodeAhead
from tokenize_pipeline.errors import PipelineError
from tokenize_pipeline.sources import find_items, read_recordings

TINY_24KHZ = EncodecConfig(target_bandwidths=(0.75, 1.5, 3.0, 6.0), hidden_size=64, num_filters=8)
EXCERPT_FRAMES = 38  # half a second
TUNABLE = ("imitate_steps", "continuous_steps", "quantized_steps", "batch_size", "seed")


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("audio", nargs="+", help="file, folder or glob to train on")
    parser.add_argument("--shares", nargs="+", type=float, help="of the excerpts, for each AUDIO")
    parser.add_argument("--output", type=Path, required=True, help="folder for the trained codec")
    parser.add_argument("--checkpoint", type=Path, required=True, help="file to resume from")
    defaults = {field.name: field.default for field in fields(TrainingConfig)}
    for name in TUNABLE:
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=int, default=defaults[name], help="default: %(default)s")
    arguments = parser.parse_args()
    if arguments.shares is not None and len(arguments.shares) != len(arguments.audio):
        parser.error(f"{len(arguments.audio)} sources need as many --shares")
    return arguments


def read_audio(source: str, config: EncodecConfig) -> list[torch.Tensor]:
    """Every recording of a source that decodes, mono int16 [S]: an hour takes 173 MB."""
    items = find_items(source)
    recordings = (recording for item in items for recording in read_recordings(item))
    audio = []
    with DecodeAhead(recordings, config.sampling_rate, config.audio_channels) as decoded:
        for recording in decoded:
            blocks = [(block[0].clamp(-1, 1) * 32767).round().short() for block in recording]
            if blocks and recording.rejected is None:
                audio.append(torch.cat(blocks))
    return audio


def make_excerpts(
    arguments: argparse.Namespace, config: EncodecConfig, generator: torch.Generator
) -> Excerpts:
    """Excerpts of all sources, each source drawn from as often as its share says."""
    recordings: list[torch.Tensor] = []
    weights: list[float] = []
    for index, source in enumerate(arguments.audio):
        audio = read_audio(source, config)
        samples = sum(len(recording) for recording in audio)
        share = arguments.shares[index] if arguments.shares else samples
        weights += [share * len(recording) / samples for recording in audio]
        recordings += audio
        hours = samples / config.sampling_rate / 3600
        print(f"{source}: {len(audio)} recordings, {hours:.2f} hours", flush=True)
    return Excerpts(recordings, weights, EXCERPT_FRAMES * config.hop_length, generator)


def main() -> int:
    """Trains, and writes the codec in the Hugging Face layout."""
    arguments = parse_arguments()
    config = replace(TrainingConfig(), **{name: getattr(arguments, name) for name in TUNABLE})
    generator = torch.Generator().manual_seed(config.seed)
    try:
        excerpts = make_excerpts(arguments, TINY_24KHZ, generator)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    start = time.monotonic()

    def report(line: str) -> None:
        print(f"{time.monotonic() - start:6.0f} s  {line}", flush=True)

    trainer = Trainer(TINY_24KHZ, config, excerpts, generator, arguments.checkpoint, report)
    trainer.run().save_pretrained(arguments.output)
    print(f"codec: {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
