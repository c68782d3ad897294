"""A worker outside of Ray: the codec it opens, and what it says when it cannot."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.fakes import MeanCodec
from tokenize_pipeline import worker
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.records import Failure
from tokenize_pipeline.worker import Worker, open_codec


def test_the_codec_is_opened_as_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(*arguments: Any, **options: Any) -> MeanCodec:
        asked.append((arguments, options))
        return MeanCodec()

    monkeypatch.setattr(worker, "load_codec", load)
    given: dict[str, Any] = {
        "chunk_seconds": 2.0,
        "overlap": 0.1,
        "normalize": True,
        "precision": "bfloat16",
        "gpu_slots": 32,
    }
    open_codec(TokenizeConfig(("x",), "out", "mean", cpus_per_worker=3.0, **given), "cuda")
    open_codec(TokenizeConfig(("x",), "out", "mean"))
    left = dict.fromkeys(given) | {"precision": "float32"}
    assert asked == [
        (("mean", "cuda"), {**given, "threads": 3}),
        (("mean", "cpu"), {**left, "threads": 1}),
    ]


@pytest.mark.parametrize(("share", "limits"), [(0.25, [0.25]), (1.0, []), (2.0, []), (None, [])])
def test_a_share_of_a_gpu_is_a_share_of_its_memory(
    share: float | None, limits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", found.append)
    monkeypatch.setattr(worker, "load_codec", lambda *_arguments, **_options: MeanCodec())
    config = TokenizeConfig(("x",), "out", "mean", gpus_per_worker=share)
    assert Worker(config, use_gpu=True).start() is None
    assert Worker(config, use_gpu=False).start() is None
    assert found == limits


def test_the_precision_is_that_of_the_codec(codec_folder: Path) -> None:
    config = TokenizeConfig(("x",), "out", str(codec_folder), precision="bfloat16")
    spec = open_codec(config).spec
    usual = open_codec(TokenizeConfig(("x",), "out", str(codec_folder))).spec
    assert (spec.precision, usual.precision) == ("bfloat16", "float32")
    assert spec.fingerprint != usual.fingerprint


def test_a_codec_that_cannot_be_opened_is_a_failure() -> None:
    failure = Worker(TokenizeConfig(("x",), "out", "nosuch"), use_gpu=False).start()
    assert isinstance(failure, Failure)
    assert failure.cause.startswith("UnknownCodecError: unknown codec 'nosuch'")
