"""Decoders that die, hang or flood cost one recording, and leave nothing behind."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import REPOSITORY, recordings
from tests.fakes import MeanCodec
from tests.pipeline.audio_files import write_noise
from tests.pipeline.processes import descendants, peak_bytes
from tokenize_pipeline.audio import Decoded
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.decoders import DecodedFile
from tokenize_pipeline.errors import AudioError
from tokenize_pipeline.isolation import PROGRAM, DecoderPool
from tokenize_pipeline.plan import plan_items
from tokenize_pipeline.records import Segment, Shard
from tokenize_pipeline.shard import tokenize_shard

# The same program, with a decoder that does as the file says: at once, or after its first block.
_HOSTILE = """
import ctypes, os, signal, time
import numpy as np
from tokenize_pipeline import decoder_process, decoders

ORDERS = {
    b"SEGV": lambda: ctypes.string_at(0),
    b"ABRT": os.abort,
    b"KILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    b"EXIT": lambda: os._exit(3),
    b"HANG": lambda: time.sleep(1000),
    b"SPIN": lambda: [None for _ in iter(int, 1)],
    b"GULP": lambda: np.ones(1 << 32),
}

class Obedient(decoders.DecodedFile):
    def __init__(self, file, name, segment, policy):
        self._order = file.read(4)
        if self._order == b"LOOP":
            while True:
                file.seek(0)
                file.read(100)
        if name == "at once":
            ORDERS.get(self._order, int)()
        file.seek(0)
        super().__init__(file, name, segment, policy)

    def blocks(self):
        blocks = super().blocks()
        yield next(blocks)
        yield from blocks

class Later(decoders._SoundFileDecoder):
    def blocks(self):
        for block in super().blocks():
            yield block
            self._file.seek(100)
            ORDERS.get(self._file.read(4), int)()

decoder_process.DecodedFile = Obedient
decoders._DECODERS["libsndfile"] = Later
"""
HOSTILE = PROGRAM.replace("main(int", f"{_HOSTILE}\nmain(int")


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    with DecoderPool() as opened:
        yield opened


@pytest.fixture
def hostile() -> Iterator[DecoderPool]:
    with DecoderPool(program=HOSTILE, patience_seconds=1.0) as opened:
        yield opened


def samples_of(decoded: Decoded) -> list[tuple[int, bytes]]:
    return [(block.sample_rate, block.samples.tobytes()) for block in decoded.blocks()]


def outcome(decoders: DecoderPool | type[DecodedFile], data: bytes) -> object:
    """Form and blocks, or the error."""
    opener = decoders.open if isinstance(decoders, DecoderPool) else decoders
    try:
        opened = opener(io.BytesIO(data), "x")
        return opened.sample_rate, opened.channels, samples_of(opened)
    except AudioError as error:
        return error.code, error.detail


def test_samples_and_errors_are_those_of_this_process(pool: DecoderPool, audio_root: Path) -> None:
    paths = [
        *recordings(audio_root / "speech")[::10],
        *recordings(audio_root / "music")[::10],
        *sorted((audio_root / "formats").glob("*"))[::3],
        *sorted((audio_root / "broken").glob("*"))[::3],
    ]
    for data in (b"", b"nonsense", *(path.read_bytes() for path in paths)):
        assert outcome(pool, data) == outcome(DecodedFile, data)


def test_segments_are_those_of_this_process(pool: DecoderPool, tmp_path: Path) -> None:
    data = write_noise(tmp_path / "a.flac", 12, 0).read_bytes()
    for segment in (Segment(1.5, 8.0), Segment(8.0)):
        isolated = pool.open(io.BytesIO(data), "x", segment)
        assert samples_of(isolated) == samples_of(DecodedFile(io.BytesIO(data), "x", segment))


@pytest.mark.parametrize(
    ("order", "code", "detail"),
    [
        (b"SEGV", "decoder_crashed", "the process that decoded it ended by SIGSEGV"),
        (b"ABRT", "decoder_crashed", "the process that decoded it ended by SIGABRT"),
        (b"EXIT", "decoder_crashed", "the process that decoded it ended by exit code 3"),
        (b"HANG", "decoder_timeout", "no sample in 1 s of decoding"),
        (b"SPIN", "decoder_timeout", "no sample in 1 s of decoding"),
        (b"LOOP", "decoder_timeout", "no sample in 1 s of decoding"),
    ],
)
def test_a_decoder_that_dies_or_hangs_costs_its_recording(
    hostile: DecoderPool, order: bytes, code: str, detail: str
) -> None:
    with pytest.raises(AudioError) as caught:
        hostile.open(io.BytesIO(order + bytes(100)), "at once")
    assert (caught.value.code, caught.value.detail) == (code, detail)
    with pytest.raises(AudioError, match="undecodable"):
        hostile.open(io.BytesIO(b"nothing"), "x")


def test_memory_without_bound_is_refused(hostile: DecoderPool) -> None:
    with pytest.raises(AudioError) as caught:
        hostile.open(io.BytesIO(b"GULP" + bytes(100)), "at once")
    assert caught.value.code == "decoder_crashed"


def test_a_signal_from_outside_says_nothing_about_the_recording(hostile: DecoderPool) -> None:
    with pytest.raises(OSError, match="a decoder was ended from outside by SIGKILL"):
        hostile.open(io.BytesIO(b"KILL" + bytes(100)), "at once")


def test_in_the_middle_of_a_recording_too(hostile: DecoderPool, tmp_path: Path) -> None:
    data = bytearray(write_noise(tmp_path / "a.wav", 20, 0).read_bytes())
    data[100:104] = b"SEGV"
    opened = hostile.open(io.BytesIO(data), "x")
    blocks = opened.blocks()
    assert len(next(blocks).samples) == 1 << 16
    with pytest.raises(AudioError, match="SIGSEGV"):
        next(blocks)
    opened.close()


def test_a_shard_loses_only_what_kills_its_decoder(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    for index in range(6):
        write_noise(corpus / f"{index}.wav", 8, index)
    for name, order in (("1", b"SEGV"), ("4", b"HANG")):
        path = corpus / f"{name}.wav"
        data = bytearray(path.read_bytes())
        data[100:104] = order
        path.write_bytes(data)
    shard = Shard(0, "0123456789", tuple(plan_items([str(corpus)])))
    config = TokenizeConfig(("x",), str(tmp_path / "out"))
    with DecoderPool(program=HOSTILE, patience_seconds=2.0) as decoders:
        record = tokenize_shard(shard, MeanCodec(), config, decoders=decoders)
    assert (record.recordings, record.rows) == (6, 4)
    assert [(item.id, item.code) for item in record.rejected] == [
        ("1.wav", "decoder_crashed"),
        ("4.wav", "decoder_timeout"),
    ]


def test_a_slow_file_is_no_hang(tmp_path: Path) -> None:
    """What storage takes is not counted."""

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            time.sleep(0.4)
            return super().read(size)

    data = write_noise(tmp_path / "a.wav", 3, 0).read_bytes()
    with DecoderPool(patience_seconds=2.0) as decoders:
        outcome(decoders, data)  # starts the program
        decoders.patience_seconds = 0.3
        assert len(samples_of(decoders.open(Slow(data), "x"))) == 1


@pytest.mark.parametrize("error", [OSError("connection lost"), TimeoutError("too slow")])
def test_an_error_of_the_storage_is_passed_on(
    pool: DecoderPool, tmp_path: Path, error: OSError
) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 100_000:
                raise error
            return super().read(size)

    data = write_noise(tmp_path / "a.wav", 20, 0).read_bytes()
    with pytest.raises(type(error), match=str(error)):
        samples_of(pool.open(Failing(data), "x"))
    assert outcome(pool, data) == outcome(DecodedFile, data)


def test_many_recordings_may_be_open_at_once_and_left(tmp_path: Path) -> None:
    data = write_noise(tmp_path / "a.wav", 10, 0).read_bytes()
    with DecoderPool() as decoders:
        opened = [decoders.open(io.BytesIO(data), "x") for _ in range(20)]
        started = [file.blocks() for file in opened]
        for blocks in started:
            next(blocks)
        for file in opened[::2]:
            file.close()
        assert [sum(len(b.samples) for b in blocks) for blocks in started[1::2]] == [94464] * 10
        assert len(children_of(decoders)) == 20
        for _ in range(50):
            outcome(decoders, data)
        assert len(children_of(decoders)) == 20, "they are used again"


def children_of(decoders: DecoderPool) -> list[int]:
    assert decoders._process is not None
    return list(descendants(decoders._process.pid))


def test_threads_may_share_a_pool(pool: DecoderPool, tmp_path: Path) -> None:
    files = [write_noise(tmp_path / f"{n}.flac", 1 + n % 3, n).read_bytes() for n in range(12)]
    expected = [outcome(DecodedFile, data) for data in files]
    found: list[object] = [None] * len(files)

    def work(first: int) -> None:
        for index in range(first, len(files), 3):
            found[index] = outcome(pool, files[index])

    threads = [threading.Thread(target=work, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


def test_a_pool_leaves_no_process_and_no_open_file(tmp_path: Path) -> None:
    data = write_noise(tmp_path / "a.wav", 10, 0).read_bytes()
    before = sorted(Path("/proc/self/fd").iterdir())
    with DecoderPool(program=HOSTILE, patience_seconds=1.0) as decoders:
        opened = decoders.open(io.BytesIO(data), "x")
        blocks = opened.blocks()
        next(blocks)
        with pytest.raises(AudioError):
            decoders.open(io.BytesIO(b"SEGV"), "at once")
        assert decoders._process is not None
        pids = [decoders._process.pid, *children_of(decoders)]
        assert len(pids) == 2
        opened.close()
    assert not any(alive(pid) for pid in pids)
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def wait_until_dead(pids: list[int]) -> None:
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a child outlives the program"
        time.sleep(0.01)


def test_a_program_that_was_killed_is_started_again(tmp_path: Path) -> None:
    data = write_noise(tmp_path / "a.wav", 1, 0).read_bytes()
    with DecoderPool() as decoders:
        outcome(decoders, data)
        assert decoders._process is not None
        children = children_of(decoders)
        os.kill(decoders._process.pid, signal.SIGKILL)
        wait_until_dead(children)  # the kernel ends them a moment later
        with pytest.raises(OSError, match="has ended"):
            outcome(decoders, data)
        assert outcome(decoders, data) == outcome(DecodedFile, data)


_WORKER = """
import io, sys, time
from tokenize_pipeline.isolation import DecoderPool
pool = DecoderPool(program=sys.argv[2])
pool.open(io.BytesIO(open(sys.argv[1], "rb").read()), "x")
print(pool._process.pid, flush=True)
pool.open(io.BytesIO(b"SPIN"), "at once")
"""


def test_nothing_outlives_a_worker_that_is_killed(tmp_path: Path) -> None:
    """Not even a decoder that hangs."""
    path = write_noise(tmp_path / "a.wav", 10, 0)
    command = [sys.executable, "-c", _WORKER, str(path), HOSTILE]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        end = time.monotonic() + 20
        while len(list(descendants(pid))) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        pids = [pid, *descendants(pid)]
        worker.kill()
    assert len(pids) == 3
    end = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(alive, pids))


def test_decoders_load_no_torch(pool: DecoderPool, tmp_path: Path) -> None:
    """They start in a moment and are small."""
    outcome(pool, write_noise(tmp_path / "a.wav", 1, 0).read_bytes())
    assert pool._process is not None
    maps = Path(f"/proc/{pool._process.pid}/maps").read_text()
    assert "libsndfile" in maps
    assert "libtorch" not in maps
    assert "arrow" not in maps


def test_samples_are_float32(pool: DecoderPool, tmp_path: Path) -> None:
    opened = pool.open(io.BytesIO(write_noise(tmp_path / "a.wav", 1, 0).read_bytes()), "x")
    (block,) = opened.blocks()
    assert block.samples.dtype == np.float32
    assert block.samples.shape == (16000, 1)


def silence(seconds: int) -> bytes:
    """A FLAC of nothing: 76 bytes a second."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 16000, 1, format="FLAC") as sound:
        for _ in range(seconds // 60):
            sound.write(np.zeros(60 * 16000, dtype=np.int16))
    return file.getvalue()


def test_bombs_stay_small() -> None:
    """An hour of silence, and a FLAC that declares 2^36 samples."""
    hour = silence(3600)
    assert len(hour) < 300_000
    endless = bytearray(silence(60))
    declared = int.from_bytes(endless[18:26], "big") | ((1 << 36) - 1)
    endless[18:26] = declared.to_bytes(8, "big")
    with DecoderPool() as decoders:
        blocks = decoders.open(io.BytesIO(hour), "x").blocks()
        assert sum(len(block.samples) for block in blocks) == 3600 * 16000
        with pytest.raises(AudioError) as caught:
            samples_of(decoders.open(io.BytesIO(endless), "x"))
        assert caught.value.code == "truncated"
        peaks = [peak_bytes(pid) for pid in children_of(decoders)]
    assert all(peak < 120e6 for peak in peaks), "an hour as float32 is 230 MB"
