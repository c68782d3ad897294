"""Reading again, aligning, decoding: of rows long and short, whole and in pieces."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from codec import EncodedAudio
from codec.errors import AudioShapeError
from tests.verify.runs import ScalarCodec, make_run, voice, write_voice
from tokenize_pipeline.records import SourceItem, TokenRow
from tokenize_pipeline.schema import read_part
from tokenize_pipeline.verification import round_trip
from tokenize_pipeline.verification.problems import Problem
from tokenize_pipeline.verification.round_trip import (
    EncodedAgain,
    Pair,
    RoundTrip,
    decode_pair,
    measure_row,
    take,
)

CODEC = ScalarCodec()


def row_of(folder: Path, path: Path, codec: ScalarCodec = CODEC) -> TokenRow:
    run = make_run(folder / "out", codec, [path])
    return next(read_part(run.part_urls()[0]))


def item_of(row: TokenRow) -> SourceItem:
    """The file of a row as it is now."""
    return SourceItem(row.id, row.source, Path(row.source).stat().st_size, "")


def piece(row: TokenRow, first_frame: int, frames: int) -> TokenRow:
    """Frames of a row as a row of their own."""
    return replace(
        row,
        codes=row.codes[:, first_frame : first_frame + frames],
        num_frames=frames,
        num_samples=frames * 4,
        start_sample=row.start_sample + first_frame * 4,
    )


@given(
    lengths=st.lists(st.integers(0, 7), max_size=8),
    start=st.integers(0, 20),
    length=st.integers(0, 20),
)
def test_take_is_a_slice_of_the_blocks_joined(lengths: list[int], start: int, length: int) -> None:
    whole = torch.arange(2 * sum(lengths), dtype=torch.float32).reshape(2, -1)
    taken = take(whole.split(lengths, dim=1), start, length, 2)
    assert torch.equal(taken, whole[:, start : start + length])


def test_take_reads_no_further_than_it_needs() -> None:
    def blocks() -> Iterator[Tensor]:
        yield torch.zeros(1, 10)
        yield torch.ones(1, 10)
        raise AssertionError("a block too many was read")

    assert take(blocks(), 5, 15, 1).sum() == 10


def test_a_piece_of_a_recording_is_compared_where_it_lies(tmp_path: Path) -> None:
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 3, seed=1))
    found = measure_row(piece(row, 1000, 2000), (item_of(row),), "part", CODEC)
    assert isinstance(found, RoundTrip)
    assert found.scores["si_sdr"] is not None
    assert found.scores["si_sdr"] > 25
    assert (found.seconds, found.again) == (1.0, None)


def test_audio_shifted_by_one_frame_scores_badly(tmp_path: Path) -> None:
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 3, seed=1))
    late = replace(piece(row, 1000, 2000), start_sample=4004)
    found = measure_row(late, (item_of(row),), "part", CODEC)
    assert isinstance(found, RoundTrip)
    assert found.scores["si_sdr"] is not None
    assert found.scores["si_sdr"] < 10


def test_a_whole_recording_is_encoded_again(tmp_path: Path) -> None:
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 1, seed=1))
    codes = row.codes.copy()
    codes[:, :300] ^= 1
    found = measure_row(replace(row, codes=codes), (item_of(row),), "part", CODEC)
    assert isinstance(found, RoundTrip)
    assert found.again == EncodedAgain(8000, 1200, 0.0)
    assert str(found.problem) == "reencode_mismatch: a.flac: 1200 of 8000 codes differ (15.0%)"


def test_a_few_codes_may_differ(tmp_path: Path) -> None:
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 1, seed=1))
    codes = row.codes.copy()
    codes[0, :80] ^= 1
    found = measure_row(replace(row, codes=codes), (item_of(row),), "part", CODEC)
    assert isinstance(found, RoundTrip)
    assert found.again == EncodedAgain(8000, 80, 0.0)
    assert found.problem is None


@pytest.mark.parametrize(("factor", "named"), [(1.0, False), (1.0005, False), (1.01, True)])
def test_scales_that_are_not_those_of_the_audio_are_named(
    tmp_path: Path, factor: float, named: bool
) -> None:
    codec = ScalarCodec("n", normalizes=True)
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 2.5, seed=1), codec)
    assert row.scales is not None
    scales = row.scales.copy()
    scales[1] *= factor
    found = measure_row(replace(row, scales=scales), (item_of(row),), "part", codec)
    assert isinstance(found, RoundTrip)
    expected = "scales_differ: a.flac: a scale is off by 1.0%" if named else "None"
    assert str(found.problem) == expected


def test_fewer_codebooks_are_encoded_again_as_few(tmp_path: Path) -> None:
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 1, seed=1))
    pair = decode_pair(row, [item_of(row)], CODEC, 30)
    assert isinstance(pair, Pair)
    fewer = replace(row, codes=row.codes[:2])
    assert round_trip._encode_again(fewer, pair, CODEC) == EncodedAgain(4000, 0, 0.0)


def test_a_long_recording_is_measured_by_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(round_trip, "EXCERPT_SECONDS", 1.5)
    codec = _CountingCodec("counting", normalizes=True)
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 6, seed=1), codec)
    found = measure_row(row, (item_of(row),), "part", codec)
    assert isinstance(found, RoundTrip)
    assert (found.seconds, found.again) == (1.5, None)
    assert codec.decoded_blocks == 2


def test_what_the_codec_refuses_is_named(tmp_path: Path) -> None:
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 1, seed=1))
    assert measure_row(row, (item_of(row),), "part", _RefusingCodec()) == Problem(
        "undecodable_row", "a.flac", "not today"
    )


def test_decoded_audio_that_is_not_finite_is_named(tmp_path: Path) -> None:
    codec = ScalarCodec("n", normalizes=True)
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 1, seed=1), codec)
    broken = replace(row, scales=row.scales * float("nan") if row.scales is not None else None)
    found = measure_row(broken, (item_of(row),), "part", codec)
    assert isinstance(found, Problem)
    assert found.code == "decoded_not_finite"


def test_decoded_audio_of_another_length_is_named(tmp_path: Path) -> None:
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 1, seed=1))
    found = measure_row(replace(row, codes=row.codes[:, :-100]), (item_of(row),), "part", CODEC)
    assert found == Problem(
        "undecodable_row", "a.flac", "7600 samples came out, 8000 are in the row"
    )


@pytest.mark.parametrize("content", [b"", b"RIFF no audio"])
def test_an_original_that_is_no_audio_any_more_is_named(tmp_path: Path, content: bytes) -> None:
    path = write_voice(tmp_path / "a.flac", 1, seed=1)
    row = row_of(tmp_path, path)
    path.write_bytes(content)
    found = measure_row(row, (item_of(row),), "part", CODEC)
    assert isinstance(found, Problem)
    assert (found.code, found.where) == ("source_unavailable", "a.flac")


def test_the_voice_of_the_tests_is_heard() -> None:
    assert voice(1, seed=1).abs().max() > 0.1


class _CountingCodec(ScalarCodec):
    """Counts the blocks that were asked for."""

    decoded_blocks = 0

    def decode_stream(self, encoded: EncodedAudio) -> Iterator[Tensor]:
        for block in super().decode_stream(encoded):
            self.decoded_blocks += 1
            yield block


class _RefusingCodec(ScalarCodec):
    """Decodes nothing."""

    def decode_stream(self, encoded: EncodedAudio) -> Iterator[Tensor]:
        del encoded  # whatever it is
        raise AudioShapeError("not today")
