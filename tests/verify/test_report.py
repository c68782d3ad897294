"""The page: well formed, complete without a network, readable without eyes, safe with any name."""

import base64
import io
import re
import struct
import zlib
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.verify.conftest import use
from tests.verify.runs import ScalarCodec, make_run, voice, write_voice
from tokenize_pipeline.verification.code_statistics import CodeCounts
from tokenize_pipeline.verification.examples import choose, example_seconds
from tokenize_pipeline.verification.figures import png, spectrograms
from tokenize_pipeline.verification.markup import table, text_cell
from tokenize_pipeline.verification.plots import drift_bars, histogram, usage_bars, waveform
from tokenize_pipeline.verification.round_trip import RoundTrip
from tokenize_pipeline.verification.settings import VerifyConfig
from tokenize_pipeline.verify import verify_run

HOSTILE = '"><script>alert(1)<img src=x onerror=alert(2)>&amp;.flac'
VOID = {"meta", "link", "img", "br", "rect", "line", "polygon"}


class Page(HTMLParser):
    """Elements of a page, and whether each one was closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of every element of that name."""
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("report")
    names = [HOSTILE, *(f"{number}.flac" for number in range(6))]
    files = [write_voice(folder / "audio" / name, 1.0, seed) for seed, name in enumerate(names)]
    codec = ScalarCodec()
    run = make_run(folder / "out", codec, files)
    with pytest.MonkeyPatch.context() as patch:
        use(codec, patch)
        result = verify_run(VerifyConfig(run.url, deep=True))
    return Page(Path(result.report_url).read_text(encoding="utf-8"))


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    for _, attributes in page.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert not re.search(r"url\(|@import", "".join(page.words))


def test_names_from_the_dataset_are_text_only(page: Page) -> None:
    assert page.all("script") == []
    assert not any("onerror" in attributes for _, attributes in page.elements)
    assert HOSTILE in "".join(page.words)


def test_pictures_and_players_have_words(page: Page) -> None:
    assert (len(page.all("img")), len(page.all("audio"))) == (18, 12)
    assert all("Spectrogram of " in (image["alt"] or "") for image in page.all("img"))
    assert all(player["aria-label"] and "controls" in player for player in page.all("audio"))
    assert all(picture["aria-label"] for picture in page.all("svg"))
    assert all(cell.get("scope") in {"col", "row"} for cell in page.all("th"))


def test_headings_go_down_by_one(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_players_play_the_audio(page: Page) -> None:
    for player in page.all("audio"):
        head, _, data = (player["src"] or "").partition(",")
        assert head == "data:audio/flac;base64"
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
        assert rate == 8000
        assert np.abs(samples).max() > 0.05


def test_the_page_is_for_phones_and_dark_rooms(page: Page) -> None:
    (viewport,) = [meta for meta in page.all("meta") if meta.get("name") == "viewport"]
    assert viewport["content"] == "width=device-width, initial-scale=1"
    assert "prefers-color-scheme: dark" in "".join(page.words)


def test_a_spectrogram_shows_where_the_sound_is() -> None:
    rate = 8000
    time = torch.arange(2 * rate) / rate
    tone = torch.sin(2 * torch.pi * 1000 * time) * (time < 1)
    pixels = decoded(spectrograms(tone[None], 0 * tone[None], rate).original)
    height, width = pixels.shape
    loud_row = int(pixels[:, : width // 3].mean(axis=1).argmax())
    mel_of_1_khz = np.log1p(1000 / 700) / np.log1p(4000 / 700)
    assert 1 - loud_row / height == pytest.approx(mel_of_1_khz, abs=0.02)
    assert pixels[loud_row, : width // 3].min() > 200
    assert pixels[:, 2 * width // 3 :].max() == 0


def test_both_spectrograms_share_one_brightness() -> None:
    audio = voice(1, seed=1)
    pictures = spectrograms(audio, audio / 10, 8000)
    original, quiet = decoded(pictures.original), decoded(pictures.decoded)
    expected = 255 * 20 / 72
    bright = original > 150
    assert (original[bright] - quiet[bright].astype(float)).mean() == pytest.approx(expected, abs=1)


def test_the_difference_is_dark_where_nothing_is_lost_and_blue_where_it_is_quieter() -> None:
    audio = voice(1, seed=1)
    middle = decoded(spectrograms(audio, audio, 8000).difference)
    assert set(np.unique(middle)) == {128}
    quieter = spectrograms(audio, audio / 10, 8000)
    changed = decoded(quieter.difference)[decoded(quieter.original) > 150]
    assert changed.mean() == pytest.approx(128 - 255 * 20 / 60, abs=1)


@pytest.mark.parametrize("num_samples", [1, 100, 8000, 800_000])
def test_a_spectrogram_is_never_larger_than_its_frame(num_samples: int) -> None:
    audio = torch.zeros(2, num_samples)
    height, width = decoded(spectrograms(audio, audio, 8000).original).shape
    assert height == 112
    assert 1 <= width <= 441


def decoded(image: bytes) -> np.ndarray:
    """Entries of the palette in a PNG file [H, W], every checksum verified."""
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, position = {}, 8
    while position < len(image):
        length, kind = struct.unpack(">I4s", image[position : position + 8])
        data = image[position + 8 : position + 8 + length]
        (checksum,) = struct.unpack(">I", image[position + 8 + length : position + 12 + length])
        assert checksum == zlib.crc32(kind + data)
        chunks[kind] = data
        position += 12 + length
    width, height, depth, colour, *_ = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, colour, list(chunks)[-1]) == (8, 3, b"IEND")
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), dtype=np.uint8).reshape(height, -1)
    assert rows.shape[1] == width + 1
    assert (rows[:, 0] == 0).all()
    return rows[:, 1:]


def test_a_png_holds_its_pixels() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    palette = np.zeros((256, 3), dtype=np.uint8)
    assert (decoded(png(pixels, palette)) == pixels).all()


def test_bars_are_as_high_as_the_use() -> None:
    counts = CodeCounts(1, 4)
    counts.add(np.array([[0, 0, 1, 3]], dtype=np.uint16))
    svg = usage_bars(counts.statistics()[0], "Use <of> 1")
    assert re.findall(r' height="([\d.]+)"', svg) == ["40.00", "20.00", "20.00"]
    assert 'aria-label="Use &lt;of&gt; 1"' in svg


def test_a_waveform_reaches_as_high_as_the_signal() -> None:
    audio = torch.cat([torch.full((1, 500), 0.5), torch.full((1, 500), -1.0)], dim=1)
    svg = waveform(audio, 1.0, "Wave & <form>")
    points = re.findall(r"[\d.]+,([\d.]+)", svg)
    assert (min(map(float, points)), max(map(float, points))) == (10.0, 40.0)
    assert 'aria-label="Wave &amp; &lt;form&gt;"' in svg


def test_a_histogram_counts_and_shows_the_limit() -> None:
    svg = histogram([0.0, 0.0, 0.0, 12.0, 24.0], 6.0, "title")
    heights = [float(height) for height in re.findall(r' height="([\d.]+)"', svg)]
    assert heights == [40.0, pytest.approx(13.33), pytest.approx(13.33)]
    assert '<line x1="25.0"' in svg
    assert "<line" not in histogram([0.0, 1.0], 6.0, "title")
    assert "<rect" in histogram([3.0], None, "title")


def test_many_shards_share_bars() -> None:
    assert drift_bars([0.1] * 5, "title").count("<rect") == 5
    assert drift_bars([0.1] * 1000, "title").count("<rect") == 200


def test_cells_and_captions_are_escaped() -> None:
    html = table("a < b", ["<i>", "#n"], [[text_cell("<u>")]])
    assert "<i>" not in html
    assert "<u>" not in html
    assert 'aria-label="a &lt; b"' in html


def trip(number: int) -> RoundTrip:
    return RoundTrip(f"{number}.wav", "part", 0, 1.0, {"log_mel_distance": -number}, None)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 100])
def test_examples_are_the_worst_the_median_and_others(count: int) -> None:
    ranked = [trip(number) for number in range(count)]
    choices = choose(ranked)
    assert len({choice.key for choice in choices}) == len(choices) == min(6, count)
    assert [choice.trip for choice in choices if choice.reason == "worst"] == ranked[:2]
    if count == 100:
        assert [choice.trip for choice in choices if choice.reason == "median"] == [ranked[50]]


def test_examples_of_many_channels_are_shorter() -> None:
    mono = ScalarCodec().spec
    stereo = type(mono)(**{**mono.to_dict(), "sample_rate": 48_000, "channels": 2})
    assert example_seconds(mono) == 6
    assert example_seconds(stereo) == pytest.approx(3.125)
