"""The cost of verification is measured on what was really tokenized."""

from pathlib import Path

import pytest

from tests.verify.runs import write_voice
from tokenize_pipeline.benchmark.verification import Cost, cost_table, main, measure


def test_tokenizing_and_verifying_are_timed(tmp_path: Path) -> None:
    for number in range(3):
        write_voice(tmp_path / "audio" / f"{number}.flac", 1.5, seed=number)
    cost = measure("tiny_24khz", [str(tmp_path / "audio")], str(tmp_path / "out"), 0.01)
    assert cost.audio_seconds == pytest.approx(4.5)
    assert cost.compared_seconds == 1.0
    assert min(cost.tokenize_seconds, cost.verify_seconds) > 0
    assert (tmp_path / "out" / "report.html").is_file()


def test_the_table_says_the_share() -> None:
    text = cost_table({"a": Cost(600.0, 6.0, 20.0, 1.5)})
    assert text.splitlines()[-1].split("|")[-2].strip() == "7.5"


def test_what_cannot_be_done_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "nothing"), "--codec", "tiny_24khz"]) == 2
    assert "error: source does not exist" in capsys.readouterr().err
