"""Messages over a socket: a kind, two small numbers and a payload.

    | kind, 1 byte | two numbers, 4 bytes each | length, 8 bytes | payload |

Source: none; both ends are ours (decoder_process.py and isolation.py).
"""

import socket
import struct
from dataclasses import dataclass
from typing import Any

_HEADER = struct.Struct("<BIIQ")

# Asked by the worker
OPEN, NEXT, STOP, DATA = range(1, 5)
# Answered by the decoder
OPENED, BLOCK, END, REJECTED, READ = range(5, 10)


@dataclass(frozen=True)
class Message:
    """What one end says to the other."""

    kind: int
    first: int
    second: int
    payload: bytearray


def send(
    end: socket.socket, kind: int, payload: Any = b"", first: int = 0, second: int = 0
) -> None:
    """Send a message; `payload` is anything that has bytes, which lie in one piece.

    Raises:
        OSError: the other end is gone.
    """
    data = memoryview(payload).cast("B")
    end.sendall(_HEADER.pack(kind, first, second, len(data)))
    end.sendall(data)


def receive(end: socket.socket) -> Message:
    """Wait for a message.

    Raises:
        EOFError: the other end is gone.
        OSError: the same, or the socket's timeout has passed.
    """
    kind, first, second, length = _HEADER.unpack(_exactly(end, _HEADER.size))
    return Message(kind, first, second, _exactly(end, length))


def _exactly(end: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = end.recv_into(view)
        if count == 0:
            raise EOFError("the other end of the socket is gone")
        view = view[count:]
    return data
