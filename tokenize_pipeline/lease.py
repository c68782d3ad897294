"""One driver at a time on an output, on any storage.

    OUTPUT/_run/lock/000001.json   who drives, and a number that the driver raises again and again

    nobody there ------------> create the next file; of several who try, storage lets one succeed
    there, process lives ----> refused
    there, process is dead --> take over: create the next file, so that again only one succeeds
    there, on another host --> watch it: refused once its number rises, else taken over

No clocks are compared: a lease has run out when it did not change while we watched. The newest file
counts. A driver that was presumed dead finds a newer one at its next beat, and stops.

That is all it takes, since a lease saves work and is no pillar of correctness: two drivers of the
same run write the same parts and records under the same names, and a driver of another run
is refused by the identity in run.json, which is looked at again once the lease is held.
"""

import json
import logging
import threading
import time
import uuid
from dataclasses import asdict
from types import TracebackType
from typing import Any

from tokenize_pipeline import storage
from tokenize_pipeline.errors import ConfigurationError, RunFailedError
from tokenize_pipeline.processes import ProcessName, own_name

BEAT_SECONDS = 10.0
PATIENCE_SECONDS = 60.0  # more than a request to storage takes with all its repetitions

_log = logging.getLogger(__name__)


class Lease:
    """The right to drive the run of an output. A context manager.

    Args:
        url: folder for the files of the lease.
        beat_seconds: between two signs of life.
        patience_seconds: for how long a driver elsewhere is watched for one.

    Raises:
        ConfigurationError: another driver is at work there, or nothing can be written.
    """

    def __init__(
        self,
        url: str,
        beat_seconds: float = BEAT_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._folder = url
        self._beat_seconds = beat_seconds
        self._patience_seconds = patience_seconds
        self._token = uuid.uuid4().hex
        self._beats = 0
        self._url = ""
        self._lost = ""  # why the lease is ours no more
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> "Lease":
        try:
            while not self._url:
                self._url = self._take_over(self._newest())
            self._remove_older()
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigurationError(f"cannot write to {self._folder}: {reason}") from error
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join(self._beat_seconds)
        try:
            storage.delete(self._url)
            storage.delete_empty_folder(self._folder)
        except OSError as failure:
            _log.warning("cannot remove %s: %s; the next run will", self._url, failure)

    def check(self) -> None:
        """Make sure that we are still the one who drives.

        Raises:
            RunFailedError: another driver has taken over.
        """
        if self._lost:
            raise RunFailedError(self._lost)

    def _keep(self) -> None:
        """Give signs of life until the end. A fault of storage only delays the next one."""
        while not self._lost and not self._end.wait(self._beat_seconds):
            self._beat()

    def _beat(self) -> None:
        try:
            newest = self._newest()
            if newest != self._url:
                self._lost = f"another driver has taken over: {newest or 'our lock is gone'}"
                return
            self._beats += 1
            storage.write_bytes(self._url, self._content())
        except OSError as error:
            _log.warning("no sign of life in %s: %s", self._url, error)

    def _take_over(self, newest: str | None) -> str:
        """The file of our lease, next after the newest; "" if another driver was quicker."""
        if newest is not None:
            self._outlive(newest)
        url = storage.join(self._folder, f"{_number(newest) + 1:06d}.json")
        return url if storage.create_bytes(url, self._content()) else ""

    def _outlive(self, url: str) -> None:
        """Return once the driver behind a lease is known to be dead, or to have ended.

        Raises:
            ConfigurationError: it lives.
        """
        first = _read(url)
        owner = _owner(first)
        if owner is not None and owner.is_here():
            if owner.is_alive():
                raise ConfigurationError(self._refusal(owner))
            return
        _log.warning(
            "%s may be at work on this output; watching it for %g seconds",
            owner or "another driver",
            self._patience_seconds,
        )
        end = time.monotonic() + self._patience_seconds
        while (seen := _read(url)) == first and time.monotonic() < end:
            time.sleep(min(self._beat_seconds / 2, self._patience_seconds / 4))
        if seen not in (first, b""):
            raise ConfigurationError(self._refusal(_owner(seen)))

    def _refusal(self, owner: ProcessName | None) -> str:
        return (
            f"{owner or 'another driver'} is at work on this output; wait until it has ended, or "
            f"end it (its lock is {self._folder})"
        )

    def _newest(self) -> str | None:
        files = storage.list_files(self._folder)
        return files[-1].url if files else None

    def _remove_older(self) -> None:
        for info in storage.list_files(self._folder):
            if info.url < self._url:
                storage.delete(info.url)

    def _content(self) -> bytes:
        values = {"token": self._token, "beats": self._beats, "owner": asdict(own_name())}
        return json.dumps(values).encode()


def _number(url: str | None) -> int:
    stem = storage.name_of(url or "").partition(".")[0]
    return int(stem) if stem.isdigit() else 0


def _read(url: str) -> bytes:
    try:
        return storage.read_bytes(url)
    except FileNotFoundError:
        return b""


def _owner(content: bytes) -> ProcessName | None:
    """Who wrote a lease; None for one that was not written to its end."""
    try:
        values: dict[str, Any] = json.loads(content)
        return ProcessName(**values["owner"])
    except (ValueError, KeyError, TypeError):
        return None
