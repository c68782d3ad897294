"""Who a process is, told so that another one can see whether it still lives."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")


@dataclass(frozen=True)
class ProcessName:
    """A process, told apart from all others everywhere, as far as the system lets us."""

    host: str  # for people
    machine: str  # this start of the system and its space of process ids; "" if unknown
    pid: int
    started: str  # in the clock of the machine; tells a process from a later one of the same id

    def is_here(self) -> bool:
        """Whether it is a process that we can look at."""
        return self.machine != "" and self.machine == _machine()

    def is_alive(self) -> bool:
        """Whether a process that is here still runs."""
        return self.started == _start_of(self.pid)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def own_name() -> ProcessName:
    """The name of this process."""
    return ProcessName(socket.gethostname(), _machine(), os.getpid(), _start_of(os.getpid()))


def _machine() -> str:
    """Containers share a start of the system, but each has process ids of its own."""
    try:
        return f"{_BOOT_ID.read_text().strip()} {_PID_NAMESPACE.readlink()}"
    except OSError:
        return ""


def _start_of(pid: int) -> str:
    """When a process was started; "" if there is none, or only what is left of one."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else fields[18]
