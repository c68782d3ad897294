"""What the processes below this one are and how much memory they have taken."""

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path


def descendants(ancestor: int | None = None) -> Iterator[int]:
    """Process ids below `ancestor`, below this process when None."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _read(entry / "stat")):
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    top = ancestor or os.getpid()
    for pid in parents:
        above = pid
        while above > 1 and above != top:
            above = parents.get(above, 0)
        if above == top and pid != top:
            yield pid


def title(pid: int) -> str:
    """The command line of a process; "" if it is gone."""
    return _read(Path(f"/proc/{pid}/cmdline")).replace("\0", " ")


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had resident; 0 if it is gone."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", _read(Path(f"/proc/{pid}/status")), re.MULTILINE)
    return int(found[1]) << 10 if found else 0


def processes_that_name(folder: Path) -> Iterator[tuple[int, str]]:
    """Process ids and command lines of what was started with that folder in its command."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and f"{folder}/" in title(int(entry.name)):
            yield int(entry.name), title(int(entry.name))


def end_processes_that_name(folder: Path) -> None:
    """Kill them, and those that they start meanwhile, by their ids."""
    end = time.monotonic() + 20
    while found := dict(processes_that_name(folder)):
        assert time.monotonic() < end, f"still running: {found}"
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
