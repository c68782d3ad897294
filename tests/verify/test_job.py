"""The command as it is typed, in a process of its own."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from codec import load_codec
from codec.encodec import EncodecConfig, EncodecModel
from tests.conftest import REPOSITORY
from tests.verify.runs import make_run, with_codes, write_voice
from tokenize_pipeline.records import TokenRow


def verify(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, REPOSITORY / "jobs" / "verify.py", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def unchanged(row: TokenRow) -> TokenRow:
    return row


def other(row: TokenRow) -> TokenRow:
    steps = np.arange(row.codes.shape[1], dtype=np.uint16)
    return with_codes(row, (row.codes + 100 + steps) % 1024)


@pytest.mark.parametrize("fault", [False, True])
def test_the_command_prints_figures_and_exits_by_what_it_found(tmp_path: Path, fault: bool) -> None:
    torch.manual_seed(0)
    config = EncodecConfig(target_bandwidths=(6.0,), num_filters=2, hidden_size=16)
    model = EncodecModel(replace(config, codebook_dim=16))
    for index in range(len(model.quantizer)):
        torch.nn.init.normal_(model.quantizer[index].embed)
    model.save_pretrained(tmp_path / "codec")
    codec = load_codec(str(tmp_path / "codec"))
    files = [write_voice(tmp_path / "audio" / "a.flac", 1.0, seed=1)]
    run = make_run(tmp_path / "out", codec, files, change=other if fault else unchanged)
    done = verify("out", "--deep", "--report", "page.html", cwd=tmp_path)
    assert done.stderr == ""
    assert done.returncode == (3 if fault else 0)
    assert ("problem  other_weights: train-000000-" in done.stdout) == fault
    assert f"figures  {run.url}/_run/verify.json" in done.stdout
    assert f"report   {tmp_path}/page.html" in done.stdout
    assert Path(run.url, "_run/verify.json").is_file()
    assert (tmp_path / "page.html").is_file()


def test_a_folder_that_holds_no_run_gives_one_line_and_2(tmp_path: Path) -> None:
    done = verify(tmp_path / "nothing", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "nothing holds no run: there is no _run/run.json in it" in done.stderr
    assert list(tmp_path.iterdir()) == []
