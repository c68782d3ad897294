"""The command line of `jobs/train_codec.py`, and the values it makes."""

import argparse
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from codec import list_codecs
from codec.encodec import EncodecConfig
from codec.training.config import TrainingConfig
from tokenize_pipeline.errors import ConfigurationError

TINY_24KHZ = EncodecConfig(target_bandwidths=(0.75, 1.5, 3.0, 6.0), hidden_size=64, num_filters=8)
FIT_STEPS = 2000  # where only codebooks are fitted

_EXIT_CODES = """\
exit codes:
  0  done
  1  stopped; run the same command again to go on from the checkpoint
  2  usage or configuration error
"""

# Options that are fields of the configurations, with what their help says.
_MODEL_OPTIONS = {
    "sampling_rate": "Hz",
    "num_filters": "channels of the first convolution; doubled at each downsampling",
    "hidden_size": "width of the latent",
    "num_residual_layers": "residual blocks before each downsampling",
    "num_lstm_layers": "layers of the LSTM",
    "codebook_size": "entries a codebook",
}
_STEP_OPTIONS = {
    "imitate_steps": "in which encoder and decoder learn a linear codec",
    "continuous_steps": "in which they learn each other, without quantizer",
    "quantized_steps": f"through the quantizer (with --fit-codebooks: {FIT_STEPS})",
}
_COUNT_OPTIONS = {
    "batch_size": "excerpts a step, in each process",
    "log_every": "steps between figures",
    "checkpoint_every": "steps between checkpoints",
    "seed": "of everything random",
}
_NUMBER_OPTIONS = {
    "excerpt_seconds": "length of an excerpt, rounded to whole frames",
    "continuous_rate": "learning rate of the first two stages",
    "quantized_rate": "learning rate at the start of the quantized stage",
    "intelligibility_weight": "of the loss of speech envelopes; needs excerpts of 0.4 s",
    "dropout_share": "of the batches that use a random number of codebooks, the others all",
}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Reads the command line; wrong usage ends the program with code 2."""
    parser = argparse.ArgumentParser(
        prog="jobs/train_codec.py",
        description="Train an EnCodec on audio, or fit the codebooks of one to it. The same command"
        " again goes on from the checkpoint. Under torchrun the processes train one codec.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_places(parser)
    _add_fields(parser.add_argument_group("codec"), EncodecConfig, int, _MODEL_OPTIONS, TINY_24KHZ)
    _add_shape(parser.add_argument_group("codec, lists"))
    group = parser.add_argument_group("training")
    for kind, options in ((int, _STEP_OPTIONS | _COUNT_OPTIONS), (float, _NUMBER_OPTIONS)):
        _add_fields(group, TrainingConfig, kind, options, TrainingConfig())
    _add_machine(parser.add_argument_group("machine"))
    arguments = parser.parse_args(argv)
    if arguments.shares is not None and len(arguments.shares) != len(arguments.audio):
        parser.error(f"{len(arguments.audio)} sources need as many --shares")
    return arguments


def model_config(arguments: argparse.Namespace) -> EncodecConfig:
    """The codec to train from nothing: the tiny one, with what was asked for.

    Raises:
        CodecConfigError: no such codec can be built.
    """
    return replace(TINY_24KHZ, codebook_dim=None, **_given_model_options(arguments))


def check_start(arguments: argparse.Namespace) -> None:
    """Refuses options of a new codec where a trained one is named.

    Raises:
        ConfigurationError: there are some.
    """
    trained = arguments.start_from or arguments.fit_codebooks
    given = _given_model_options(arguments)
    if arguments.start_from:
        given.pop("num_filters", None)  # it can be made wider
    given |= {name: n for name in list(_STEP_OPTIONS)[:2] if (n := getattr(arguments, name))}
    if trained and given:
        listed = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ConfigurationError(f"{trained} is trained already; leave out {listed}")


def training_config(arguments: argparse.Namespace, *, on_gpu: bool) -> TrainingConfig:
    """How to train.

    Raises:
        CodecConfigError: a value is out of its range.
    """
    names = [*_STEP_OPTIONS, *_COUNT_OPTIONS, *_NUMBER_OPTIONS, "bfloat16"]
    given = {name: getattr(arguments, name) for name in names}
    values = {name: value for name, value in given.items() if value is not None}
    if arguments.start_from or arguments.fit_codebooks:
        values |= {"imitate_steps": 0, "continuous_steps": 0}
    if arguments.fit_codebooks:
        values = {"quantized_steps": FIT_STEPS, **values, "codebooks_only": True}
    adversarial = on_gpu if arguments.adversarial is None else arguments.adversarial
    return TrainingConfig(**values, adversarial=adversarial)


def _given_model_options(arguments: argparse.Namespace) -> dict[str, Any]:
    names = [*_MODEL_OPTIONS, "upsampling_ratios", "target_bandwidths"]
    given = {name: getattr(arguments, name) for name in names}
    lists = {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}
    return {name: value for name, value in lists.items() if value is not None}


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("audio", nargs="+", metavar="AUDIO", help="file, folder or glob")
    parser.add_argument(
        "--shares",
        nargs="+",
        type=float,
        metavar="F",
        help="of the excerpts, for each AUDIO (default: as much as it holds)",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the trained codec")
    parser.add_argument("--checkpoint", type=Path, required=True, help="file to go on from")
    parser.add_argument("--tensorboard", type=Path, metavar="FOLDER", help="for TensorBoard logs")
    start = parser.add_mutually_exclusive_group()
    names = f"one of {', '.join(list_codecs())}, or path or hub id of a checkpoint"
    start.add_argument(
        "--start-from",
        metavar="CODEC",
        help=f"begin with a trained codec, which --num-filters makes wider: {names}",
    )
    start.add_argument(
        "--fit-codebooks",
        metavar="CODEC",
        help="keep encoder and decoder of a trained codec, and fit its codebooks to the audio",
    )


def _add_fields(
    group: "argparse._ArgumentGroup",
    config: type[EncodecConfig] | type[TrainingConfig],
    kind: type,
    options: dict[str, str],
    default: EncodecConfig | TrainingConfig,
) -> None:
    assert set(options) <= {field.name for field in fields(config)}
    for name, text in options.items():
        option, value = f"--{name.replace('_', '-')}", getattr(default, name)
        metavar = "N" if kind is int else "X"
        group.add_argument(option, type=kind, metavar=metavar, help=f"{text} (default: {value})")


def _add_shape(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--upsampling-ratios",
        nargs="+",
        type=int,
        metavar="N",
        help="strides of the decoder; their product is the hop (default: 8 5 4 2)",
    )
    group.add_argument(
        "--target-bandwidths",
        nargs="+",
        type=float,
        metavar="KBPS",
        help="ascending; the last decides the number of codebooks (default: 0.75 1.5 3 6)",
    )


def _add_machine(group: "argparse._ArgumentGroup") -> None:
    group.add_argument("--device", choices=("cpu", "cuda"), help="(default: cuda where there is)")
    yes_or_no = argparse.BooleanOptionalAction
    group.add_argument("--bfloat16", action=yes_or_no, help="for convolutions (default: yes)")
    group.add_argument(
        "--adversarial",
        action=yes_or_no,
        help="train against a discriminator, with balanced losses (default: on a GPU)",
    )
