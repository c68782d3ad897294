"""Tokens that are wrong in a way no schema sees make the figures collapse."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from codec import load_codec
from codec.encodec import EncodecModel
from codec.encodec.config import ENCODEC_48KHZ
from tests.verify.runs import make_run, recommit, with_codes
from tokenize_pipeline.audio import flac_bytes, open_audio
from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.records import TokenRow
from tokenize_pipeline.schema import read_part
from tokenize_pipeline.verification.result import VerifyResult
from tokenize_pipeline.verification.scorecard import METRICS
from tokenize_pipeline.verify import verify_run

Change = Callable[[TokenRow], TokenRow]


def excerpts(files: list[Path], folder: Path, seconds: float, count: int) -> list[Path]:
    """The loudest stretch of some recordings, at 24 kHz."""
    folder.mkdir()
    made = []
    for number, path in enumerate(files[:: max(1, len(files) // count)][:count]):
        with path.open("rb") as file:
            audio = torch.cat(list(open_audio(file, path.name, 24_000, 1).blocks()), dim=1)
        loudest = int(audio.abs().argmax())
        start = max(0, loudest - round(seconds * 12_000))
        made.append(folder / f"{number}.flac")
        piece = audio[:, start : start + round(seconds * 24_000)]
        made[-1].write_bytes(flac_bytes(piece, 24_000))
    return made


def changed(folder: RunFolder, change: Change) -> VerifyResult:
    """Verify the run with every row changed, then put the rows back."""
    rows = list(read_part(folder.part_urls()[0]))
    recommit(folder, 0, [change(row) for row in rows])
    try:
        return verify_run(folder.url, deep=True)
    finally:
        recommit(folder, 0, rows)


def means(result: VerifyResult) -> dict[str, float]:
    found = {metric.name: result.statistics_of(metric) for metric in METRICS}
    return {name: statistics.mean for name, statistics in found.items() if statistics is not None}


@pytest.fixture(scope="module")
def speech_run(speech_files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Speech in tokens of the embedded codec."""
    folder = tmp_path_factory.mktemp("tiny")
    files = excerpts(speech_files, folder / "audio", seconds=4.0, count=3)
    return make_run(folder / "out", load_codec("tiny_24khz"), files)


@pytest.fixture(scope="module")
def scaled_run(music_files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Music in tokens of a small codec built like EnCodec at 48 kHz, with random weights.

    It does not need to be trained: its last normalization gives the decoder the level of
    normalized audio, so decoded audio is as loud as the scales say.
    """
    folder = tmp_path_factory.mktemp("scaled")
    torch.manual_seed(0)
    config = replace(ENCODEC_48KHZ, num_filters=2, hidden_size=16, codebook_dim=16)
    model = EncodecModel(config)
    for index in range(len(model.quantizer)):
        torch.nn.init.normal_(model.quantizer[index].embed, std=0.5)
    model.save_pretrained(folder / "codec")
    files = excerpts(music_files, folder / "audio", seconds=2.5, count=2)
    return make_run(folder / "out", load_codec(str(folder / "codec")), files)


def swap_first_two(row: TokenRow) -> TokenRow:
    return with_codes(row, row.codes[[1, 0, *range(2, len(row.codes))]])


def reverse_order(row: TokenRow) -> TokenRow:
    return with_codes(row, row.codes[::-1])


def frames_as_codebooks(row: TokenRow) -> TokenRow:
    """[T, K] written where [K, T] belongs."""
    return with_codes(row, row.codes.T.reshape(row.codes.shape))


def constant(row: TokenRow) -> TokenRow:
    return with_codes(row, np.full_like(row.codes, 5))


def test_speech_of_the_embedded_codec_is_within_its_limits(speech_run: RunFolder) -> None:
    result = verify_run(speech_run.url, deep=True)
    assert result.limits is not None
    assert list(result.log) == []


@pytest.mark.parametrize("change", [swap_first_two, reverse_order, frames_as_codebooks, constant])
def test_codes_in_a_wrong_order_make_every_figure_collapse(
    speech_run: RunFolder, change: Change
) -> None:
    good, bad = means(verify_run(speech_run.url, deep=True)), changed(speech_run, change)
    figures = means(bad)
    assert figures["si_sdr"] < min(-5, good["si_sdr"] - 10)
    assert figures["stoi"] < good["stoi"] - 0.25
    assert figures["log_mel_distance"] > good["log_mel_distance"] + 3
    assert bad.exit_code == 3
    exceeded = {problem.where for problem in bad.log if problem.code == "limit_exceeded"}
    assert exceeded >= {"si_sdr", "log_mel_distance"}


def ones(row: TokenRow) -> TokenRow:
    return replace(row, scales=np.ones(len(row.scales if row.scales is not None else ()), "f4"))


def test_scales_that_are_dropped_are_heard_and_named(scaled_run: RunFolder) -> None:
    good = verify_run(scaled_run.url, deep=True)
    assert list(good.log) == []
    assert means(good)["loudness_difference"] < 3
    bad = changed(scaled_run, ones)
    assert means(bad)["loudness_difference"] > means(good)["loudness_difference"] + 6
    assert set(bad.log.counts) == {"scales_differ"}
    assert bad.exit_code == 3


def test_rows_without_their_scales_are_named(scaled_run: RunFolder) -> None:
    bad = changed(scaled_run, lambda row: replace(row, scales=None))
    assert set(bad.log.counts) == {"scale_count_differs"}
    assert bad.exit_code == 3
