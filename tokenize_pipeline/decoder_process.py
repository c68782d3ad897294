"""The processes that decode: what a worker starts so that a decoder's death is not its own.

    worker --starts--> this program --forks--> one child for every recording that is open
       `------------------ socket ----------------'

The program has a single thread and has loaded the decoders, so that a fork of it is safe, takes a
millisecond and shares its memory. A child reads the file through the worker, which alone knows
storage, and gives one block whenever it is asked for one. It serves recording after recording and
ends with the first that it rejects: whatever a damaged file did to its memory ends with it.

Nothing outlives the worker: the program ends when its socket closes, and the kernel ends its
children with it.
"""

import ctypes
import io
import json
import os
import resource
import signal
import socket
import struct
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from tokenize_pipeline import framing
from tokenize_pipeline.audio_limits import AudioPolicy
from tokenize_pipeline.decoders import DecodedFile
from tokenize_pipeline.errors import AudioError
from tokenize_pipeline.positioned_file import PositionedFile
from tokenize_pipeline.records import Segment

FORK, REAP = b"F", b"R"  # what the worker asks this program, with the number of a child for REAP
NUMBER = struct.Struct("<q")
PLACE = struct.Struct("<QI")  # in a file: offset and size, bytes

_DECODER_BYTES = 1 << 30  # of memory, beyond what the program has when it starts
_READ_BYTES = 1 << 18  # read from the worker at once
_PR_SET_PDEATHSIG = 1


def main(control_descriptor: int) -> None:
    """Forks and reaps children until the worker is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the worker decides
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    own_pid = os.getpid()
    with socket.socket(fileno=control_descriptor) as control:
        while True:
            request, descriptors, _, _ = socket.recv_fds(control, 1 + NUMBER.size, 1)
            if not request:
                return
            if request[:1] == REAP:
                control.sendall(NUMBER.pack(_reap(NUMBER.unpack(request[1:])[0])))
                continue
            pid = os.fork()
            if pid == 0:
                control.detach()
                os.close(control_descriptor)
                _live_as_child(own_pid, descriptors[0])
            os.close(descriptors[0])
            control.sendall(NUMBER.pack(pid))


def _reap(pid: int) -> int:
    """End a child, if it has not ended itself; its exit code, or less than 0 for a signal."""
    os.kill(pid, signal.SIGKILL)  # a child that has ended keeps the way in which it did
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _live_as_child(parent_pid: int, descriptor: int) -> None:
    """Serve and end, never returning into the loop of the parent."""
    try:
        _bind_to(parent_pid)
        _limit_memory()
        worker = socket.socket(fileno=descriptor)  # closed by the end, which tells the worker
        with suppress(EOFError, OSError):
            while _serve(worker):
                pass
        os._exit(0)
    finally:
        traceback.print_exc()
        os._exit(1)


def _bind_to(parent_pid: int) -> None:
    """End with the parent, even in the middle of a decoder that hangs."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(0)


def _limit_memory() -> None:
    """Have what asks for too much memory fail, or the child die, instead of the machine."""
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + _DECODER_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _serve(worker: socket.socket) -> bool:
    """Decode one recording; whether to go on with another."""
    request = json.loads(framing.receive(worker).payload)
    segment = Segment(*request["segment"]) if request["segment"] else None
    policy = AudioPolicy(**request["policy"])
    file = io.BufferedReader(_WorkersFile(worker, request["size_bytes"]), _READ_BYTES)
    try:
        decoded = DecodedFile(cast(BinaryIO, file), request["name"], segment, policy)
        framing.send(worker, framing.OPENED, b"", decoded.sample_rate, decoded.channels)
        blocks = decoded.blocks()
        while framing.receive(worker).kind == framing.NEXT:
            block = next(blocks, None)
            if block is None:
                framing.send(worker, framing.END, json.dumps(decoded.flags).encode())
                return True
            samples_SC = np.ascontiguousarray(block.samples)
            framing.send(worker, framing.BLOCK, samples_SC, block.sample_rate, samples_SC.shape[1])
    except AudioError as error:
        answer = json.dumps({"code": error.code, "detail": error.detail}).encode()
        framing.send(worker, framing.REJECTED, answer)
        return False
    return True


class _WorkersFile(PositionedFile):
    """A file that the worker reads for us."""

    def __init__(self, worker: socket.socket, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self._worker = worker

    def _read_at(self, position: int, size: int) -> bytearray:
        framing.send(self._worker, framing.READ, PLACE.pack(position, size))
        return framing.receive(self._worker).payload
