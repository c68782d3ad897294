"""`jobs/train_codec.py`: from audio to a codec that loads, and what it says on the way."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from codec import load_codec
from codec.encodec import EncodecModel
from tests.conftest import REPOSITORY
from tests.pipeline.audio_files import write_corpus, write_noise
from tokenize_pipeline.codec_training import command
from tokenize_pipeline.codec_training.display import Display
from tokenize_pipeline.codec_training.options import model_config, parse, training_config
from tokenize_pipeline.codec_training.recordings import read_excerpts
from tokenize_pipeline.errors import ConfigurationError

TINY = [
    *("--sampling-rate", "8000", "--upsampling-ratios", "5", "4", "--num-filters", "4"),
    *("--hidden-size", "16", "--codebook-size", "16", "--target-bandwidths", "1.6", "3.2"),
]
FEW_STEPS = [
    *("--batch-size", "2", "--excerpt-seconds", "0.2", "--log-every", "2"),
    *("--checkpoint-every", "3", "--device", "cpu"),
]
STAGES = ["--imitate-steps", "2", "--continuous-steps", "2", "--quantized-steps", "3"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("audio") / "corpus")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """A codec after a few steps."""
    folder = tmp_path_factory.mktemp("trained")
    assert command.main([str(corpus), *places(folder), *TINY, *FEW_STEPS, *STAGES]) == 0
    return folder / "codec"


def places(folder: Path) -> list[str]:
    return ["--output", str(folder / "codec"), "--checkpoint", str(folder / "checkpoint")]


def weights(folder: Path, *, of_codebooks: bool) -> dict[str, Tensor]:
    state = EncodecModel.from_pretrained(folder).state_dict()
    return {n: tensor for n, tensor in state.items() if n.startswith("quantizer") == of_codebooks}


def test_a_trained_codec_loads_and_codes(trained: Path) -> None:
    codec = load_codec(str(trained))
    assert (codec.spec.sample_rate, codec.spec.hop_samples) == (8000, 20)
    assert (codec.spec.num_codebooks, codec.spec.codebook_size) == (2, 16)
    encoded = codec.encode(torch.rand(1, 8000) - 0.5)
    assert encoded.codes.shape == (2, 400)


def test_the_same_command_goes_on_and_says_so(
    trained: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shares = ["--shares", "0.5"]
    arguments = [str(corpus), *shares, *places(tmp_path), *TINY, *FEW_STEPS]
    assert command.main([*arguments, *STAGES[:4], "--quantized-steps", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "6 recordings, 0.00 hours" in lines[0]
    steps = [line.split()[2:6] for line in lines if " step " in line]
    assert steps == [["step", step, "of", "6"] for step in ("2", "4", "6")]
    assert "snr_db" in lines[1]
    assert command.main([*arguments, *STAGES]) == 0
    assert "resumed at step 6" in capsys.readouterr().out


def test_fitting_codebooks_leaves_the_rest_bit_for_bit(
    trained: Path, corpus: Path, tmp_path: Path
) -> None:
    start = ["--fit-codebooks", str(trained), "--quantized-steps", "5"]
    assert command.main([str(corpus), *places(tmp_path), *FEW_STEPS, *start]) == 0
    before, after = (
        weights(folder, of_codebooks=False) for folder in (trained, tmp_path / "codec")
    )
    assert len(before) > 20
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]), name
    first = "quantizer.layers.0.codebook.embed"
    codebooks = [
        weights(folder, of_codebooks=True)[first] for folder in (trained, tmp_path / "codec")
    ]
    assert not torch.equal(*codebooks)


def test_training_goes_on_from_a_codec(
    trained: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["--start-from", str(trained), "--quantized-steps", "4", "--adversarial"]
    assert command.main([str(corpus), *places(tmp_path), *FEW_STEPS, *start]) == 0
    written = capsys.readouterr().out
    assert "step 4 of 4" in written
    for name in ("commitment", "discriminator", "deception", "features"):
        assert name in written


def test_figures_go_to_tensorboard(tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with Display(tmp_path / "logs") as display:
        display.figures(10, 20, {"mel": 1.5})
        display.figures(20, 20, {"mel": 1.25})
    found = accumulators.EventAccumulator(str(tmp_path / "logs"))
    found.Reload()
    assert [(event.step, event.value) for event in found.Scalars("mel")] == [(10, 1.5), (20, 1.25)]


def test_without_tensorboard_its_package_is_named(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    logs = ["--tensorboard", str(tmp_path / "logs")]
    assert command.main([str(corpus), *places(tmp_path), *logs]) == 2
    assert "pip install 'tokenize-pipeline[train]'" in capsys.readouterr().err
    assert not (tmp_path / "codec").exists()


def test_a_terminal_gets_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with Display() as display:
        display.advance(5, 10)
        display.figures(5, 10, {"mel": 1.5})
        display.note("a line")
        display.advance(10, 10)
    written = capsys.readouterr()
    assert "10/10" in written.err
    assert "mel 1.500" in written.err
    assert "a line" in written.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}/nowhere"], "source does not exist"),
        (["{folder}/broken.flac"], "broken.flac can be read as audio"),
        (["{audio}", "--start-from", "nosuch"], "unknown codec 'nosuch'"),
        (
            [
                "{audio}",
                "--start-from",
                "tiny_24khz",
                "--hidden-size",
                "16",
                "--imitate-steps",
                "5",
            ],
            "tiny_24khz is trained already; leave out --hidden-size, --imitate-steps",
        ),
        (
            ["{audio}", "--start-from", "tiny_24khz", "--num-filters", "4"],
            "made wider, not narrower",
        ),
        (["{audio}", "--batch-size", "0"], "batch_size is 0; it must be at least 1"),
        (["{audio}", "--codebook-size", "1"], "codebook_size is 1; it must be at least 2"),
        (["{audio}", "--excerpt-seconds", "0.01"], "the mel loss needs 1024 or more"),
        (["{audio}", "--device", "cuda"], "torch sees no GPU on this machine"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "broken.flac").write_bytes(b"fLaC and nothing more")
    given = [argument.format(folder=tmp_path, audio=corpus) for argument in arguments]
    assert command.main([*given, *places(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.flac"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["a", "b", "--output", "o", "--checkpoint", "c", "--shares", "1"],
            "2 sources need as many",
        ),
        (["a", "--checkpoint", "c"], "required: --output"),
        (
            ["a", *places(Path()), "--start-from", "x", "--fit-codebooks", "y"],
            "not allowed with argument",
        ),
    ],
)
def test_wrong_usage_exits_with_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_the_command_line_makes_the_configurations() -> None:
    nothing = parse(["audio", *places(Path())])
    assert model_config(nothing).num_filters == 8
    assert model_config(nothing).num_quantizers == 8
    assert training_config(nothing, on_gpu=False).adversarial is False
    assert training_config(nothing, on_gpu=True).adversarial is True
    fitting = parse(["audio", *places(Path()), "--fit-codebooks", "tiny_24khz", "--no-bfloat16"])
    found = training_config(fitting, on_gpu=False)
    assert (found.codebooks_only, found.quantized_steps, found.bfloat16) == (True, 2000, False)


def test_processes_share_the_files_between_them(tmp_path: Path) -> None:
    for index in range(3):
        write_noise(tmp_path / f"{index}.flac", 0.5 + index, index)
    config = model_config(parse(["audio", *places(Path()), *TINY]))
    log = Display()
    parts = [
        read_excerpts([str(tmp_path)], None, config, 0.2, log, part=part, parts=2)
        for part in range(2)
    ]
    seconds = [part.num_samples / 8000 for part in parts]
    assert seconds == pytest.approx([0.5 + 2.5, 1.5], abs=0.01)
    only = [
        read_excerpts([str(tmp_path / "0.flac")], None, config, 0.2, log, part=part, parts=2)
        for part in range(2)
    ]
    assert only[0].num_samples == only[1].num_samples
    with pytest.raises(ConfigurationError, match="source does not exist"):
        read_excerpts([str(tmp_path / "nothing")], None, config, 0.2, log)


@pytest.mark.slow
def test_torchrun_trains_one_codec_in_two_processes(corpus: Path, tmp_path: Path) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    job = [str(REPOSITORY / "jobs" / "train_codec.py"), str(corpus)]
    arguments = [*places(tmp_path), *TINY, *FEW_STEPS, *STAGES]
    done = subprocess.run(
        [sys.executable, *launcher, *job, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("step 6 of 7") == 1
    assert load_codec(str(tmp_path / "codec")).spec.num_codebooks == 2
