"""Codecs and runs that the tests of verification share."""

from pathlib import Path

import pytest

from tests.verify.runs import ScalarCodec, write_voice
from tokenize_pipeline.verification import opened_run


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Seven short recordings of different lengths: three shards of three, three and one."""
    lengths = [0.7, 1.0, 1.3, 2.0, 0.9, 1.1, 3.0]
    folder = tmp_path / "audio"
    return [write_voice(folder / f"{i}.flac", s, seed=i) for i, s in enumerate(lengths)]


@pytest.fixture
def codec(monkeypatch: pytest.MonkeyPatch) -> ScalarCodec:
    """A codec that verification loads, whatever name it asks for."""
    return use(ScalarCodec(), monkeypatch)


@pytest.fixture
def normalizing_codec(monkeypatch: pytest.MonkeyPatch) -> ScalarCodec:
    """The same in chunks with scales."""
    return use(ScalarCodec("normalizing", normalizes=True), monkeypatch)


def use(codec: ScalarCodec, monkeypatch: pytest.MonkeyPatch) -> ScalarCodec:
    """Make verification load `codec`."""
    monkeypatch.setattr(opened_run, "load_codec", lambda *_args, **_options: codec)
    return codec
