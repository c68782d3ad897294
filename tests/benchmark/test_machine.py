"""What stands beside the figures."""

import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from tokenize_pipeline.benchmark.machine import available_cores, commit_of, describe_machine


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_commit_says_whether_files_differ(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == "unknown"
    git(tmp_path, "init", "--quiet")
    assert commit_of(tmp_path) == "unknown"
    (tmp_path / "file").write_text("1", encoding="utf-8")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    commit = git(tmp_path, "rev-parse", "--short", "HEAD").strip()
    assert commit_of(tmp_path) == commit
    (tmp_path / "file").write_text("2", encoding="utf-8")
    assert commit_of(tmp_path) == f"{commit}+changes"


def test_commit_is_unknown_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "--quiet")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert commit_of(tmp_path) == "unknown"


def test_machine_names_processor_and_libraries() -> None:
    found = describe_machine("cpu")
    assert found.cpu
    assert found.gpu is None
    assert found.cores == available_cores() >= 1
    assert found.torch == torch.__version__
    assert found.transformers[0].isdigit()
