"""What SIGTERM does to a command: it unwinds, as on an interrupt, but not for long."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Ray and most schedulers send SIGKILL three seconds after SIGTERM.
SECONDS_TO_UNWIND = 2.5


@contextmanager
def ends_on_sigterm(exit_code: int) -> Iterator[None]:
    """Turn SIGTERM into SystemExit inside the block, which has a moment to clean up.

    Args:
        exit_code: of the process if the block takes longer than that.
    """
    last = threading.Timer(SECONDS_TO_UNWIND, os._exit, (exit_code,))
    last.daemon = True

    def stop(signal_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        last.start()
        sys.exit(128 + signal_number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        last.cancel()
        signal.signal(signal.SIGTERM, before)
