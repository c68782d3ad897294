"""Scratch folders end with their process, or soon after."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY
from tokenize_pipeline.scratch import scratch_folder

_KILLED = """
import os, signal, sys
from pathlib import Path
from tokenize_pipeline.scratch import scratch_folder
with scratch_folder("tokenize-", Path(sys.argv[1])) as folder:
    (folder / "half").write_bytes(b"x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_folder_lasts_as_long_as_its_block(tmp_path: Path) -> None:
    with scratch_folder("tokenize-", tmp_path) as one, scratch_folder("tokenize-", tmp_path) as two:
        (one / "part").write_bytes(b"x")
        assert one != two
        assert two.is_dir()
        assert (one / "part").exists(), "one removed the other's folder"
    assert list(tmp_path.iterdir()) == []


def test_folders_of_the_dead_are_removed_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "tokenize-mine").mkdir()
    (tmp_path / "other" / "owner").mkdir(parents=True)
    command = [sys.executable, "-c", _KILLED, str(tmp_path)]
    assert subprocess.run(command, cwd=REPOSITORY, check=False).returncode == -9
    assert len(list(tmp_path.glob("tokenize-*/half"))) == 1
    with scratch_folder("tokenize-", tmp_path):
        assert not list(tmp_path.glob("tokenize-*/half"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "tokenize-mine"]
