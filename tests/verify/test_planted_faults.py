"""Real recordings in tokens; every fault that is planted in them is found by its name, and exits 3.

All that a fault does not touch is put right again: hashes, sizes and counts agree with the rows.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from codec import Codec, load_codec
from codec.encodec import EncodecModel
from codec.encodec.config import ENCODEC_48KHZ
from tests.verify.runs import encode_row, make_run, recommit, with_codes
from tokenize_pipeline.audio import flac_bytes, open_audio
from tokenize_pipeline.cli import main
from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.records import TokenRow
from tokenize_pipeline.schema import read_part
from tokenize_pipeline.verification.result import VerifyResult
from tokenize_pipeline.verification.scorecard import METRICS
from tokenize_pipeline.verification.settings import VerifyConfig
from tokenize_pipeline.verify import verify_run

Rows = list[TokenRow]
Fault = Callable[[Rows], Rows]


def excerpts(files: list[Path], folder: Path, seconds: float, count: int) -> list[Path]:
    """The loudest stretch of some recordings, at 24 kHz."""
    folder.mkdir()
    made: list[Path] = []
    length = round(seconds * 24_000)
    for path in files[:: max(1, len(files) // (2 * count))]:
        with path.open("rb") as file:
            audio = torch.cat(list(open_audio(file, path.name, 24_000, 1).blocks()), dim=1)
        if audio.shape[1] >= length and len(made) < count:
            start = int(audio.abs().argmax()) - length // 2
            start = max(0, min(start, audio.shape[1] - length))
            made.append(folder / f"{folder.name}-{len(made)}.flac")
            made[-1].write_bytes(flac_bytes(audio[:, start : start + length], 24_000))
    assert len(made) == count
    return made


def small_codec(folder: Path, seed: int) -> Codec:
    """Built like EnCodec at 48 kHz, with random weights.

    It need not be trained: its last normalization gives the decoder the level of normalized audio,
    so decoded audio is as loud as the scales say.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = replace(ENCODEC_48KHZ, num_filters=2, hidden_size=16, codebook_dim=16)
        model = EncodecModel(config)
        for index in range(len(model.quantizer)):
            torch.nn.init.normal_(model.quantizer[index].embed, std=0.5)
        model.save_pretrained(folder)
    return load_codec(str(folder))


@pytest.fixture(scope="module")
def tiny_run(
    speech_files: list[Path], music_files: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> RunFolder:
    """Speech and music in tokens of the embedded codec: two shards of three."""
    folder = tmp_path_factory.mktemp("tiny")
    files = [
        *excerpts(music_files, folder / "music", seconds=3.0, count=3),
        *excerpts(speech_files, folder / "speech", seconds=3.0, count=3),
    ]
    return make_run(folder / "out", load_codec("tiny_24khz"), files)


@pytest.fixture(scope="module")
def scaled_run(music_files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Music in tokens of a chunked codec with scales: two shards of two."""
    folder = tmp_path_factory.mktemp("scaled")
    files = excerpts(music_files, folder / "audio", seconds=2.5, count=4)
    codec = small_codec(folder / "codec", seed=0)
    return make_run(folder / "out", codec, files, files_per_shard=2)


def verified(folder: RunFolder, fault: Fault | None = None, **values: object) -> VerifyResult:
    """Verify a run whose last shard was changed, then put that shard back."""
    rows = list(read_part(folder.part_urls()[-1]))
    before = folder.commits()[1]
    recommit(folder, 1, rows if fault is None else fault(rows))
    folder.commit(replace(folder.commits()[1], recordings=before.recordings))
    try:
        result = verify_run(VerifyConfig(folder.url, **values))  # type: ignore[arg-type]
        written = json.loads(Path(result.json_url).read_text("utf-8"))
        assert written["problems"]["counts"] == dict(result.log.counts)
        assert written["exit_code"] == result.exit_code
        return result
    finally:
        recommit(folder, 1, rows)


def every(change: Callable[[TokenRow], TokenRow]) -> Fault:
    return lambda rows: [change(row) for row in rows]


def swap(row: TokenRow) -> TokenRow:
    return with_codes(row, row.codes[[1, 0, *range(2, len(row.codes))]])


def repeat_one_code(row: TokenRow) -> TokenRow:
    return with_codes(row, np.repeat(row.codes[:, 40:41], row.codes.shape[1], axis=1))


def repeat_in_one_codebook(row: TokenRow) -> TokenRow:
    codes = row.codes.copy()
    codes[3] = 17
    return with_codes(row, codes)


def one_frame_late(row: TokenRow) -> TokenRow:
    return with_codes(row, np.roll(row.codes, 1, axis=1))


def of_audio_one_frame_late(row: TokenRow) -> TokenRow:
    """The tokens of the recording behind a frame of silence, at the same length."""
    codec = load_codec("tiny_24khz")
    with Path(row.source).open("rb") as file:
        audio = torch.cat(list(open_audio(file, row.id, 24_000, 1).blocks()), dim=1)
    late = torch.cat([torch.zeros(1, 320), audio], dim=1)[:, : audio.shape[1]]
    return with_codes(row, codec.encode(late, len(row.codes)).codes.numpy().astype(np.uint16))


def of_other_weights(row: TokenRow) -> TokenRow:
    """The tokens of a codec of the same shape with other weights."""
    codec = load_codec("tiny_24khz")
    assert hasattr(codec, "_model")
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        for weight in codec._model.parameters():
            weight.add_(weight.std() * torch.randn_like(weight) if weight.numel() > 1 else 0)
    return replace(encode_row(row, codec))


def frames_as_codebooks(row: TokenRow) -> TokenRow:
    """[T, K] written where [K, T] belongs."""
    return with_codes(row, row.codes.T.reshape(row.codes.shape))


@pytest.mark.parametrize("deep", [False, True])
def test_sound_tokens_have_no_problem(
    tiny_run: RunFolder, scaled_run: RunFolder, deep: bool
) -> None:
    for run in (tiny_run, scaled_run):
        result = verified(run, deep=deep)
        assert (list(result.log), result.exit_code) == ([], 0)
        assert result.reencoded()["codes_differing"] == 0
        assert result.reencoded()["rows"] == (result.totals.rows if deep else 2)


@pytest.mark.parametrize(
    ("change", "name", "deep"),
    [
        (swap, "codebooks_swapped", False),
        (one_frame_late, "audio_shifted", False),
        (of_audio_one_frame_late, "audio_shifted", False),
        (of_other_weights, "other_weights", False),
        (repeat_one_code, "constant_codes", False),
        (repeat_one_code, "constant_codes", True),
        (frames_as_codebooks, "other_weights", True),
    ],
)
def test_faults_of_a_shard_are_found_by_their_names(
    tiny_run: RunFolder, change: Callable[[TokenRow], TokenRow], name: str, deep: bool
) -> None:
    result = verified(tiny_run, every(change), deep=deep)
    found = set(result.log.counts) - {"limit_exceeded"}
    assert found == {name}, list(map(str, result.log))
    assert result.exit_code == 3
    assert any(line.startswith(f"problem  {name}: ") for line in result.summary_lines())
    assert name in Path(result.report_url).read_text("utf-8")


@pytest.mark.parametrize("change", [repeat_one_code, repeat_in_one_codebook])
def test_one_row_that_repeats_itself_is_found_at_any_fraction(
    tiny_run: RunFolder, change: Callable[[TokenRow], TokenRow]
) -> None:
    result = verified(tiny_run, lambda rows: [*rows[:1], change(rows[1]), *rows[2:]], fraction=0.0)
    assert set(result.log.counts) == {"constant_codes"}
    assert [problem.where for problem in result.log] == ["speech-1.flac"]


def test_a_row_that_is_there_twice_is_named(tiny_run: RunFolder) -> None:
    result = verified(tiny_run, lambda rows: [*rows, rows[0]])
    assert result.log.counts["id_twice"] == 1
    assert set(result.log.counts) == {"id_twice", "recording_lost"}
    assert result.exit_code == 3


def test_a_flipped_byte_is_named_wherever_it_is(tiny_run: RunFolder) -> None:
    path = Path(tiny_run.part_urls()[1])
    whole = path.read_bytes()
    try:
        for place in (4, len(whole) // 3, len(whole) // 2, len(whole) - 40):
            data = bytearray(whole)
            data[place] ^= 0x10
            path.write_bytes(data)
            result = verify_run(VerifyConfig(tiny_run.url, fraction=0.0))
            assert set(result.log.counts) <= {"part_damaged", "part_of_other_codec"}
            assert result.log.counts["part_damaged"] >= 1, place
            assert result.exit_code == 3
    finally:
        path.write_bytes(whole)


def test_bytes_that_are_sound_parquet_but_not_those_committed_are_named(
    tiny_run: RunFolder,
) -> None:
    path = Path(tiny_run.part_urls()[1])
    record = tiny_run.commits()[1]
    tiny_run.commit(replace(record, sha256=hashlib.sha256(b"another").hexdigest()))
    try:
        assert set(verify_run(VerifyConfig(tiny_run.url)).log.counts) == {"part_damaged"}
    finally:
        tiny_run.commit(record)
    assert path.is_file()


def without_scales(row: TokenRow) -> TokenRow:
    return replace(row, scales=None)


def with_scales_of_one(row: TokenRow) -> TokenRow:
    assert row.scales is not None
    return replace(row, scales=np.ones_like(row.scales))


def with_doubled_scales(row: TokenRow) -> TokenRow:
    assert row.scales is not None
    return replace(row, scales=2 * row.scales)


def without_a_chunk(row: TokenRow) -> TokenRow:
    """The codes of the second chunk are gone."""
    return with_codes(row, np.delete(row.codes, range(150, 300), axis=1))


def without_a_chunk_and_all_counts_put_right(row: TokenRow) -> TokenRow:
    assert row.scales is not None
    codes = np.delete(row.codes, range(150, 300), axis=1)
    return replace(
        row,
        codes=codes,
        num_frames=codes.shape[1],
        num_samples=row.num_samples - 47_520,
        scales=np.delete(row.scales, 1),
    )


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (without_scales, {"scales_dropped"}),
        (with_scales_of_one, {"scales_dropped"}),
        (with_doubled_scales, {"scales_differ"}),
        (without_a_chunk, {"chunk_lost"}),
        (without_a_chunk_and_all_counts_put_right, {"audio_lost"}),
        (swap, {"codebooks_swapped"}),
    ],
)
def test_faults_of_chunks_and_scales_are_found_by_their_names(
    scaled_run: RunFolder, change: Callable[[TokenRow], TokenRow], names: set[str]
) -> None:
    result = verified(scaled_run, every(change))
    assert set(result.log.counts) == names, list(map(str, result.log))
    assert result.exit_code == 3


def test_wrong_scales_are_heard(scaled_run: RunFolder) -> None:
    def loudness_difference(result: VerifyResult) -> float:
        (metric,) = [metric for metric in METRICS if metric.name == "loudness_difference"]
        statistics = result.statistics_of(metric)
        assert statistics is not None
        return statistics.worst

    good = loudness_difference(verified(scaled_run, deep=True))
    bad = loudness_difference(verified(scaled_run, every(with_doubled_scales), deep=True))
    assert bad == pytest.approx(good + 6, abs=3)


def test_swapped_codebooks_are_past_the_limits_of_quality(tiny_run: RunFolder) -> None:
    rows = [list(read_part(url)) for url in tiny_run.part_urls()]
    for shard, of_shard in enumerate(rows):
        recommit(tiny_run, shard, [swap(row) for row in of_shard])
    try:
        result = verify_run(VerifyConfig(tiny_run.url, deep=True))
    finally:
        for shard, of_shard in enumerate(rows):
            recommit(tiny_run, shard, of_shard)
    past = {problem.where for problem in result.log if problem.code == "limit_exceeded"}
    assert past >= {"si_sdr", "log_mel_distance"}


def test_the_command_exits_with_3_and_says_the_name(
    tiny_run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = list(read_part(tiny_run.part_urls()[1]))
    recommit(tiny_run, 1, [swap(row) for row in rows])
    try:
        assert main(["verify", tiny_run.url]) == 3
    finally:
        recommit(tiny_run, 1, rows)
    printed = capsys.readouterr().out
    assert "problem  codebooks_swapped: speech-" in printed
    assert "codebooks 0, 1 hold those of 1, 0" in printed
