"""What a figure was measured on, and with which code."""

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch

from tokenize_pipeline.benchmark.transformers_model import transformers_version

_REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Machine:
    """Machine, libraries and code of a measurement."""

    cpu: str
    cores: int  # that this process may use
    gpu: str | None
    python: str
    torch: str
    transformers: str
    commit: str


def describe_machine(device: str) -> Machine:
    """This machine.

    Args:
        device: the GPU is named for "cuda" alone.
    """
    return Machine(
        cpu=_cpu_model(),
        cores=available_cores(),
        gpu=torch.cuda.get_device_name() if device == "cuda" else None,
        python=platform.python_version(),
        torch=torch.__version__,
        transformers=transformers_version(),
        commit=commit_of(_REPOSITORY),
    )


def heading(command: str, cores: str | None = None, how: str = "") -> str:
    """What stands above the figures of a benchmark on a CPU.

    Args:
        command: that makes the figures again.
        cores: that it ran on; those of this process when None.
        how: a sentence about the figures.
    """
    machine = describe_machine("cpu")
    cores = cores or f", {machine.cores} cores"
    return (
        f"Machine: {machine.cpu}{cores}. Python {machine.python}, torch {machine.torch}. "
        f"Commit: {machine.commit}. {how}Command:\n\n    {command}\n"
    )


def available_cores() -> int:
    """CPU cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def commit_of(folder: Path) -> str:
    """Short hash of the commit of a checkout, with "+changes" if files differ; or "unknown"."""
    commit = _git(folder, "rev-parse", "--short", "HEAD")
    if commit is None:
        return "unknown"
    return f"{commit}+changes" if _git(folder, "status", "--porcelain") else commit


def _git(folder: Path, *arguments: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    command = [git, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603  no user input
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
