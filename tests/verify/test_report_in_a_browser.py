"""The report in a real browser: it renders, says nothing on the console, and its players play.

Needs a Chromium on the machine (Debian: `apt install chromium`) and the package playwright.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.verify.conftest import use
from tests.verify.runs import ScalarCodec, make_run, with_codes, write_voice
from tokenize_pipeline.verification.settings import VerifyConfig
from tokenize_pipeline.verify import verify_run

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium on this machine; on Debian: apt install chromium")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module", params=[False, True], ids=["sound", "faulty"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report without problems, and one with some."""
    folder = tmp_path_factory.mktemp("browser")
    files = [write_voice(folder / f"{n}<b>.flac", 0.6 + n / 10, seed=n) for n in range(7)]
    codec = ScalarCodec()

    def change(row: Any) -> Any:
        return with_codes(row, row.codes[::-1]) if request.param and row.id[0] == "3" else row

    run = make_run(folder / "out", codec, files, change=change)
    with pytest.MonkeyPatch.context() as patch:
        use(codec, patch)
        result = verify_run(VerifyConfig(run.url, deep=True))
    assert result.exit_code == (3 if request.param else 0)
    return Path(result.report_url)


class Visit:
    """A page that was opened, and what the browser had to say about it."""

    def __init__(self, browser: Any, report: Path, width: int, scheme: str) -> None:
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(report.as_uri())


@pytest.mark.parametrize(("width", "scheme"), [(1240, "light"), (375, "dark")])
def test_the_report_renders_and_its_players_play(
    browser: Any, report: Path, width: int, scheme: str
) -> None:
    visit = Visit(browser, report, width, scheme)
    page = visit.page
    page.wait_for_function("[...document.querySelectorAll('audio')].every(a => a.readyState >= 2)")
    players = page.evaluate(
        "[...document.querySelectorAll('audio')].map(a => [a.duration, a.error && a.error.message])"
    )
    assert len(players) == 12
    assert all(duration > 0.5 and error is None for duration, error in players)
    page.evaluate("() => { const a = document.querySelector('audio'); a.muted = true; a.play(); }")
    page.wait_for_function("document.querySelector('audio').currentTime > 0.1")
    pictures = page.evaluate(
        "[...document.images].map(i => [i.complete && i.naturalWidth > 0, i.alt])"
    )
    assert len(pictures) == 18
    assert all(loaded and alt for loaded, alt in pictures)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it overflows"
    assert visit.messages == []
    assert [url[:5] for url in visit.requests if not url.startswith("data:")] == ["file:"]
    page.close()


def test_a_dark_room_gets_a_dark_page(browser: Any, report: Path) -> None:
    brightness = {}
    for scheme in ("light", "dark"):
        page = Visit(browser, report, 800, scheme).page
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness[scheme] = sum(int(part) for part in colour[4:-1].split(",")[:3])
        page.close()
    assert brightness["light"] > 600
    assert brightness["dark"] < 150


def test_a_screen_reader_finds_its_way(browser: Any, report: Path) -> None:
    page = Visit(browser, report, 800, "light").page
    tree = page.locator("body").aria_snapshot()
    assert "heading" in tree
    for name in ("Listen", "Quality", "Distributions", "Codebooks", "The run"):
        assert f'region "{name}"' in tree
    assert 'img "Spectrogram of ' in tree
    assert 'img "Waveform of ' in tree
    page.close()
