"""What users type, and what they get back for it."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.pipeline.audio_files import write_corpus, write_noise
from tokenize_pipeline import cli
from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.driver import Run
from tokenize_pipeline.summary import RunSummary

# Every option that the documentation names.
TOKENIZE_OPTIONS = [
    *("SOURCE", "--output", "--codec", "--bandwidth", "--num-codebooks", "--chunk-seconds"),
    *("--overlap", "--normalize", "--no-normalize", "--precision", "--workers"),
    *(
        "--gpus-per-worker",
        "--cpus-per-worker",
        "--gpu-slots",
        "--address",
        "--row-seconds",
        "--max-rejected",
    ),
    *("--shard-timeout", "--dry-run"),
]
STATUS_OPTIONS = ["OUTPUT", "--json"]
VERIFY_OPTIONS = ["OUTPUT", "--fraction", "--deep", "--report"]


@pytest.fixture(autouse=True)
def _signals_are_put_back() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus")


def help_text(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        cli.main([*arguments, "--help"])
    assert caught.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "options"),
    [("tokenize", TOKENIZE_OPTIONS), ("verify", VERIFY_OPTIONS), ("status", STATUS_OPTIONS)],
)
def test_every_option_is_explained(
    capsys: pytest.CaptureFixture[str], command: str, options: list[str]
) -> None:
    text = help_text(capsys, command)
    explained = text.partition("\n\n")[2]
    for option in options:
        assert option in explained.replace(",", " ").split(), option
    assert "3  finished, but past a limit" in text


def test_help_names_commands_defaults_and_codecs(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"tokenize", "verify", "status"} <= set(help_text(capsys).split())
    text = " ".join(help_text(capsys, "tokenize").split())
    assert "encodec_24khz, encodec_48khz, tiny_24khz" in text
    assert "codebooks to make (default: 8, or all if the codec has fewer)" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "source does not exist: nowhere"),
        (["{corpus}/speaker0/*.mp3"], "source matches no file: "),
        (["{corpus}/README.md/x"], "source does not exist: "),
        (["{corpus}", "--codec", "nosuch"], "unknown codec 'nosuch'; choose one of "),
        (["{corpus}", "--bandwidth", "7"], "has no bandwidth of 7 kbps; choose one of 1.5, 3, 6"),
        (["{corpus}", "--num-codebooks", "99"], "has 1 to 8 codebooks, not 99"),
        (["{corpus}", "--workers", "0"], "--workers must be greater than 0, got 0"),
        (["{corpus}", "--max-rejected", "2"], "--max-rejected must lie within 0 and 1, got 2"),
        (
            ["{corpus}", "--chunk-seconds", "1", "--row-seconds", "10"],
            "--row-seconds cannot be used with ",
        ),
    ],
)
def test_wrong_inputs_get_one_clear_line_and_nothing_is_written(
    corpus: Path,
    codec_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    given = [argument.format(corpus=corpus) for argument in arguments]
    output = tmp_path / "out"
    before = sorted(tmp_path.rglob("*"))
    codec = [] if "--codec" in given else ["--codec", str(codec_folder)]
    assert cli.main(["tokenize", *given, *codec, "--output", str(output)]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("tokenize-pipeline: ")
    assert message in written.err
    assert written.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: SOURCE, --output"),
        (["x"], "required: --output"),
        (["x", "--output", "y", "--bandwidth", "6", "--num-codebooks", "8"], "not allowed with"),
        (["x", "--output", "y", "--surprise"], "unrecognized arguments: --surprise"),
        (["x", "--output", "y", "--workers", "two"], "invalid int value: 'two'"),
        (["x", "--output", "y", "--precision", "int8"], "invalid choice: 'int8'"),
    ],
)
def test_wrong_usage_exits_with_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["tokenize", *arguments])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    corpus: Path, codec_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    arguments = ["--output", str(output), "--codec", str(codec_folder), "--dry-run"]
    assert cli.main(["tokenize", str(corpus), *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("8 recordings, 0.")
    assert lines[0].endswith(" MB, in 1 shards (1 other files ignored)")
    assert lines[1] == f"{codec_folder}, 8 codebooks -> {output}"
    assert re.fullmatch(
        r"train-000000-[0-9a-f]{10}\.parquet  8 recordings, 0\.\d MB, from broken\.wav", lines[2]
    )
    assert len(lines) == 3
    assert not output.exists()


@pytest.mark.parametrize(("allowed", "exit_code"), [("0.01", 3), ("0.3", 0)])
def test_the_summary_and_the_limit_on_rejections(
    corpus: Path,
    codec_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    allowed: str,
    exit_code: int,
) -> None:
    def tokenized(_run: Run) -> RunSummary:
        return RunSummary(8, 6, 7200.0, {"empty": 1, "undecodable": 1})

    monkeypatch.setattr(cli, "tokenize", tokenized)
    arguments = ["--output", str(tmp_path / "out"), "--codec", str(codec_folder)]
    code = cli.main(["tokenize", str(corpus), *arguments, "--max-rejected", allowed])
    assert code == exit_code
    written = capsys.readouterr()
    assert written.out.splitlines()[2:] == [
        "6 rows, 2.00 hours, 2 (1 empty, 1 undecodable) rejected of 8 recordings",
        f"tokens in {tmp_path / 'out'}",
    ]
    assert ("--max-rejected allows 1.00%" in written.err) == (exit_code == 3)


def test_an_interrupt_says_how_to_go_on(
    corpus: Path,
    codec_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Where the tests run in the background, Python leaves interrupts ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        monkeypatch.setattr(cli, "tokenize", lambda _run, n=signal_number: signal.raise_signal(n))
        arguments = ["--output", str(tmp_path / "out"), "--codec", str(codec_folder)]
        assert cli.main(["tokenize", str(corpus), *arguments]) == 1
        message = "tokenize-pipeline: stopped; run the same command again to resume\n"
        assert capsys.readouterr().err == message


def test_verify_of_nothing_is_a_configuration_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["verify", str(tmp_path / "nothing")]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_a_stopped_run_is_resumed_by_the_same_command(
    tmp_path: Path, codec_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM in the middle: exit code 1, no process and no file left over; then the rest."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    for index in range(24):
        write_noise(tmp_path / "corpus" / f"{index:02d}.flac", 20.0, index)
    command = [
        *(sys.executable, str(REPOSITORY / "jobs" / "tokenize.py"), "corpus"),
        *("--output", "out", "--codec", str(codec_folder), "--workers", "1", "--address", "local"),
    ]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        commits = tmp_path / "out" / "_run" / "commits"
        while not list(commits.glob("*.json")) and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 1, output + errors
    assert errors == "tokenize-pipeline: stopped; run the same command again to resume\n"
    done = RunFolder(str(tmp_path / "out")).commits()
    assert 0 < len(done) < 3
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stderr == ""
    assert "24 rows, 0.13 hours, 0 rejected of 24 recordings" in again.stdout.splitlines()
    commits_now = RunFolder(str(tmp_path / "out")).commits()
    assert {index: commits_now[index] for index in done} == done
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "README.md",
        "_run",
        "data",
    ]
