"""One shard in this process: recordings in, one part and one record out, always the same."""

import hashlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from codec import EncodedAudio, load_codec
from codec.base import Waveform
from tests.fakes import MeanCodec
from tests.pipeline.audio_files import write_corpus, write_noise
from tokenize_pipeline import decode_ahead
from tokenize_pipeline.audio import AudioReader, open_audio
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.errors import RunFailedError
from tokenize_pipeline.plan import plan_items
from tokenize_pipeline.progress import Tally
from tokenize_pipeline.records import CommitRecord, Shard, TokenRow
from tokenize_pipeline.schema import read_part
from tokenize_pipeline.shard import tokenize_shard
from tokenize_pipeline.worker import open_codec


def shard_of(*sources: Path, index: int = 0) -> Shard:
    return Shard(index, "0123456789", tuple(plan_items([str(path) for path in sources])))


def config_of(output: Path, row_seconds: float | None = None) -> TokenizeConfig:
    return TokenizeConfig(("x",), str(output), row_seconds=row_seconds)


def rows_of(output: Path, record: CommitRecord) -> list[TokenRow]:
    assert record.part is not None
    return list(read_part(str(output / "data" / record.part)))


def test_a_shard_becomes_a_part_and_a_record(tmp_path: Path) -> None:
    corpus, output = write_corpus(tmp_path / "corpus"), tmp_path / "out"
    shard, scratch = shard_of(corpus), tmp_path / "scratch"
    scratch.mkdir()
    tally = Tally()
    record = tokenize_shard(shard, MeanCodec(), config_of(output), scratch, attempt=2, tally=tally)
    part = output / "data" / "train-000000-0123456789.parquet"
    assert record.part == part.name
    assert record.sha256 == hashlib.sha256(part.read_bytes()).hexdigest()
    assert (record.shard, record.attempts, record.recordings, record.rows) == (0, 2, 8, 6)
    assert [(item.id, item.code) for item in record.rejected] == [
        ("broken.wav", "undecodable"),
        ("empty.mp3", "empty"),
    ]
    counts = (tally.recordings, tally.rejected, tally.samples)
    assert counts == (8, 2, round(record.seconds * 24000))
    assert record.size_bytes == part.stat().st_size
    assert [path.name for path in (output / "data").iterdir()] == [part.name]
    assert list(scratch.iterdir()) == []


def test_rows_say_what_was_encoded(tmp_path: Path) -> None:
    corpus, output = write_corpus(tmp_path / "corpus", broken=False), tmp_path / "out"
    codec = MeanCodec()
    record = tokenize_shard(shard_of(corpus), codec, config_of(output))
    rows = rows_of(output, record)
    paths = sorted(corpus.rglob("*.flac"))
    assert [row.source for row in rows] == [str(path) for path in paths]
    for row, path in zip(rows, paths, strict=True):
        with path.open("rb") as file:
            blocks = list(open_audio(file, path.name, 24000, 1).blocks())
        encoded = codec.encode(torch.cat(blocks, dim=1), 8)
        assert np.array_equal(row.codes, encoded.codes.numpy())
        assert row.num_samples == -(-soundfile.info(path).frames * 3 // 2)
        assert row.num_frames == -(-row.num_samples // 320)
        assert row.id == path.relative_to(corpus).as_posix()
        assert (row.source_sample_rate, row.source_channels, row.start_sample) == (16000, 1, 0)
        assert row.scales is None
    assert record.seconds == sum(row.num_samples for row in rows) / 24000


def test_the_part_is_the_same_every_time(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    records = [
        tokenize_shard(shard_of(corpus), MeanCodec(), config_of(tmp_path / name))
        for name in ("one", "two")
    ]
    assert records[0] == records[1]


def test_the_part_does_not_depend_on_the_threads_of_torch(tmp_path: Path) -> None:
    corpus, codec = write_corpus(tmp_path / "corpus"), load_codec("tiny_24khz")
    before, seen = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            config = config_of(tmp_path / f"out {threads}")
            seen.append(tokenize_shard(shard_of(corpus), codec, config).sha256)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(set(seen)) == 1


def test_the_part_does_not_depend_on_the_cpus_of_a_worker(tmp_path: Path) -> None:
    """More recordings than there are slots, encoded on one thread and on two."""
    corpus, parts = write_corpus(tmp_path / "corpus", count=20), []
    for cpus in (1.0, 2.0):
        output = tmp_path / f"out {cpus}"
        config = TokenizeConfig(("x",), str(output), "tiny_24khz", cpus_per_worker=cpus)
        record = tokenize_shard(shard_of(corpus), open_codec(config), config)
        parts.append((output / "data" / str(record.part)).read_bytes())
    assert parts[0] == parts[1]


def test_operators_run_on_one_thread_wherever_audio_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while the codec encodes on threads of its own, and whatever torch was set to."""
    seen: dict[str, set[int]] = {}

    def watched(*arguments: Any) -> Any:
        seen.setdefault(threading.current_thread().name, set()).add(torch.get_num_threads())
        return AudioReader(*arguments)

    monkeypatch.setattr(decode_ahead, "AudioReader", watched)
    corpus, before = write_corpus(tmp_path / "corpus", count=20), torch.get_num_threads()
    config = TokenizeConfig(("x",), str(tmp_path / "out"), "tiny_24khz", cpus_per_worker=2.0)
    try:
        torch.set_num_threads(3)
        tokenize_shard(shard_of(corpus), open_codec(config), config)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert seen.keys() <= {"decode-0", "decode-1"}
    assert set.union(*seen.values()) == {1}


def test_codes_do_not_depend_on_the_shard(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    paths = sorted(corpus.rglob("*.*"))
    together = tokenize_shard(shard_of(corpus), MeanCodec(), config_of(tmp_path / "together"))
    codes = {row.source: row.codes for row in rows_of(tmp_path / "together", together)}
    for index, path in enumerate(path for path in paths if path.suffix == ".flac"):
        shard = shard_of(path, index=index)
        record = tokenize_shard(shard, MeanCodec(), config_of(tmp_path / "alone"))
        (row,) = rows_of(tmp_path / "alone", record)
        assert np.array_equal(row.codes, codes[row.source])


@pytest.mark.parametrize("row_seconds", [0.001, 0.1, 0.35, 100.0])
def test_rows_of_a_length_join_to_the_whole(tmp_path: Path, row_seconds: float) -> None:
    corpus = write_corpus(tmp_path / "corpus", broken=False)
    whole = tokenize_shard(shard_of(corpus), MeanCodec(), config_of(tmp_path / "whole"))
    cut = tokenize_shard(shard_of(corpus), MeanCodec(), config_of(tmp_path / "cut", row_seconds))
    pieces = rows_of(tmp_path / "cut", cut)
    assert cut.rows == len(pieces)
    assert (cut.recordings, cut.seconds) == (whole.recordings, whole.seconds)
    longest = max(1, int(row_seconds * 75))
    for row in rows_of(tmp_path / "whole", whole):
        own = [piece for piece in pieces if piece.source == row.source]
        assert [piece.id for piece in own] == [f"{row.id}#{n:06d}" for n in range(len(own))]
        assert np.array_equal(np.concatenate([piece.codes for piece in own], 1), row.codes)
        assert all(piece.num_frames == longest for piece in own[:-1])
        ends = np.cumsum([piece.num_samples for piece in own])
        assert [piece.start_sample for piece in own] == [0, *ends[:-1]]
        assert ends[-1] == row.num_samples


def test_a_shard_without_rows_has_no_part(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").write_bytes(b"")
    shard = shard_of(tmp_path / "empty.wav")
    record = tokenize_shard(shard, MeanCodec(), config_of(tmp_path / "out"))
    assert record == CommitRecord(
        shard=0,
        part=None,
        recordings=1,
        rows=0,
        seconds=0.0,
        sha256=None,
        size_bytes=0,
        rejected=record.rejected,
        attempts=1,
    )
    assert [item.code for item in record.rejected] == ["empty"]
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_gone_is_rejected(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", count=2, broken=False)
    shard = shard_of(tmp_path / "corpus")
    Path(shard.items[0].url).unlink()
    record = tokenize_shard(shard, MeanCodec(), config_of(tmp_path / "out"))
    assert [(item.id, item.code) for item in record.rejected] == [
        ("speaker0/000.flac", "unreadable")
    ]
    assert record.rows == 1


class BadCodec(MeanCodec):
    """Does to its results what a test says."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self._fault = fault

    def encode_stream(
        self, recordings: Iterable[Waveform], num_codebooks: int | None = None
    ) -> Iterator[EncodedAudio]:
        for index, encoded in enumerate(super().encode_stream(recordings, num_codebooks)):
            if index == 2 and self._fault == "stops":
                return
            if index == 2 and self._fault == "raises":
                raise RuntimeError("out of memory")
            if self._fault == "loses a frame":
                yield replace(encoded, codes=encoded.codes[:, :-1])
            elif self._fault == "loses a codebook":
                yield replace(encoded, codes=encoded.codes[:-1])
            else:
                yield encoded


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("raises", RuntimeError, "out of memory"),
        ("stops", RunFailedError, "mean gave no codes for 1 recordings"),
        ("loses a frame", RunFailedError, r"gave \(samples, codebooks, frames\) \(2400, 8, 7\)"),
        ("loses a codebook", RunFailedError, r"\(2400, 7, 8\) for .*, not \(2400, 8, 8\)"),
    ],
)
def test_a_codec_that_fails_publishes_nothing(
    tmp_path: Path, fault: str, error: type[Exception], message: str
) -> None:
    corpus = write_corpus(tmp_path / "corpus", broken=False)
    threads = threading.active_count()
    with pytest.raises(error, match=message):
        tokenize_shard(shard_of(corpus), BadCodec(fault), config_of(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    assert threading.active_count() == threads


def test_a_chunked_codec_keeps_a_scale_for_each_chunk(
    tmp_path: Path, chunked_codec_folder: Path
) -> None:
    codec = load_codec(str(chunked_codec_folder))
    lengths = [0.001, 0.5, 1.0, 2.3]
    paths = [write_noise(tmp_path / f"{s}.wav", s, 0) for s in lengths]
    record = tokenize_shard(shard_of(*paths), codec, config_of(tmp_path / "out"))
    rows = rows_of(tmp_path / "out", record)
    assert [row.num_samples for row in rows] == [48, 24000, 48000, 110400]
    for row in rows:
        assert row.scales is not None
        assert len(row.scales) == len(codec.spec.chunk_lengths(row.num_samples))
        assert row.codes.shape == (4, codec.spec.num_frames(row.num_samples))
        scales, codes = torch.from_numpy(row.scales), torch.from_numpy(row.codes.astype(np.int64))
        decoded = codec.decode(EncodedAudio(codes, scales, row.num_samples))
        assert decoded.shape == (2, row.num_samples)


def test_long_recordings_come_in_blocks(tmp_path: Path) -> None:
    """The codec sees no recording whole, however long."""
    longest = 0

    class Watching(MeanCodec):
        def encode_stream(
            self, recordings: Iterable[Waveform], num_codebooks: int | None = None
        ) -> Iterator[EncodedAudio]:
            def watched(blocks: Waveform) -> Iterator[torch.Tensor]:
                nonlocal longest
                for block_CS in blocks:
                    longest = max(longest, block_CS.shape[1])
                    yield block_CS

            yield from super().encode_stream(map(watched, recordings), num_codebooks)

    path = write_noise(tmp_path / "long.flac", 60, 0)
    record = tokenize_shard(shard_of(path), Watching(), config_of(tmp_path / "out"))
    assert record.seconds == 60
    assert 0 < longest < 6 * 24000
