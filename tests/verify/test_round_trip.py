"""Reading again, aligning, decoding: of rows long and short, whole and in pieces."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from codec import Codec, EncodedAudio, load_codec
from codec.errors import AudioShapeError
from tests.verify.runs import ScalarCodec, make_run, voice, write_voice
from tokenize_pipeline.audio import AudioReader, open_audio
from tokenize_pipeline.records import SourceItem, TokenRow
from tokenize_pipeline.schema import read_part
from tokenize_pipeline.verification import originals, round_trip
from tokenize_pipeline.verification.excerpts import Excerpt, cut
from tokenize_pipeline.verification.originals import take
from tokenize_pipeline.verification.problems import Problem
from tokenize_pipeline.verification.round_trip import EncodedAgain, RoundTrip, measure

CODEC = ScalarCodec()


def row_of(folder: Path, path: Path, codec: Codec = CODEC) -> TokenRow:
    run = make_run(folder / "out", codec, [path])
    return next(read_part(run.part_urls()[0]))


def item_of(row: TokenRow) -> SourceItem:
    """The file of a row as it is now."""
    path = Path(row.source)
    return SourceItem(row.id, row.source, path.stat().st_size if path.exists() else 0, "")


def excerpts(rows: Sequence[TokenRow], codec: Codec, seconds: float = 30.0) -> list[Excerpt]:
    samples = round(seconds * codec.spec.sample_rate)
    return [cut(row, codec.spec, samples) for row in rows]


def measured(
    row: TokenRow, codec: Codec = CODEC, *, ends_recording: bool = True, seconds: float = 30.0
) -> RoundTrip | Problem:
    (excerpt,) = excerpts([row], codec, seconds)
    excerpt = replace(excerpt, ends_recording=ends_recording)
    (found,) = measure([excerpt], [item_of(row)], codec)
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
    spans=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=3),
    to_the_end=st.booleans(),
)
def test_taken_stretches_are_slices_of_the_blocks_joined(
    lengths: list[int], spans: list[tuple[int, int]], to_the_end: bool
) -> None:
    whole = torch.arange(2 * sum(lengths), dtype=torch.float32).reshape(2, -1)
    ranges = [range(start, start + length) for start, length in spans]
    taken, read = take(whole.split(lengths, dim=1), ranges, 2, to_the_end=to_the_end)
    for stretch, span in zip(taken, ranges, strict=True):
        assert torch.equal(stretch, whole[:, span.start : span.stop])
    if to_the_end:
        assert read == whole.shape[1]


def test_take_reads_no_further_than_it_needs() -> None:
    def blocks() -> Iterator[Tensor]:
        yield torch.zeros(1, 10)
        yield torch.ones(1, 10)
        raise AssertionError("a block too many was read")

    (taken,), read = take(blocks(), [range(5, 20)], 1, to_the_end=False)
    assert (float(taken.sum()), read) == (10.0, 20)


def test_a_piece_of_a_recording_is_compared_where_it_lies(tmp_path: Path) -> None:
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 3, seed=1))
    found = measured(piece(row, 1000, 2000), ends_recording=False)
    assert isinstance(found, RoundTrip)
    assert found.scores["si_sdr"] is not None
    assert found.scores["si_sdr"] > 25
    assert (found.seconds, found.again, found.diagnosis) == (1.0, None, None)


def test_a_piece_that_is_shifted_is_heard(tmp_path: Path) -> None:
    """It cannot be encoded again, but its audio says how far it is off."""
    codec = load_codec("tiny_24khz")
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 4, seed=1), codec)
    codes = row.codes[:, 74:224]
    late = replace(row, codes=codes, num_frames=150, num_samples=48_000, start_sample=24_000)
    found = measured(late, codec, ends_recording=False)
    assert isinstance(found, RoundTrip)
    assert found.diagnosis is not None
    assert found.diagnosis.code == "audio_shifted"
    assert found.diagnosis.detail == "1 frame late (+320 samples)"


def test_a_whole_recording_is_encoded_again(tmp_path: Path) -> None:
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 1, seed=1))
    codes = row.codes.copy()
    codes[:, :300] ^= 1
    found = measured(replace(row, codes=codes))
    assert isinstance(found, RoundTrip)
    assert found.again == EncodedAgain(8000, 1200, 0.0)
    assert not found.again.agrees
    assert found.diagnosis is None


def test_a_few_codes_may_differ(tmp_path: Path) -> None:
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 1, seed=1))
    codes = row.codes.copy()
    codes[0, :80] ^= 1
    found = measured(replace(row, codes=codes))
    assert isinstance(found, RoundTrip)
    assert found.again == EncodedAgain(8000, 80, 0.0)
    assert found.again.agrees


def test_scales_that_are_not_those_of_the_audio_are_measured(tmp_path: Path) -> None:
    codec = ScalarCodec("n", normalizes=True)
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 2.5, seed=1), codec)
    assert row.scales is not None
    scales = row.scales.copy()
    scales[1] *= 1.01
    found = measured(replace(row, scales=scales), codec)
    assert isinstance(found, RoundTrip)
    assert found.again is not None
    assert found.again.scale_error == pytest.approx(0.01, rel=1e-3)


def test_fewer_codebooks_are_encoded_again_as_few(tmp_path: Path) -> None:
    codec = load_codec("tiny_24khz")
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 1, seed=1), codec)
    found = measured(replace(row, codes=row.codes[:2]), codec)
    assert isinstance(found, RoundTrip)
    assert found.again == EncodedAgain(150, 0, 0.0)


@pytest.mark.parametrize("seconds", [1.0, 2.0])
def test_the_beginning_of_a_recording_has_the_codes_of_the_whole(
    tmp_path: Path, seconds: float
) -> None:
    """Decoded and encoded again alone, bit for bit: the codec looks at nothing that comes later."""
    codec = load_codec("tiny_24khz")
    path = write_voice(tmp_path / "a.flac", 3.3, seed=1)
    row = row_of(tmp_path, path, codec)
    (excerpt,) = excerpts([row], codec, seconds)
    whole = codec.decode(cut(row, codec.spec, 1 << 30).encoded())
    assert torch.equal(codec.decode(excerpt.encoded()), whole[:, : excerpt.num_samples])
    found = measured(row, codec, seconds=seconds)
    assert isinstance(found, RoundTrip)
    assert (found.seconds, found.again) == (seconds, EncodedAgain(int(600 * seconds), 0, 0.0))


@pytest.mark.parametrize(("seconds", "compared"), [(0.5, 1.0), (1.0, 1.0), (2.9, 2.0), (9.0, 3.3)])
def test_chunks_are_compared_whole(tmp_path: Path, seconds: float, compared: float) -> None:
    codec = ScalarCodec("n", normalizes=True)
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 3.3, seed=1), codec)
    found = measured(row, codec, seconds=seconds)
    assert isinstance(found, RoundTrip)
    assert found.seconds == compared
    assert found.again == EncodedAgain(round(8000 * compared), 0, 0.0)


@pytest.mark.parametrize("group_seconds", [0, 2, 5])
def test_rows_measure_the_same_in_any_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group_seconds: int
) -> None:
    """Also where some are cut, some are pieces, and one lost its original."""
    codec = load_codec("tiny_24khz", threads=2)
    lengths = [0.3, 1.2, 2.2, 0.9, 1.8, 0.1, 1.0, 0.4]
    files = [write_voice(tmp_path / f"{n}.flac", s, n) for n, s in enumerate(lengths)]
    run = make_run(tmp_path / "out", codec, files, files_per_shard=len(files))
    rows = list(read_part(run.part_urls()[0]))
    rows[3] = replace(rows[3], start_sample=2400, num_samples=10 * 320, codes=rows[3].codes[:, :10])
    files[6].unlink()
    items = run.plan()[0].items
    together = list(measure(excerpts(rows, codec, 1.0), items, codec))
    assert [isinstance(found, Problem) for found in together] == [n == 6 for n in range(8)]
    again = [found.again is not None for found in together if isinstance(found, RoundTrip)]
    assert again == [True, True, True, False, True, True, True]
    monkeypatch.setattr(round_trip, "GROUP_BYTES", group_seconds * 24000 * 8)
    assert list(measure(excerpts(rows, codec, 1.0), items, codec)) == together


def test_groups_hold_what_they_may_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 1, seed=1))
    row_bytes = row.codes.nbytes + 2 * 4 * 8000
    monkeypatch.setattr(round_trip, "GROUP_BYTES", 3 * row_bytes)
    seven = excerpts([row] * 7, CODEC)
    assert [len(group) for group in round_trip._groups(seven, CODEC.spec)] == [3, 3, 1]
    monkeypatch.setattr(round_trip, "GROUP_BYTES", 0)
    assert [len(group) for group in round_trip._groups(seven, CODEC.spec)] == [1] * 7


def test_an_excerpt_holds_no_more_codes_than_it_needs(tmp_path: Path) -> None:
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 3, seed=1))
    (excerpt,) = excerpts([row], CODEC, 1.0)
    assert excerpt.codes.shape == (4, 2000)
    assert not np.shares_memory(excerpt.codes, row.codes)
    (long,) = excerpts([row], CODEC, 2.0)
    shortened = long.shortened(CODEC.spec, 8000)
    assert np.array_equal(shortened.codes, excerpt.codes)
    assert (shortened.coded_samples, shortened.num_samples) == (8000, 8000)


def test_a_recording_that_goes_on_is_measured(tmp_path: Path) -> None:
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 3, seed=1))
    short = piece(row, 0, 4000)
    found = measured(short)
    assert isinstance(found, RoundTrip)
    assert found.samples_after == 8000
    not_last = measured(short, ends_recording=False)
    assert isinstance(not_last, RoundTrip)
    assert not_last.samples_after == 0


def test_what_the_codec_refuses_keeps_no_other_row_from_being_measured(tmp_path: Path) -> None:
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 1, seed=1))
    short = replace(piece(row, 0, 10), id="short")
    codec = _RefusingCodec(num_samples=40)
    given = [replace(e, ends_recording=False) for e in excerpts([row, short, row], codec)]
    found = list(measure(given, [item_of(row)], codec))
    assert [type(one) for one in found] == [RoundTrip, Problem, RoundTrip]
    assert found[1] == Problem("undecodable_row", "short", "not today")


def test_decoded_audio_that_is_not_finite_is_named(tmp_path: Path) -> None:
    codec = ScalarCodec("n", normalizes=True)
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 1, seed=1), codec)
    assert row.scales is not None
    found = measured(replace(row, scales=row.scales * float("nan")), codec)
    assert isinstance(found, Problem)
    assert found.code == "decoded_not_finite"


@pytest.mark.parametrize("content", [b"", b"RIFF no audio"])
def test_an_original_that_is_no_audio_any_more_is_named(tmp_path: Path, content: bytes) -> None:
    path = write_voice(tmp_path / "a.flac", 1, seed=1)
    row = row_of(tmp_path, path)
    path.write_bytes(content)
    found = measured(row)
    assert isinstance(found, Problem)
    assert (found.code, found.where) == ("source_unavailable", "a.flac")


def test_a_recording_is_read_once_for_all_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = row_of(tmp_path, write_voice(tmp_path / "a.flac", 3, seed=1))
    opened = []

    def open_counted(*arguments: Any) -> AudioReader:
        opened.append(arguments[1])
        return open_audio(*arguments)

    monkeypatch.setattr(originals, "open_audio", open_counted)
    rows = [piece(row, first, 500) for first in (0, 1500, 4000)]
    given = [replace(one, ends_recording=False) for one in excerpts(rows, CODEC)]
    found = list(measure(given, [item_of(row)], CODEC))
    assert all(isinstance(one, RoundTrip) for one in found)
    assert opened == ["a.flac"]


def test_the_voice_of_the_tests_is_heard() -> None:
    assert voice(1, seed=1).abs().max() > 0.1


class _RefusingCodec(ScalarCodec):
    """Decodes nothing of a length."""

    def __init__(self, num_samples: int) -> None:
        super().__init__()
        self._num_samples = num_samples

    def decode_batch(self, recordings: Iterable[EncodedAudio]) -> Iterator[Tensor]:
        return map(self.decode, recordings)

    def decode_stream(self, encoded: EncodedAudio) -> Iterator[Tensor]:
        if encoded.num_samples == self._num_samples:
            raise AudioShapeError("not today")
        return super().decode_stream(encoded)
