"""`tokenize-pipeline codebooks`: figures worked out by hand, the table, JSON and the picture."""

import io
import json
import math
import signal
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.fakes import MeanCodec
from tests.pipeline.audio_files import write_corpus, write_noise
from tokenize_pipeline import cli
from tokenize_pipeline.codebooks.figures import (
    CodebookFigures,
    codebook_figures,
    nearest_distances,
)
from tokenize_pipeline.codebooks.picture import draw
from tokenize_pipeline.codebooks.survey import survey


@pytest.fixture(autouse=True)
def _signals_are_put_back() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def codebook(uses: list[int], entries: list[list[float]]) -> CodebookFigures:
    return codebook_figures(torch.tensor(entries), torch.tensor(uses))


def pixels(png: bytes) -> NDArray[np.uint8]:
    with av.open(io.BytesIO(png)) as container:
        frame = next(container.decode(video=0))
    found: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    return found


def test_figures_of_a_codebook() -> None:
    found = codebook([8, 4, 4, 0], [[0.0, 0.0], [3.0, 4.0], [3.0, 5.0], [0.0, 0.0]]).to_dict()
    assert found == {
        "entries": 4,
        "width": 2,
        "frames": 16,
        "used": 3,
        "used_share": 0.75,
        "dead": 1,
        "entropy_bits": pytest.approx(1.5),
        "perplexity": pytest.approx(2**1.5),
        "perplexity_share": pytest.approx(2**1.5 / 4),
        "nearest_least": 0.0,
        "nearest_median": 0.0,
    }
    distances = nearest_distances(torch.tensor([[0.0], [1.0], [5.0], [7.5]]))
    assert distances.tolist() == [1.0, 1.0, 2.5, 2.5]


def test_distances_are_right_beyond_what_is_compared_at_once() -> None:
    entries_ED = torch.randn(1500, 3, generator=torch.Generator().manual_seed(0))
    distances_EE = (entries_ED[:, None] - entries_ED).norm(dim=2).fill_diagonal_(math.inf)
    assert torch.allclose(nearest_distances(entries_ED), distances_EE.min(dim=1).values)


def test_a_survey_counts_every_code_of_every_readable_recording(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus")
    write_noise(tmp_path / "more.flac", 2.0, 5)
    codec = MeanCodec()
    report = survey(codec, [str(tmp_path / "corpus"), str(tmp_path / "more.flac")], 3)
    assert (report.recordings, report.rejected) == (7, 2)
    assert len(report.codebooks) == 3
    frames = {found.frames for found in report.codebooks}
    assert len(frames) == 1
    assert frames.pop() == pytest.approx(report.seconds * 75, abs=7)
    for found in report.codebooks:
        assert int(found.uses.sum()) == found.frames
        assert int((found.uses > 0).sum()) == found.used > 10


def test_the_table_and_json_say_the_same(
    tmp_path: Path, codec_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_noise(tmp_path / "noise.flac", 3.0, 5)
    picture = tmp_path / "made" / "picture.png"
    arguments = [
        "codebooks",
        str(codec_folder),
        str(tmp_path / "noise.flac"),
        "--num-codebooks",
        "2",
    ]
    assert cli.main([*arguments, "--picture", str(picture)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert cli.main([*arguments, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert lines[0] == (
        f"{codec_folder}: 2 codebooks over 0.1 minutes of audio, 1 recordings (0 rejected)"
    )
    titles = "codebook entries x width used dead entropy perplexity least median"
    assert " ".join(lines[3].split()) == titles
    assert len(lines) == 6
    for number, (line, found) in enumerate(zip(lines[4:], values["codebooks"], strict=True), 1):
        words = line.replace("(", " ").replace(")", " ").split()
        assert words[:4] == [str(number), str(found["entries"]), "x", str(found["width"])]
        assert words[4:7] == [str(found["used"]), f"{found['used_share']:.1%}", str(found["dead"])]
        assert found["used"] + found["dead"] == found["entries"]
        assert words[7:10] == [f"{found['entropy_bits']:.2f}", "bit", f"{found['perplexity']:.1f}"]
    assert values["seconds"] == pytest.approx(3)
    assert pixels(picture.read_bytes()).shape == (356, 560, 3)


def test_the_picture_shows_dead_entries_and_usage() -> None:
    places = [[math.cos(angle), math.sin(angle)] for angle in range(40)]
    alive = codebook([10] * 40, places)
    half = codebook([10] * 20 + [0] * 20, places)
    image = pixels(draw([alive, half, alive, alive, half]))
    assert image.shape == (2 * 356, 4 * 280, 3)
    panels = [image[:356, :280], image[:356, 280:560], image[356:, :280]]
    blue = [int((panel == (76, 201, 240)).all(axis=2).sum()) for panel in panels]
    assert blue[0] == 0
    assert blue[1] == blue[2] >= 20
    bars = [int((panel[290:340] > 100).any(axis=2).sum()) for panel in panels]
    assert bars[0] == pytest.approx(2 * bars[1], rel=0.2)
    assert (image[356:, 280:] == image[0, 0]).all(), "there is no sixth codebook"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch", "{folder}/noise.flac"], "unknown codec 'nosuch'"),
        (["{codec}", "{folder}/nothing"], "source does not exist"),
        (["{codec}", "{folder}/noise.flac", "--num-codebooks", "99"], "codebooks, not 99"),
        (["{codec}", "{folder}/noise.flac", "--picture", "x.svg"], "x.svg does not end in .png"),
        (["{codec}", "{folder}/broken.flac"], "none of the 1 recordings could be read"),
    ],
)
def test_what_cannot_be_looked_at_is_said_in_one_line(
    tmp_path: Path,
    codec_folder: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    write_noise(tmp_path / "noise.flac", 0.2, 5)
    (tmp_path / "broken.flac").write_bytes(b"fLaC and nothing more")
    given = [argument.format(folder=tmp_path, codec=codec_folder) for argument in arguments]
    assert cli.main(["codebooks", *given]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert message in written.err
    assert written.err.count("\n") == 1


def test_options_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["codebooks", "--help"])
    explained = capsys.readouterr().out.partition("\n\n")[2].replace(",", " ").split()
    for option in ("CODEC", "AUDIO", "--num-codebooks", "--picture", "--json"):
        assert option in explained
