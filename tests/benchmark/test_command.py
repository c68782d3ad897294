"""The benchmark as it is typed."""

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import torch

from codec.encodec import EncodecConfig
from tests.benchmark.tasks import CONFIGS
from tests.conftest import REPOSITORY
from tokenize_pipeline.benchmark import command, run
from tokenize_pipeline.benchmark.limits import measure_limits
from tokenize_pipeline.benchmark.memory import measure_here

OPTIONS = [
    *("AUDIO", "--device", "--variant", "--seconds", "--num-codebooks", "--threads", "--rounds"),
    *("--batch-sizes", "--output", "--markdown"),
]
SMALL: Mapping[str, EncodecConfig] = CONFIGS


def test_a_run_from_end_to_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "measure_limits", partial(measure_limits, seconds=0.001))
    monkeypatch.setattr(run, "peak_memory", measure_here)  # a new process takes seconds to start
    before = torch.get_num_threads()
    output, markdown = tmp_path / "result.json", tmp_path / "result.md"
    options = ["--seconds", "6", "--num-codebooks", "2", "--rounds", "2", "--batch-sizes", "1", "2"]
    files = ["--output", str(output), "--markdown", str(markdown)]
    assert command.main([*options, *files, "--threads", "1"], SMALL) == 0
    assert torch.get_num_threads() == before
    printed = capsys.readouterr()
    assert printed.out == markdown.read_text(encoding="utf-8")
    assert "round 2 of 2" in printed.err
    values = json.loads(output.read_text(encoding="utf-8"))
    assert [variant["variant"] for variant in values["variants"]] == ["24khz", "48khz"]
    for variant in values["variants"]:
        check_variant(variant)
    assert values["command"].startswith("python jobs/benchmark.py --seconds 6 --num-codebooks 2")


@pytest.mark.gpu
def test_a_run_on_a_gpu(tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    options = ["--seconds", "30", "--num-codebooks", "2", "--rounds", "2", "--device", "cuda"]
    assert command.main([*options, "--output", str(output)], SMALL) == 0
    values = json.loads(output.read_text(encoding="utf-8"))
    assert values["machine"]["gpu"]
    for variant in values["variants"]:
        references = {"transformers", "transformers, no TF32"}
        assert [set(row["ratios"]) for row in variant["rows"][2:4]] == [references] * 2
        assert variant["rows"][0]["times_real_a_core"] is None
        assert all(peak["device_bytes"] > 0 for peak in variant["memory"])
        assert len(variant["flips"]["ours, TF32"]) == 2


def check_variant(variant: dict[str, object]) -> None:
    rows = variant["rows"]
    assert isinstance(rows, list)
    assert [(row["direction"], row["name"]) for row in rows] == [
        (direction, name)
        for direction in ("encode", "decode")
        for name in ("transformers", "ours, float32", "ours, bfloat16")
    ]
    for row in rows:
        assert len(row["seconds"]) == 2
        assert min(row["seconds"]) > 0
        assert set(row["ratios"]) == (set() if row["name"] == "transformers" else {"transformers"})
        assert row["batch_size"] in ({1, 2} if row["name"] == "transformers" else {None})
    assert variant["audio_seconds"] == pytest.approx(6, abs=0.1)
    flips = variant["flips"]
    assert isinstance(flips, dict)
    assert max(flips["transformers, unpadded"]) < 0.02
    memory = variant["memory"]
    assert isinstance(memory, list)
    assert [peak["name"] for peak in memory] == [row["name"] for row in rows[:3]]


def test_every_option_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["--help"])
    assert caught.value.code == 0
    words = capsys.readouterr().out.partition("\n\n")[2].replace(",", " ").split()
    assert [option for option in OPTIONS if option not in words] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "source does not exist: nowhere"),
        (["--num-codebooks", "7"], "has 7 codebooks; choose one of 2, 4, 8, 16, 32"),
        (["--num-codebooks", "32"], "48000 Hz model has 32 codebooks; choose one of 2, 4, 8, 16"),
        (["--seconds", "0.01"], "--seconds must be at least 0.1"),
        (["--output", "nowhere/result.json"], "there is no folder nowhere"),
        (["--markdown", "nowhere/result.md"], "there is no folder nowhere"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error


@pytest.mark.parametrize(
    "arguments",
    [["--rounds", "0"], ["--threads", "x"], ["--seconds", "nan"], ["--variant", "16khz"]],
)
def test_wrong_usage_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    assert f"argument {arguments[0]}: " in capsys.readouterr().err


def test_missing_transformers_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert command.main(["--seconds", "1"]) == 2
    assert "pip install transformers" in capsys.readouterr().err


def test_missing_gpu_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command.main(["--device", "cuda"]) == 2
    assert "error: --device cuda: torch finds no CUDA device" in capsys.readouterr().err


def test_the_job_runs_from_any_folder(tmp_path: Path) -> None:
    script = str(REPOSITORY / "jobs" / "benchmark.py")
    done = subprocess.run(
        [sys.executable, script, "--num-codebooks", "7"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: no published bandwidth of the 24000 Hz model has 7")
    assert done.stdout == ""
