"""Threads decode ahead in order, in bounded memory, and end when they should."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.audio_files import write_noise
from tokenize_pipeline import decode_ahead
from tokenize_pipeline.audio import open_audio
from tokenize_pipeline.decode_ahead import DecodeAhead
from tokenize_pipeline.records import Recording


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Recordings of 0.2 to 20 s, several blocks the longest."""
    folder = tmp_path_factory.mktemp("waves")
    lengths = [0.2, 20.0, 1.0, 0.5, 9.0, 0.01, 3.0]
    return [write_noise(folder / f"{i}.wav", s, i).read_bytes() for i, s in enumerate(lengths)]


def recordings(waves: list[bytes]) -> list[Recording]:
    def opener(data: bytes) -> Callable[[], io.BytesIO]:
        return lambda: io.BytesIO(data)

    return [Recording(f"{i}", f"/{i}", f"{i}", opener(data)) for i, data in enumerate(waves)]


def alone(data: bytes) -> torch.Tensor:
    return torch.cat(list(open_audio(io.BytesIO(data), "x", 24000, 1).blocks()), dim=1)


def test_what_comes_out_is_what_decoding_alone_gives(waves: list[bytes]) -> None:
    with DecodeAhead(recordings(waves), 24000, 1) as ahead:
        for decoded, data in zip(ahead, waves, strict=True):
            audio_CS = torch.cat(list(decoded), dim=1)
            assert torch.equal(audio_CS, alone(data))
            assert decoded.num_samples == audio_CS.shape[1]
            assert (decoded.source_sample_rate, decoded.source_channels) == (16000, 1)
            assert decoded.rejected is None


@given(order=st.lists(st.integers(0, 3), max_size=60), threads=st.integers(1, 3))
@settings(max_examples=15, deadline=None)
def test_blocks_may_be_taken_in_any_order(
    waves: list[bytes], order: list[int], threads: int
) -> None:
    """A codec with four slots that asks for the next block of any of them."""
    with DecodeAhead(recordings(waves), 24000, 1, threads) as ahead:
        slots = [next(ahead) for _ in range(4)]
        taken: dict[str, list[torch.Tensor]] = {slot.recording.id: [] for slot in slots}
        for slot in (slots[index] for index in order):
            taken[slot.recording.id] += [block for block in [next(slot, None)] if block is not None]
        for slot in (*slots, *ahead):
            taken.setdefault(slot.recording.id, []).extend(slot)
    assert list(taken) == [str(index) for index in range(len(waves))]
    for index, data in enumerate(waves):
        assert torch.equal(torch.cat(taken[str(index)], dim=1), alone(data))


def test_only_so_much_is_decoded_ahead(waves: list[bytes]) -> None:
    opened: list[str] = []

    def source() -> Iterator[Recording]:
        for index in range(100):
            opened.append(str(index))
            yield recordings([waves[1]])[0]

    with DecodeAhead(source(), 24000, 1) as ahead:
        next(ahead)
        time.sleep(0.3)
        assert len(opened) <= 1 + decode_ahead.RECORDINGS_AHEAD + 1
        for decoded in [*ahead._given, *ahead._waiting]:
            assert len(decoded.queue.blocks) <= decode_ahead.BLOCKS_AHEAD


def test_leaving_early_closes_files(waves: list[bytes]) -> None:
    files: list[io.BytesIO] = []

    def opener() -> io.BytesIO:
        files.append(io.BytesIO(waves[1]))
        return files[-1]

    endless = (Recording("x", "/x", "x", opener) for _ in range(1000))
    with DecodeAhead(endless, 24000, 1) as ahead:
        next(next(ahead))
    assert files
    assert all(file.closed for file in files)


def test_what_cannot_be_decoded_ends_early_with_a_reason(
    waves: list[bytes], tmp_path: Path
) -> None:
    def missing() -> io.BytesIO:
        raise FileNotFoundError(2, "No such file or directory", "gone.wav")

    mixed = [
        *recordings([waves[0], b"nonsense", waves[2]]),
        Recording("gone", "/gone.wav", "gone.wav", missing),
    ]
    with DecodeAhead(mixed, 24000, 1) as ahead:
        outcomes = [(sum(b.shape[1] for b in d) > 0, d.rejected) for d in ahead]
    assert [has_samples for has_samples, _ in outcomes] == [True, False, True, False]
    codes = [rejected.code if rejected else None for _, rejected in outcomes]
    assert codes == [None, "undecodable", None, "unreadable"]
    rejected = outcomes[3][1]
    assert rejected is not None
    assert (rejected.id, rejected.source) == ("gone", "/gone.wav")
    assert rejected.detail == "No such file or directory"


def test_other_errors_reach_whoever_takes_the_block(waves: list[bytes]) -> None:
    class Lost(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError("connection lost")

    broken = Recording("x", "/x", "x", lambda: Lost(waves[1]))
    with DecodeAhead([recordings(waves)[0], broken], 24000, 1) as ahead:
        list(next(ahead))
        with pytest.raises(OSError, match="connection lost"):
            list(next(ahead))


def test_an_error_of_the_source_reaches_whoever_takes_the_recording(waves: list[bytes]) -> None:
    def source() -> Iterator[Recording]:
        yield recordings(waves)[0]
        raise OSError("archive lost")

    with DecodeAhead(source(), 24000, 1) as ahead:
        list(next(ahead))
        with pytest.raises(OSError, match="archive lost"):
            next(ahead)


def test_no_recordings() -> None:
    with DecodeAhead([], 24000, 1) as ahead:
        assert list(ahead) == []
