"""Trains a codec as the command line says."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import distributed

from codec import CodecError, processes
from codec.encodec import EncodecModel
from codec.loading import checkpoint_of
from codec.training.config import TrainingConfig
from codec.training.log import SilentLog, TrainingLog
from codec.training.trainer import Trainer, untrained_model
from codec.training.widening import widened
from tokenize_pipeline.codec_training.display import Display
from tokenize_pipeline.codec_training.options import (
    check_start,
    model_config,
    parse,
    training_config,
)
from tokenize_pipeline.codec_training.recordings import read_excerpts
from tokenize_pipeline.errors import ConfigurationError, PipelineError


def main(argv: Sequence[str]) -> int:
    """Trains, and writes the codec in the Hugging Face layout.

    Args:
        argv: arguments without the name of the program.

    Returns:
        0 when done, 1 when stopped, 2 for what cannot be done.
    """
    arguments = parse(argv)
    try:
        with _processes(arguments.device) as device, _display(arguments) as log:
            _train(arguments, device, log)
    except (CodecError, PipelineError) as error:
        print(f"error: {error}", file=sys.stderr)
        return ConfigurationError.exit_code
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on", file=sys.stderr)
        return 1
    return 0


def _train(arguments: argparse.Namespace, device: torch.device, log: TrainingLog) -> None:
    check_start(arguments)
    config = training_config(arguments, on_gpu=device.type == "cuda")
    model = _starting_model(arguments, config)
    excerpts = read_excerpts(
        arguments.audio,
        arguments.shares,
        model.config,
        config.excerpt_seconds,
        log,
        part=processes.rank(),
        parts=processes.count(),
    )
    if arguments.start_from and arguments.num_filters:
        audio_BS = excerpts.batch(config.batch_size, torch.Generator().manual_seed(config.seed))
        model = widened(model, arguments.num_filters, audio_BS[:, None], config.seed)
    trainer = Trainer(model, config, excerpts, arguments.checkpoint, log, device)
    trained = trainer.run()
    if processes.rank() == 0:
        trained.save_pretrained(arguments.output)
        log.note(f"codec: {arguments.output}")


def _starting_model(arguments: argparse.Namespace, config: TrainingConfig) -> EncodecModel:
    """The codec to train: a trained one where one is named, else a new one."""
    trained = arguments.start_from or arguments.fit_codebooks
    if trained:
        return EncodecModel.from_pretrained(checkpoint_of(trained))
    return untrained_model(model_config(arguments), config.seed)


@contextmanager
def _processes(device_name: str | None) -> Iterator[torch.device]:
    """Joins the processes that torchrun started, if it did; the device of this one.

    Raises:
        ConfigurationError: there is no such device.
    """
    has_cuda = torch.cuda.is_available()
    if device_name == "cuda" and not has_cuda:
        raise ConfigurationError("--device cuda: torch sees no GPU on this machine")
    device = torch.device(device_name or ("cuda" if has_cuda else "cpu"))
    if not distributed.is_torchelastic_launched():
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", distributed.get_node_local_rank())
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        distributed.destroy_process_group()


@contextmanager
def _display(arguments: argparse.Namespace) -> Iterator[TrainingLog]:
    """What process 0 shows; the others are silent."""
    if processes.rank() > 0:
        yield SilentLog()
        return
    with Display(arguments.tensorboard) as display:
        yield display
