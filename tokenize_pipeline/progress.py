"""How far a run is: a bar on a terminal, a plain line every few seconds elsewhere."""

import sys
import time
from dataclasses import dataclass
from typing import NoReturn

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 5.0


@dataclass
class Tally:
    """What was done so far, of a shard or of a run. Grows while the work goes on."""

    recordings: int = 0  # rejected ones included
    rejected: int = 0
    samples: int = 0  # at the codec's rate
    ignored_files: int = 0  # in archives, neither audio nor beside any
    waited_seconds: float = 0.0  # of the codec, for decoded audio
    published_seconds: float = 0.0  # in which a part was checked and sent to the output

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.recordings + other.recordings,
            self.rejected + other.rejected,
            self.samples + other.samples,
            self.ignored_files + other.ignored_files,
            self.waited_seconds + other.waited_seconds,
            self.published_seconds + other.published_seconds,
        )


class Progress:
    """Shows a run to whoever watches. A context manager.

    Args:
        total: recordings of the whole run; None where it is not known.
        sample_rate: of the codec, Hz.
        before: what earlier runs had done; it counts as done but not as speed.
    """

    def __init__(self, total: int | None, sample_rate: int, before: Tally) -> None:
        self._total = total
        self._sample_rate = sample_rate
        self._before = before
        self._start = time.monotonic()
        self._last_line = self._start
        self._shown: str | None = None
        self._latest = before
        self._bar = _bar(total, before) if sys.stderr.isatty() else None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._line() != self._shown:
            self._print()

    def show(self, done: Tally) -> None:
        """Show what was done so far, earlier runs included. May be called as often as one likes."""
        self._latest = done
        if self._bar is not None:
            self._bar.set_postfix_str(", ".join(self._figures()), refresh=False)
            self._bar.update(done.recordings - self._bar.n)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._print()

    def _print(self) -> None:
        self._last_line = time.monotonic()
        self._shown = self._line()
        print(self._shown, flush=True)

    def _line(self) -> str:
        if self._total is None:
            return ", ".join([f"{self._latest.recordings} recordings", *self._figures()])
        counts = f"{self._latest.recordings}/{self._total} recordings"
        return ", ".join([counts, *self._figures(), f"{self._time_left(self._total)} left"])

    def _figures(self) -> list[str]:
        seconds = self._latest.samples / self._sample_rate
        seconds_now = seconds - self._before.samples / self._sample_rate
        speed = seconds_now / max(time.monotonic() - self._start, 1e-9)
        return [
            f"{seconds / 3600:.2f} h of audio",
            f"{speed:.1f} x real time",
            f"{self._latest.rejected} rejected",
        ]

    def _time_left(self, total: int) -> str:
        done = self._latest.recordings - self._before.recordings
        left = total - self._latest.recordings
        if left == 0:
            return "0:00:00"
        if done <= 0:
            return "unknown time"
        seconds = round((time.monotonic() - self._start) * left / done)
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _bar(total: int | None, before: Tally) -> "tqdm[NoReturn]":
    return tqdm(total=total, initial=before.recordings, unit="rec", dynamic_ncols=True)
