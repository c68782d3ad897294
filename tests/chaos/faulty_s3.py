"""A layer in front of an S3 server that does to requests what networks and clouds do to them."""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = ("503", "500", "lost acknowledgement", "stall")
STALL_SECONDS = 3.0  # longer than the time-out that tests set

_ERROR = b"<Error><Code>%s</Code><Message>please come again</Message></Error>"
_CODES = {"503": b"SlowDown", "500": b"InternalError"}
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "server", "date"}


class FaultLayer:
    """Passes requests on to a server, or does not.

    Args:
        server_port: where the server listens.

    Attributes:
        requests: seen so far, by method.
        injected: faults so far, by kind.
    """

    def __init__(self, server_port: int) -> None:
        self.server_port = server_port
        self.requests: Counter[str] = Counter()
        self.injected: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._chance = random.Random(0)
        self._kinds: tuple[str, ...] = ()
        self._share = 0.0
        self._methods = frozenset[str]()
        layer = self

        class Handler(_Handler):
            faults = layer

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    @contextmanager
    def listening(self) -> Iterator["FaultLayer"]:
        """Answer requests for as long as the block runs."""
        self._thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            self._thread.join()

    def be_well(self) -> None:
        """Pass everything on, and begin to count anew."""
        self.harm((), 0.0, seed=0)

    def harm(
        self, kinds: tuple[str, ...], share: float, seed: int, methods: str = "GET HEAD PUT DELETE"
    ) -> None:
        """From now on do one of `kinds` to a `share` of the requests of some methods."""
        with self._lock:
            self.requests.clear()
            self.injected.clear()
            self._chance = random.Random(seed)
            self._kinds, self._share, self._methods = kinds, share, frozenset(methods.split())

    def fault_for(self, method: str) -> str | None:
        """What happens to the next request."""
        with self._lock:
            self.requests[method] += 1
            if method not in self._methods or self._chance.random() >= self._share:
                return None
            kind = self._chance.choice(self._kinds)
            self.injected[kind] += 1
            return kind


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    faults: FaultLayer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._handle
        raise AttributeError(name)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name is theirs
        """Say nothing."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.faults.fault_for(self.command)
        if fault in _CODES:
            self._answer(int(str(fault)), {}, _ERROR % _CODES[str(fault)])
            return
        if fault == "stall":
            time.sleep(STALL_SECONDS)
            self.close_connection = True
            return
        status, headers, content = self._pass_on(body)
        if fault == "lost acknowledgement":
            self.close_connection = True
            return
        self._answer(status, headers, content)

    def _pass_on(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        server = http.client.HTTPConnection("127.0.0.1", self.faults.server_port, timeout=60)
        try:
            server.request(self.command, self.path, body, dict(self.headers.items()))
            reply = server.getresponse()
            return reply.status, dict(reply.getheaders()), reply.read()
        finally:
            server.close()

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        length = str(len(content))
        for name, value in headers.items():
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            elif name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
