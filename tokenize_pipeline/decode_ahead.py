"""Decoding in threads, ahead of the codec, in bounded memory.

    recordings -> a window of open recordings, each with a short queue of decoded blocks -> codec

The codec may take blocks of several recordings in turns. A thread decodes one block at a time, of
the first recording in order whose queue has room, and never waits on a full queue; so whatever
recording the codec asks for next is being worked on.

What cannot be decoded ends early with the reason in `DecodedRecording.rejected`. Any other error
(a lost connection, a bug) is raised where the codec asks for the block.

Dimension key: C channels, S samples.
"""

import io
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from types import TracebackType

from torch import Tensor

from tokenize_pipeline.audio import AudioReader, Decoders, OwnProcess
from tokenize_pipeline.errors import AudioError
from tokenize_pipeline.records import (
    IgnoredFile,
    Recording,
    RejectedRecording,
    SourceEntry,
)

RECORDINGS_AHEAD = 8  # opened beyond those the codec has asked for
BLOCKS_AHEAD = 2  # decoded and waiting, a recording


@dataclass
class _Queue:
    """Blocks of one recording between the threads and the codec. Touched under the lock only."""

    blocks: deque[Tensor] = field(default_factory=deque)
    busy: bool = False  # a thread is decoding the next block
    ended: bool = False  # no block will be added
    failure: Exception | None = None

    def has_work(self) -> bool:
        """Whether a thread should decode the next block."""
        return not self.busy and not self.ended and len(self.blocks) < BLOCKS_AHEAD


class DecodedRecording:
    """One recording, to be iterated over by the codec in blocks [C, S].

    Attributes:
        recording: what is decoded.
        rejected: why it makes no tokens, or None; final once the blocks have ended.
        num_samples: samples given out so far, at the codec's rate.
        source_sample_rate: Hz of the file; 0 before its first block.
        source_channels: channels of the file; 0 before its first block.
        flags: codes of what was found and kept; final once the blocks have ended.
    """

    def __init__(self, entry: Recording | RejectedRecording, ahead: "DecodeAhead") -> None:
        self.rejected: RejectedRecording | None = None
        if isinstance(entry, RejectedRecording):
            self.rejected = entry
            entry = Recording(entry.id, entry.source, entry.id, io.BytesIO)
        self.recording = entry
        self.num_samples = 0
        self.source_sample_rate = 0
        self.source_channels = 0
        self.flags: tuple[str, ...] = ()
        self.queue = _Queue()
        self._ahead = ahead
        self._blocks = self._decode(ahead.sample_rate, ahead.channels)

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        block_CS = self._ahead.take_block(self)
        self.num_samples += block_CS.shape[1]
        return block_CS

    def decode_block(self) -> Tensor | None:
        """Decode the next block; None after the last. For one thread at a time."""
        try:
            return next(self._blocks, None)
        except AudioError as error:
            self._reject(error.code, error.detail)
        except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
            self._reject("unreadable", error.strerror or str(error))
        return None

    def close(self) -> None:
        """Close the file, wherever decoding is."""
        self._blocks.close()

    def _decode(self, sample_rate: int, channels: int) -> Generator[Tensor, None, None]:
        if self.rejected is not None:
            return
        with self.recording.open() as file:
            name, segment = self.recording.name, self.recording.segment
            with closing(self._ahead.decoders.open(file, name, segment)) as decoded:
                self.source_sample_rate = decoded.sample_rate
                self.source_channels = decoded.channels
                yield from AudioReader(decoded, sample_rate, channels).blocks()
                self.flags = decoded.flags

    def _reject(self, code: str, detail: str) -> None:
        self.rejected = RejectedRecording(self.recording.id, self.recording.source, code, detail)


class DecodeAhead:
    """Iterates over recordings that threads decode meanwhile.

    A context manager: leaving it ends the threads and closes the files.

    Args:
        entries: of a source, read lazily, by one thread at a time. What the source itself has
            rejected comes out as a recording that is rejected.
        sample_rate: Hz wanted.
        channels: channels wanted.
        threads: that decode.
        decoders: what decodes; in this process when None.
    """

    def __init__(
        self,
        entries: Iterable[SourceEntry],
        sample_rate: int,
        channels: int,
        threads: int = 1,
        decoders: Decoders | None = None,
    ) -> None:
        self.decoders = decoders or OwnProcess()
        self.sample_rate = sample_rate
        self.channels = channels
        self._source = (entry for entry in entries if not isinstance(entry, IgnoredFile))
        self._changed = threading.Condition()  # its lock guards everything below
        self._opening = False  # a thread is asking the source for a recording
        self._exhausted = False
        self._failure: Exception | None = None
        self._closed = False
        self._waiting: deque[DecodedRecording] = deque()  # opened, not yet given out
        self._given: list[DecodedRecording] = []  # given out, not yet at their end
        self._threads = [
            threading.Thread(target=self._work, name=f"decode-{index}", daemon=True)
            for index in range(threads)
        ]

    def __enter__(self) -> "DecodeAhead":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for decoded in (*self._given, *self._waiting):
            decoded.close()

    def __iter__(self) -> Iterator[DecodedRecording]:
        return self

    def __next__(self) -> DecodedRecording:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._exhausted or self._closed)
            if self._waiting and not self._closed:
                decoded = self._waiting.popleft()
                self._given.append(decoded)
                self._changed.notify_all()
                return decoded
            if self._failure is not None:
                raise self._failure
            raise StopIteration

    def take_block(self, decoded: DecodedRecording) -> Tensor:
        """The next block of a recording that was given out.

        Raises:
            StopIteration: after its last block.
        """
        queue = decoded.queue
        with self._changed:
            self._changed.wait_for(lambda: queue.blocks or queue.ended or self._closed)
            if queue.blocks and not self._closed:
                self._changed.notify_all()
                return queue.blocks.popleft()
            if queue.failure is not None:
                raise queue.failure
            if decoded in self._given and not self._closed:
                self._given.remove(decoded)
            raise StopIteration

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work)
                if self._closed:
                    return
                decoded = self._next_to_decode()
                if decoded is None:
                    self._opening = True
                else:
                    decoded.queue.busy = True
            if decoded is None:
                self._open_next()
            else:
                self._decode_block(decoded)

    def _has_work(self) -> bool:
        return self._closed or self._may_open() or self._next_to_decode() is not None

    def _may_open(self) -> bool:
        room = len(self._waiting) < RECORDINGS_AHEAD
        return room and not self._opening and not self._exhausted

    def _next_to_decode(self) -> DecodedRecording | None:
        """The first recording in order that wants a block."""
        wanting = (d for d in (*self._given, *self._waiting) if d.queue.has_work())
        return next(wanting, None)

    def _open_next(self) -> None:
        entry, failure = None, None
        try:
            entry = next(self._source, None)
        except Exception as error:  # noqa: BLE001  raised again in the codec's thread
            failure = error
        with self._changed:
            self._opening = False
            self._failure = failure
            if entry is None:
                self._exhausted = True
            else:
                self._waiting.append(DecodedRecording(entry, self))
            self._changed.notify_all()

    def _decode_block(self, decoded: DecodedRecording) -> None:
        block_CS, failure = None, None
        try:
            block_CS = decoded.decode_block()
        except Exception as error:  # noqa: BLE001  raised again in the codec's thread
            failure = error
        with self._changed:
            decoded.queue.busy = False
            decoded.queue.failure = failure
            if block_CS is None:
                decoded.queue.ended = True
            else:
                decoded.queue.blocks.append(block_CS)
            self._changed.notify_all()
