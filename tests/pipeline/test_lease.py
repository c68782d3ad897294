"""One driver at a time, whoever dies when."""

import json
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tokenize_pipeline import storage
from tokenize_pipeline.errors import ConfigurationError, RunFailedError
from tokenize_pipeline.lease import Lease
from tokenize_pipeline.processes import ProcessName, own_name

ELSEWHERE = ProcessName("other-host", "another boot", 7, "1")


@pytest.fixture(params=["local", "memory"])
def lock(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        return f"memory://lease/{tmp_path.name.partition('[')[0]}/_run/lock"
    return str(tmp_path / "_run" / "lock")


def lease(lock: str) -> Lease:
    return Lease(lock, beat_seconds=0.05, patience_seconds=0.4)


def leave_behind(lock: str, owner: ProcessName, number: int = 1) -> str:
    """The lock of a driver that gives no signs of life."""
    url = storage.join(lock, f"{number:06d}.json")
    content = {"token": "x", "beats": 3, "owner": asdict(owner)}
    storage.write_bytes(url, json.dumps(content).encode())
    return url


def test_a_lease_is_held_by_one_and_leaves_nothing(lock: str) -> None:
    with lease(lock) as held:
        for _ in range(3):
            with pytest.raises(ConfigurationError, match="is at work on this output"), lease(lock):
                pass
        held.check()
        assert len(storage.list_files(lock)) == 1
    assert not storage.exists(lock)
    with lease(lock):
        pass


def test_of_many_at_once_one_gets_it(lock: str) -> None:
    held, refused, go = [], [], threading.Barrier(6)

    def drive() -> None:
        go.wait()
        try:
            with lease(lock):
                held.append(1)
                time.sleep(0.5)
        except ConfigurationError:
            refused.append(1)

    threads = [threading.Thread(target=drive) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, 5)


def test_the_lock_of_a_dead_process_here_is_taken_over_at_once(lock: str) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    leave_behind(lock, replace(own_name(), pid=process.pid), number=5)
    leave_behind(lock, replace(own_name(), started="1"), number=6)
    start = time.monotonic()
    with Lease(lock) as held:
        held.check()
        assert [storage.name_of(info.url) for info in storage.list_files(lock)] == ["000007.json"]
    assert time.monotonic() - start < 2
    assert not storage.list_files(lock)


def test_a_silent_driver_elsewhere_is_watched_and_then_followed(lock: str) -> None:
    leave_behind(lock, ELSEWHERE)
    start = time.monotonic()
    with lease(lock):
        assert time.monotonic() - start >= 0.4


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"owner": {"pid": 1}}'])
def test_a_lock_that_was_not_written_to_its_end_is_followed_too(lock: str, content: bytes) -> None:
    storage.write_bytes(storage.join(lock, "000001.json"), content)
    with lease(lock) as held:
        held.check()


def test_a_driver_elsewhere_that_shows_life_is_left_alone(lock: str) -> None:
    with lease(lock) as held:
        held._content = lambda: _of_elsewhere(held)  # type: ignore[method-assign]
        time.sleep(0.2)
        with pytest.raises(ConfigurationError, match="process 7 on other-host is at work"):
            Lease(lock, beat_seconds=0.05, patience_seconds=5).__enter__()
        held.check()


def _of_elsewhere(held: Lease) -> bytes:
    return json.dumps({"beats": held._beats, "owner": asdict(ELSEWHERE)}).encode()


def test_a_driver_that_was_taken_over_stops(lock: str) -> None:
    with lease(lock) as held:
        newer = leave_behind(lock, ELSEWHERE, number=2)
        time.sleep(0.3)
        with pytest.raises(RunFailedError, match=r"another driver has taken over: .*000002"):
            held.check()
    assert [info.url for info in storage.list_files(lock)] == [newer], "the other's was removed"


def test_where_nothing_can_be_written_is_no_lease() -> None:
    with pytest.raises(ConfigurationError, match="cannot write to /proc/x/lock: "):
        Lease("/proc/x/lock").__enter__()
