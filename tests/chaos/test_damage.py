"""Finished datasets that something happens to: found, and repaired where it happened."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.in_one_process import run_here
from tests.chaos.oracle import Output, read_output
from tests.chaos.table import FaultTable
from tests.fakes import MeanCodec
from tests.pipeline.audio_files import write_noise
from tokenize_pipeline.verification import opened_run
from tokenize_pipeline.verification.settings import VerifyConfig
from tokenize_pipeline.verify import verify_run


def corrupt_record(output: Path) -> None:
    path = output / "_run" / "commits" / "000001.json"
    path.write_bytes(path.read_bytes().replace(b'"rows": ', b'"rows": 1', 1))


def flip_a_byte(output: Path) -> None:
    """In the middle of the part: neither length nor footer tell."""
    path = sorted((output / "data").iterdir())[1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lose_a_part(output: Path) -> None:
    sorted((output / "data").iterdir())[1].unlink()


def cut_a_part(output: Path) -> None:
    path = sorted((output / "data").iterdir())[1]
    os.truncate(path, path.stat().st_size - 1)


def foreign_part(output: Path) -> None:
    """Of our names, and named by no record."""
    (output / "data" / "train-000099-0123456789.parquet").write_bytes(b"left behind")
    (output / "_run" / "commits" / "000001.json").unlink()


@pytest.fixture(scope="module")
def short_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards of a second in all, for decoding all of it takes its time."""
    folder = tmp_path_factory.mktemp("short") / "corpus"
    for seed in range(10):
        write_noise(folder / f"{seed}.wav", 0.1, seed)
    return folder


@pytest.fixture(scope="module")
def whole(short_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Output:
    folder = tmp_path_factory.mktemp("whole")
    assert run_here(str(short_corpus), str(folder / "out"), folder / "r.json").exit_code == 0
    return read_output(str(folder / "out"))


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (corrupt_record, "shard_not_done"),
        (flip_a_byte, "part_damaged"),
        (lose_a_part, "part_missing"),
        (cut_a_part, "part_damaged"),
        (foreign_part, "part_unexpected"),
    ],
)
def test_damage_is_found_and_just_that_shard_done_again(
    damage: Callable[[Path], None],
    problem: str,
    short_corpus: Path,
    whole: Output,
    tmp_path: Path,
    report: Path,
    table: FaultTable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opened_run, "load_codec", lambda *_, **__: MeanCodec())
    output = tmp_path / "out"
    assert run_here(str(short_corpus), str(output), report).exit_code == 0
    damage(output)
    assert problem in problems(output)
    other = sorted((output / "data").iterdir())[0]
    before = other.stat().st_mtime_ns
    assert run_here(str(short_corpus), str(output), report).exit_code == 0
    assert other.stat().st_mtime_ns == before, "another shard was done again"
    table.check(damage.__name__.replace("_", " "), 1, read_output(str(output)), whole)
    assert problem not in problems(output)


def problems(output: Path) -> set[str]:
    """What `verify --deep` finds."""
    verify_run(VerifyConfig(str(output), deep=True))
    found = json.loads((output / "_run" / "verify.json").read_text())
    return set(found["problems"]["counts"])
