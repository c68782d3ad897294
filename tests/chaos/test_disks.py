"""Disks that are full, or may only be read."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.in_one_process import Orders, run_here, start_here
from tests.chaos.oracle import Output, assert_same, read_output
from tests.chaos.table import FaultTable
from tests.pipeline.audio_files import write_noise


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted(folder):
        yield folder


@contextmanager
def mounted(folder: Path) -> Iterator[None]:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small filesystem")
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)


def fill(folder: Path, left_bytes: int = 0) -> Path:
    """Leave no more than so much room on a filesystem."""
    path = folder / "filling"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    if left_bytes:
        os.truncate(path, path.stat().st_size - left_bytes)
    return path


def test_a_full_output(
    corpus: Path, undisturbed: Output, small_disk: Path, report: Path, table: FaultTable
) -> None:
    """With no room at all, and with room for some of the parts."""
    output = small_disk / "out"
    assert run_here(str(corpus), str(output), report).exit_code == 0
    needed = sum(path.stat().st_blocks * 512 for path in output.rglob("*"))
    for eighths in (0, 5):
        output = small_disk / f"out{eighths}"
        filling = fill(small_disk, needed * eighths // 8)
        ending = run_here(str(corpus), str(output), report)
        assert ending.exit_code == (1 if eighths else 2), ending.text
        assert "No space left on device" in ending.text
        assert str(output) in ending.text
        filling.unlink()
        assert run_here(str(corpus), str(output), report).exit_code == 0
        table.check("disk full, output", 1, read_output(str(output)), undisturbed)
        subprocess.run(["rm", "-r", str(output)], check=True)


def test_a_full_scratch(small_disk: Path, tmp_path: Path, report: Path, table: FaultTable) -> None:
    corpus = tmp_path / "long"
    write_noise(corpus / "long.wav", 200, 0, rate=8000)
    wanted, output = tmp_path / "wanted", tmp_path / "out"
    assert run_here(str(corpus), str(wanted), report).exit_code == 0
    fill(small_disk, 1 << 14)
    orders = Orders(environment={"TMPDIR": str(small_disk)})
    ending = run_here(str(corpus), str(output), report, orders)
    assert ending.exit_code == 1
    assert "No space left" in ending.text
    assert str(small_disk) in ending.text, "which folder is full?"
    assert [path.name for path in small_disk.iterdir()] == ["filling"]
    assert run_here(str(corpus), str(output), report).exit_code == 0
    table.check("disk full, scratch", 1, read_output(str(output)), read_output(str(wanted)))


def test_an_output_that_may_only_be_read(
    corpus: Path, undisturbed: Output, small_disk: Path, tmp_path: Path, table: FaultTable
) -> None:
    """At the start nothing is begun; in the middle the run stops, and goes on later."""
    output, go = small_disk / "out", tmp_path / "go"
    remount(small_disk, "ro")
    ending = run_here(str(corpus), str(output), tmp_path / "report.json")
    assert ending.exit_code == 2
    assert f"cannot write to {output}/_run/lock: Read-only file system" in ending.text
    remount(small_disk, "rw")
    orders = Orders(wait_for=str(go))
    run = start_here(str(corpus), str(output), tmp_path / "report.json", orders)
    while not (output / "_run" / "run.json").exists():
        assert run.process.is_alive()
    remount(small_disk, "ro")
    go.touch()
    ending = run.wait()
    assert ending.exit_code == 1
    assert "Read-only file system" in ending.text
    remount(small_disk, "rw")
    assert run_here(str(corpus), str(output), tmp_path / "report.json").exit_code == 0
    found = read_output(str(output))
    assert_same(found, undisturbed)
    table.check("output turned read-only", 1, found, undisturbed)
