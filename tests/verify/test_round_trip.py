"""Reading again, aligning, decoding: of rows long and short, whole and in pieces."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from codec import Codec, EncodedAudio, load_codec
from codec.errors import AudioShapeError
from tests.verify.runs import ScalarCodec, make_run, voice, write_voice
from tokenize_pipeline.records import SourceItem, TokenRow
from tokenize_pipeline.schema import read_part
from tokenize_pipeline.verification import round_trip
from tokenize_pipeline.verification.pairs import SampledRow, take
from tokenize_pipeline.verification.problems import Problem
from tokenize_pipeline.verification.round_trip import EncodedAgain, RoundTrip, measure_rows

CODEC = ScalarCodec()


def row_of(folder: Path, path: Path, codec: Codec = CODEC) -> TokenRow:
    run = make_run(folder / "out", codec, [path])
    return next(read_part(run.part_urls()[0]))


def item_of(row: TokenRow) -> SourceItem:
    """The file of a row as it is now."""
    return SourceItem(row.id, row.source, Path(row.source).stat().st_size, "")


def sampled(*rows: TokenRow) -> list[SampledRow]:
    return [SampledRow(row, "part", (item_of(row),)) for row in rows]


def measured(row: TokenRow, codec: Codec = CODEC) -> RoundTrip | Problem:
    (found,) = measure_rows(sampled(row), codec)
    return found


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
    found = measured(piece(row, 1000, 2000))
    assert isinstance(found, RoundTrip)
    assert found.scores["si_sdr"] is not None
    assert found.scores["si_sdr"] > 25
    assert (found.seconds, found.again) == (1.0, None)


def test_audio_shifted_by_one_frame_scores_badly(tmp_path: Path) -> None:
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 3, seed=1))
    late = replace(piece(row, 1000, 2000), start_sample=4004)
    found = measured(late)
    assert isinstance(found, RoundTrip)
    assert found.scores["si_sdr"] is not None
    assert found.scores["si_sdr"] < 10


def test_a_whole_recording_is_encoded_again(tmp_path: Path) -> None:
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 1, seed=1))
    codes = row.codes.copy()
    codes[:, :300] ^= 1
    found = measured(replace(row, codes=codes))
    assert isinstance(found, RoundTrip)
    assert found.again == EncodedAgain(8000, 1200, 0.0)
    assert str(found.problem) == "reencode_mismatch: a.flac: 1200 of 8000 codes differ (15.0%)"


def test_a_few_codes_may_differ(tmp_path: Path) -> None:
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 1, seed=1))
    codes = row.codes.copy()
    codes[0, :80] ^= 1
    found = measured(replace(row, codes=codes))
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
    found = measured(replace(row, scales=scales), codec)
    assert isinstance(found, RoundTrip)
    expected = "scales_differ: a.flac: a scale is off by 1.0%" if named else "None"
    assert str(found.problem) == expected


def test_fewer_codebooks_are_encoded_again_as_few(tmp_path: Path) -> None:
    codec = load_codec("tiny_24khz")
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 1, seed=1), codec)
    found = measured(replace(row, codes=row.codes[:2]), codec)
    assert isinstance(found, RoundTrip)
    assert found.again == EncodedAgain(150, 0, 0.0)


def test_a_long_recording_is_measured_by_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(round_trip, "EXCERPT_SECONDS", 1.5)
    codec = _CountingCodec("counting", normalizes=True)
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 6, seed=1), codec)
    found = measured(row, codec)
    assert isinstance(found, RoundTrip)
    assert (found.seconds, found.again) == (1.5, None)
    assert (codec.decoded_blocks, codec.decoded_together) == (2, 0)


@pytest.mark.parametrize("samples_more", [0, 1])
def test_a_recording_as_long_as_an_excerpt_is_compared_whole_and_no_longer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, samples_more: int
) -> None:
    monkeypatch.setattr(round_trip, "EXCERPT_SECONDS", 1.5)
    path = write_voice(tmp_path / "a.flac", 1.5 + samples_more / 8000, seed=1)
    found = measured(row_of(tmp_path, path))
    assert isinstance(found, RoundTrip)
    assert found.seconds == 1.5
    assert found.again == (None if samples_more else EncodedAgain(12_000, 0, 0.0))


@pytest.mark.parametrize("group_seconds", [0, 2, 5])
def test_rows_measure_the_same_in_any_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group_seconds: int
) -> None:
    """Also where some are long, some are pieces, and one lost its original."""
    monkeypatch.setattr(round_trip, "EXCERPT_SECONDS", 1.5)
    codec = load_codec("tiny_24khz", threads=2)
    lengths = [0.3, 1.2, 2.2, 0.9, 1.5, 1.8, 0.1, 1.0, 0.4, 0.8, 0.5]
    files = [write_voice(tmp_path / f"{n}.flac", s, n) for n, s in enumerate(lengths)]
    run = make_run(tmp_path / "out", codec, files, files_per_shard=len(files))
    rows = list(read_part(run.part_urls()[0]))
    rows[3] = replace(rows[3], start_sample=2400, num_samples=10 * 320, codes=rows[3].codes[:, :10])
    given = sampled(*rows)
    files[7].unlink()
    together = list(measure_rows(given, codec))
    assert [isinstance(found, Problem) for found in together] == [n == 7 for n in range(11)]
    again = [found.again is not None for found in together if isinstance(found, RoundTrip)]
    assert again == [True, True, False, False, True, False, True, True, True, True]
    monkeypatch.setattr(round_trip, "GROUP_BYTES", group_seconds * 24000 * 8)
    assert list(measure_rows(given, codec)) == together


def test_groups_hold_what_they_may_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are taken as they are needed, without those that were read with them."""
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 1, seed=1))
    row_bytes = row.codes.nbytes + 2 * 4 * 8000
    monkeypatch.setattr(round_trip, "GROUP_BYTES", 3 * row_bytes)
    taken = 0

    def rows() -> Iterator[SampledRow]:
        nonlocal taken
        for one in sampled(row) * 7:
            taken += 1
            yield one

    groups = round_trip._groups(rows(), CODEC.spec)
    first = next(groups)
    assert (len(first), taken) == (3, 4)
    assert not any(np.shares_memory(one.row.codes, row.codes) for one in first)
    assert [len(group) for group in groups] == [3, 1]
    monkeypatch.setattr(round_trip, "GROUP_BYTES", 0)
    assert [len(group) for group in round_trip._groups(rows(), CODEC.spec)] == [1] * 7


def test_what_the_codec_refuses_is_named(tmp_path: Path) -> None:
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 1, seed=1))
    assert measured(row, _RefusingCodec()) == Problem("undecodable_row", "a.flac", "not today")


def test_what_the_codec_refuses_keeps_no_other_row_from_being_measured(tmp_path: Path) -> None:
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 1, seed=1))
    short = piece(row, 0, 10)
    found = list(measure_rows(sampled(row, short, row), _RefusingCodec(num_samples=40)))
    assert [type(one) for one in found] == [RoundTrip, Problem, RoundTrip]
    assert found[1] == Problem("undecodable_row", "a.flac", "not today")


def test_decoded_audio_that_is_not_finite_is_named(tmp_path: Path) -> None:
    codec = ScalarCodec("n", normalizes=True)
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 1, seed=1), codec)
    broken = replace(row, scales=row.scales * float("nan") if row.scales is not None else None)
    found = measured(broken, codec)
    assert isinstance(found, Problem)
    assert found.code == "decoded_not_finite"


def test_decoded_audio_of_another_length_is_named(tmp_path: Path) -> None:
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 1, seed=1))
    found = measured(replace(row, codes=row.codes[:, :-100]))
    assert found == Problem(
        "undecodable_row", "a.flac", "7600 samples came out, 8000 are in the row"
    )


@pytest.mark.parametrize("content", [b"", b"RIFF no audio"])
def test_an_original_that_is_no_audio_any_more_is_named(tmp_path: Path, content: bytes) -> None:
    path = write_voice(tmp_path / "a.flac", 1, seed=1)
    row = row_of(tmp_path, path)
    path.write_bytes(content)
    found = measured(row)
    assert isinstance(found, Problem)
    assert (found.code, found.where) == ("source_unavailable", "a.flac")


def test_the_voice_of_the_tests_is_heard() -> None:
    assert voice(1, seed=1).abs().max() > 0.1


class _CountingCodec(ScalarCodec):
    """Counts the blocks that were asked for, and the rows that were decoded with others."""

    decoded_blocks = 0
    decoded_together = 0

    def decode_batch(self, recordings: Iterable[EncodedAudio]) -> Iterator[Tensor]:
        for recording in recordings:
            self.decoded_together += 1
            yield self.decode(recording)

    def decode_stream(self, encoded: EncodedAudio) -> Iterator[Tensor]:
        for block in super().decode_stream(encoded):
            self.decoded_blocks += 1
            yield block


class _RefusingCodec(ScalarCodec):
    """Decodes nothing of a length."""

    def __init__(self, num_samples: int = 8000) -> None:
        super().__init__()
        self._num_samples = num_samples

    def decode_stream(self, encoded: EncodedAudio) -> Iterator[Tensor]:
        if encoded.num_samples == self._num_samples:
            raise AudioShapeError("not today")
        return super().decode_stream(encoded)
