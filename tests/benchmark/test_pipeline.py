"""The benchmarks of the pipeline and of the driver do what they say; how fast is theirs to tell."""

import re
from pathlib import Path

import pytest
import torch

from codec.encodec import EncodecConfig, EncodecModel
from tests.fakes import MeanCodec
from tests.pipeline.audio_files import write_noise
from tokenize_pipeline.benchmark import command, pipeline
from tokenize_pipeline.benchmark.pipeline import FreeCodec


def test_the_pipeline_is_timed_against_its_codec_and_its_reading_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with torch.random.fork_rng():
        EncodecModel(EncodecConfig(num_filters=2, hidden_size=8)).save_pretrained(tmp_path / "c")
    for seed in range(3):
        write_noise(tmp_path / "audio" / f"{seed}.flac", 1.0 + seed, seed)
    (tmp_path / "audio" / "broken.wav").write_bytes(b"RIFF")
    arguments = [str(tmp_path / "audio"), "--codec", str(tmp_path / "c"), "--threads", "1"]
    code = command.main(["pipeline", *arguments, "--rounds", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("6 s of audio, ")
    names = [line.rpartition(" ")[0].strip() for line in lines[1:5]]
    assert names == ["encode alone", "end to end", "read alone", "free codec"]
    shares = [float(re.findall(r": ([\d.]+)%", line)[0]) / 100 for line in lines[5:]]
    assert code == int(shares[0] < 0.9 or shares[1] < 0.6)


@pytest.mark.parametrize(
    ("whole", "code"), [([10.0, 11.2, 50.0], 1), ([10.0, 11.0, 50.0], 0), ([10.0, 10.0, 10.0], 0)]
)
def test_the_median_share_is_held_to_its_limit(whole: list[float], code: int) -> None:
    times = {"encode alone": [10.0, 10.0, 10.0], "end to end": whole}
    assert pipeline._judged("end to end", times) == code


def test_a_free_codec_gives_what_the_pipeline_asks_for() -> None:
    spec = MeanCodec().spec
    recordings = [torch.zeros(1, 1000), iter([torch.zeros(1, 5), torch.zeros(1, 700)])]
    found = list(FreeCodec(spec).encode_stream(recordings, 4))
    assert [tuple(encoded.codes.shape) for encoded in found] == [(4, 4), (4, 3)]
    assert [encoded.num_samples for encoded in found] == [1000, 705]
    assert all(0 <= int(e.codes.min()) <= int(e.codes.max()) < 1024 for e in found)


@pytest.mark.slow
def test_a_driver_with_many_workers(capsys: pytest.CaptureFixture[str]) -> None:
    """At most half a core and 2 GB while a thousand workers end twenty shards a second."""
    options = ["--files", "1000", "--shards", "1200", "--workers", "1000", "--actors", "2"]
    assert command.main(["scale", *options, "--shard-seconds", "50"]) == 0
    printed = capsys.readouterr().out
    assert "plan of 1000 files: " in printed
    assert "status of 1200 shards: " in printed
    found = re.search(r"([\d.]+) cores, .* peak ([\d.]+) GB", printed)
    assert found
    assert float(found[1]) < 0.5
    assert float(found[2]) < 2.0
