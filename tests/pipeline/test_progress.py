"""Plain lines where there is no terminal."""

import io
import sys

import pytest

from tokenize_pipeline import progress as module
from tokenize_pipeline.progress import Progress, Tally


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_line_every_few_seconds_and_one_at_the_end(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(10, 24000, Tally()) as progress:
        for second in range(1, 11):
            clock.now += 1
            progress.show(Tally(second, second // 5, second * 36 * 24000))
            progress.show(Tally(second, second // 5, second * 36 * 24000))
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "5/10 recordings, 0.05 h of audio, 36.0 x real time, 1 rejected, 0:00:05 left",
        "10/10 recordings, 0.10 h of audio, 36.0 x real time, 2 rejected, 0:00:00 left",
    ]


def test_the_last_line_is_always_the_last_state(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(2, 24000, Tally()) as progress:
        clock.now += 1
        progress.show(Tally(2, 0, 7200 * 24000))
    assert capsys.readouterr().out == (
        "2/2 recordings, 2.00 h of audio, 7200.0 x real time, 0 rejected, 0:00:00 left\n"
    )


def test_what_earlier_runs_did_counts_as_done_but_not_as_speed(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(4000, 24000, Tally(1000, 10, 3600 * 24000)) as progress:
        clock.now += 10
        progress.show(Tally(1000, 10, 3600 * 24000))
        clock.now += 10
        progress.show(Tally(1010, 10, 3640 * 24000))
    assert capsys.readouterr().out.splitlines() == [
        "1000/4000 recordings, 1.00 h of audio, 0.0 x real time, 10 rejected, unknown time left",
        "1010/4000 recordings, 1.01 h of audio, 2.0 x real time, 10 rejected, 1:39:40 left",
    ]


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress(4, 24000, Tally()) as progress:
        clock.now += 1
        progress.show(Tally(4, 1, 3600 * 24000))
    assert "4/4" in terminal.getvalue()
    assert "1.00 h of audio, 3600.0 x real time, 1 rejected" in terminal.getvalue()
