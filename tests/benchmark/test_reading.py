"""The benchmark of the reading side."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.pipeline.audio_files import write_corpus
from tokenize_pipeline.benchmark import reading, synthetic_files
from tokenize_pipeline.benchmark.command import main

STEPS = [
    "read",
    "read, decode",
    "read, decode, mix, resample",
    "the same, decoded in a process of its own",
]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic_files, "_SECONDS", 3.0)
    monkeypatch.setattr(reading, "_ROUNDS", 1)


def test_every_step_is_timed(capsys: pytest.CaptureFixture[str]) -> None:
    cores = os.sched_getaffinity(0)
    assert main(["reading"]) == 0
    text = capsys.readouterr().out
    for kind in ("FLAC, 16 kHz", "MP3, 16 kHz"):
        table = text[text.index(f"| {kind}") :]
        found = [re.search(rf"^\| {step} +\| +([\d,]+) \|$", table, re.MULTILINE) for step in STEPS]
        speeds = [int(match[1].replace(",", "")) for match in found if match]
        assert len(speeds) == len(STEPS)
        assert speeds[0] > speeds[1] > 1
    assert re.search(
        r"tiny_24khz on the same core, \d+ x real time: waited for audio [\d.]+ %", text
    )
    assert os.sched_getaffinity(0) == cores


def test_files_may_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    assert main(["reading", str(corpus)]) == 0
    assert "| files given, 8 files, 3 s" in capsys.readouterr().out
    assert main(["reading", str(tmp_path / "nowhere")]) == 2


def test_the_other_benchmarks_need_no_decoder() -> None:
    """Machines with GPUs may have torch and nothing else."""
    program = "import sys, tokenize_pipeline.benchmark.command; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert not {"soundfile", "av", "pyarrow", "fsspec"} & set(done.stdout.split())
