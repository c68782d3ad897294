"""Decoding in processes of their own: a crash, a hang or a flood costs one recording.

    worker's thread  <-- blocks, requests to read the file --  child of decoder_process.py

A child works only while it is asked for a block, so decoding takes no more cores than it has
threads. Its samples are those that decoding in this process gives.

Dimension key: C channels, S samples.
"""

import io
import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass
from types import TracebackType
from typing import BinaryIO

import numpy as np

from tokenize_pipeline import framing
from tokenize_pipeline.audio_limits import AudioPolicy
from tokenize_pipeline.decoder_process import FORK, NUMBER, PLACE, REAP
from tokenize_pipeline.decoders import Block
from tokenize_pipeline.errors import AudioError
from tokenize_pipeline.records import Segment

PATIENCE_SECONDS = 60.0  # that a decoder may take for a block, reading the file apart

_TAKE_ALL = AudioPolicy()
_SOCKET_BYTES = 1 << 20
# What a decoder does to itself. Whoever sends another signal means the machine, not the recording.
_CRASHES = frozenset(
    {
        *(
            signal.SIGSEGV,
            signal.SIGBUS,
            signal.SIGABRT,
            signal.SIGFPE,
            signal.SIGILL,
            signal.SIGTRAP,
        ),
        signal.SIGSYS,
    }
)
# Numpy's threads would make forking unsafe; nothing here needs them.
PROGRAM = """
import json, os, sys
os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path[:] = json.loads(sys.argv[2])
from tokenize_pipeline.decoder_process import main
main(int(sys.argv[1]))
"""


@dataclass(frozen=True)
class _Child:
    """A process that decodes, and our end of its socket."""

    pid: int
    socket: socket.socket


class DecoderPool:
    """Opens recordings in processes of their own. A context manager; threads may share it.

    The first recording starts the program that forks them; leaving the block ends all.

    Args:
        policy: which recordings are taken.
        program: Python source of that program; tests have others.
        patience_seconds: see `PATIENCE_SECONDS`.
    """

    def __init__(
        self,
        policy: AudioPolicy = _TAKE_ALL,
        program: str = PROGRAM,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.policy = policy
        self.patience_seconds = patience_seconds
        self._program = program
        self._lock = threading.Lock()  # guards everything below
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._idle: list[_Child] = []

    def __enter__(self) -> "DecoderPool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def open(self, file: BinaryIO, name: str, segment: Segment | None = None) -> "IsolatedFile":
        """Open a recording and decode its first block.

        Args:
            file: seekable; the caller closes it after the last block.
            name: stands in messages only.
            segment: the stretch that is wanted; None for all of it.

        Raises:
            AudioError: it cannot become tokens, or killed its decoder.
            OSError: the file cannot be read, or no decoder can be started.
        """
        with self._lock:
            child = self._idle.pop() if self._idle else self._fork()
        return IsolatedFile(self, child, file, name, segment)

    def close(self) -> None:
        """End the program and all of its children."""
        with self._lock:
            self._end()

    def take_back(self, child: _Child) -> None:
        """Keep a child that is ready for another recording."""
        with self._lock:
            self._idle.append(child)

    def reap(self, child: _Child) -> int:
        """End a child; how it ended: its exit code, or less than 0 for a signal."""
        child.socket.close()
        with self._lock:
            return self._ask(REAP + NUMBER.pack(child.pid))

    def _end(self) -> None:
        for child in self._idle:
            child.socket.close()
        self._idle = []
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.wait()
        self._control = self._process = None

    def _fork(self) -> _Child:
        if self._control is None:
            self._start()
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        with theirs:
            return _Child(self._ask(FORK, theirs.fileno()), ours)

    def _start(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            descriptor = theirs.fileno()
            arguments = [str(descriptor), json.dumps(sys.path)]
            self._process = subprocess.Popen(  # noqa: S603  our own program
                [sys.executable, "-c", self._program, *arguments],
                stdin=subprocess.DEVNULL,
                pass_fds=[descriptor],
            )

    def _ask(self, request: bytes, *descriptors: int) -> int:
        """Have the program do something and give a number back."""
        if self._control is None:
            raise OSError("the program that starts decoders has ended")
        try:
            socket.send_fds(self._control, [request], list(descriptors))
            answer = self._control.recv(NUMBER.size, socket.MSG_WAITALL)
            return int(NUMBER.unpack(answer)[0])
        except (OSError, struct.error) as error:
            self._end()
            raise OSError("the program that starts decoders has ended") from error


class IsolatedFile:
    """One recording, decoded in another process as it is read.

    Attributes:
        sample_rate: of the first block, Hz.
        channels: of the first block.
        flags: codes of what was found and kept; final once the blocks have ended.
    """

    def __init__(
        self,
        pool: DecoderPool,
        child: _Child,
        file: BinaryIO,
        name: str,
        segment: Segment | None,
    ) -> None:
        self.flags: tuple[str, ...] = ()
        self._pool = pool
        self._child: _Child | None = child
        self._file = file
        request = {
            "name": name,
            "size_bytes": file.seek(0, io.SEEK_END),
            "policy": asdict(pool.policy),
            "segment": None if segment is None else astuple(segment),
        }
        opened = self._ask(child, framing.OPEN, json.dumps(request).encode())
        self.sample_rate, self.channels = opened.first, opened.second

    def blocks(self) -> Iterator[Block]:
        """The samples. May be called once.

        Raises:
            AudioError: the file cannot become tokens; also after some blocks were given.
            OSError: it cannot be read.
        """
        try:
            while self._child is not None:
                message = self._ask(self._child, framing.NEXT)
                if message.kind == framing.END:
                    self.flags = tuple(json.loads(message.payload))
                    self._pool.take_back(self._child)
                    self._child = None
                    return
                samples_S = np.frombuffer(message.payload, dtype=np.float32)
                yield Block(samples_S.reshape(-1, message.second), message.first)
        finally:
            self.close()

    def close(self) -> None:
        """Leave the child to others, wherever decoding is."""
        child, self._child = self._child, None
        if child is not None:
            framing.send(child.socket, framing.STOP)
            self._pool.take_back(child)

    def _ask(self, child: _Child, kind: int, payload: bytes = b"") -> framing.Message:
        """What the child answers, once it has read of the file what it wants."""
        patience = self._pool.patience_seconds
        while True:
            start = time.monotonic()
            message = self._exchange(child, kind, payload, patience)
            patience -= time.monotonic() - start
            if message.kind == framing.REJECTED:
                self._end(child)
                values = json.loads(message.payload)
                raise AudioError(values["code"], values["detail"])
            if message.kind != framing.READ:
                return message
            kind, payload = framing.DATA, self._read(child, *PLACE.unpack(message.payload))

    def _exchange(
        self, child: _Child, kind: int, payload: bytes, patience_seconds: float
    ) -> framing.Message:
        """Say something to the child and take its answer; the child is gone when this raises."""
        child.socket.settimeout(max(patience_seconds, 1e-3))
        try:
            framing.send(child.socket, kind, payload)
            return framing.receive(child.socket)
        except TimeoutError as error:
            self._end(child)
            detail = f"no sample in {self._pool.patience_seconds:g} s of decoding"
            raise AudioError("decoder_timeout", detail) from error
        except (EOFError, OSError) as error:
            raise _death(-self._end(child)) from error

    def _read(self, child: _Child, offset: int, size: int) -> bytes:
        """A stretch of the file. What the storage runs into is passed on."""
        try:
            self._file.seek(offset)
            return self._file.read(size)
        except BaseException:
            self._end(child)
            raise

    def _end(self, child: _Child) -> int:
        self._child = None
        return self._pool.reap(child)


def _death(number: int) -> Exception:
    """What to raise for a child that ended by a signal, or by itself (0 and below)."""
    if number in _CRASHES or number <= 0:
        how = signal.Signals(number).name if number > 0 else f"exit code {-number}"
        return AudioError("decoder_crashed", f"the process that decoded it ended by {how}")
    return OSError(f"a decoder was ended from outside by {signal.Signals(number).name}")
