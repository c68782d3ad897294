"""What runs inside an actor: one codec, one shard at a time. Knows nothing of Ray."""

import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from codec import Codec, load_codec
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.credentials import without_secrets
from tokenize_pipeline.errors import SourceChangedError
from tokenize_pipeline.isolation import DecoderPool
from tokenize_pipeline.progress import Tally
from tokenize_pipeline.records import CommitRecord, Failure, Shard
from tokenize_pipeline.shard import tokenize_shard

Report = Callable[[CommitRecord | Failure, int, Tally, float], None]


class Worker:
    """Encodes shards with one codec.

    Args:
        config: what the run was asked to do.
        use_gpu: whether a GPU was asked for; without a real one the CPU is used.
        report: told of every attempt at a shard: its outcome, number, tally and seconds.
    """

    def __init__(
        self, config: TokenizeConfig, use_gpu: bool, report: Report = lambda *_: None
    ) -> None:
        self._config = config
        self._report = report
        self._device = "cuda" if use_gpu and torch.cuda.is_available() else "cpu"
        self._codec: Codec | None = None
        self._tally = Tally()
        self._decoders = DecoderPool(config.audio_policy)  # ends with this process

    def start(self) -> Failure | None:
        """Load the codec; None when all is well."""
        share = self._config.gpus_per_worker
        try:
            if self._device == "cuda" and share is not None and share < 1:
                torch.cuda.set_per_process_memory_fraction(share)
            self._codec = open_codec(self._config, self._device)
        except Exception as error:  # noqa: BLE001  the actor boundary
            return failure(error)
        return None

    def work(self, shard: Shard, attempt: int) -> CommitRecord | Failure:
        """Work on a shard to its end. The part is published; the driver commits."""
        self._tally, begun = Tally(), time.monotonic()
        outcome: CommitRecord | Failure
        try:
            assert self._codec is not None, "start() comes first"
            outcome = tokenize_shard(
                shard,
                self._codec,
                self._config,
                attempt=attempt,
                tally=self._tally,
                decoders=self._decoders,
            )
        except Exception as error:  # noqa: BLE001  the actor boundary
            outcome = failure(error)
        self._report(outcome, attempt, self._tally, time.monotonic() - begun)
        return outcome

    def tally(self) -> Tally:
        """How far the shard is. May be called while `work` runs."""
        return self._tally


def open_codec(config: TokenizeConfig, device: str = "cpu") -> Codec:
    """The codec of a run.

    Raises:
        CodecError: there is no such codec, or it cannot be used like that.
    """
    return load_codec(
        config.codec,
        device,
        chunk_seconds=config.chunk_seconds,
        overlap=config.overlap,
        normalize=config.normalize,
        threads=config.threads_per_worker,
        precision=config.precision,
        gpu_slots=config.gpu_slots,
    )


def failure(error: Exception) -> Failure:
    """The error and where it was raised, in one line."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}, line {frame.lineno}"
    cause = f"{type(error).__name__}: {' '.join(str(error).split())} ({place})"
    return Failure(
        without_secrets(cause), blames_shard=not isinstance(error, OSError | SourceChangedError)
    )
