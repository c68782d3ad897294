"""The table of limits is of the shipped weights, and its limits tell faults from sound tokens."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from codec import load_codec
from tests.conftest import REPOSITORY
from tests.verify.runs import write_voice
from tokenize_pipeline.errors import ConfigurationError
from tokenize_pipeline.verification.calibrating import read_kind
from tokenize_pipeline.verification.limits import calibration, exceeded, limits_for
from tokenize_pipeline.verification.scorecard import METRICS, MetricStatistics

SPEC = load_codec("tiny_24khz").spec
COUNTS = sorted(map(int, calibration()["codecs"]["tiny_24khz"]["num_codebooks"]))
AS_BAD = {metric.name: metric for metric in METRICS}


def of_mean(mean: float, count: int = 10) -> MetricStatistics:
    return MetricStatistics(count, mean, mean, mean)


def test_the_table_is_of_the_weights_that_are_shipped() -> None:
    """If this fails the weights are new: run jobs/calibrate.py as its first lines say."""
    entry = calibration()["codecs"]["tiny_24khz"]
    assert entry["fingerprint"] == SPEC.fingerprint
    wanted = {SPEC.codebooks_for_bandwidth(kbps) for kbps in SPEC.bandwidths_kbps}
    assert set(COUNTS) == wanted
    assert "measured by jobs/calibrate.py on " in entry["source"]


@pytest.mark.parametrize("count", COUNTS)
def test_sound_tokens_stay_within_the_limits_and_faults_do_not(count: int) -> None:
    limits = limits_for(SPEC, count)
    measured = calibration()["codecs"]["tiny_24khz"]["num_codebooks"][str(count)]

    def past(means: dict[str, float]) -> set[str]:
        return set(exceeded(limits, {name: of_mean(mean) for name, mean in means.items()}))

    for means in measured["sound"].values():
        assert past(means) == set()
    for fault, means in measured["faulty"].items():
        assert past(means) or (count == 1 and fault == "two codebooks swapped"), fault


def test_the_mean_of_a_few_rows_is_held_to_no_limit() -> None:
    limits = limits_for(SPEC, 8)
    awful = {"si_sdr": -60.0}
    for count, expected in ((4, set()), (5, {"si_sdr"})):
        statistics = {name: of_mean(mean, count) for name, mean in awful.items()}
        assert set(exceeded(limits, statistics)) == expected


def test_codecs_that_were_not_measured_have_generic_limits() -> None:
    unknown = limits_for(replace(SPEC, name="another"), 8)
    assert set(unknown.bounds) == {"seam_jump"}
    assert unknown.source.startswith("no figures are known for this codec")
    other_weights = limits_for(replace(SPEC, fingerprint="0" * 64), 8)
    assert other_weights.bounds == unknown.bounds
    assert "tiny_24khz was measured with other weights" in other_weights.source
    assert limits_for(SPEC, 3).bounds == unknown.bounds
    in_bfloat16 = limits_for(replace(SPEC, fingerprint="1" * 64, precision="bfloat16"), 8)
    assert in_bfloat16.bounds == limits_for(SPEC, 8).bounds


def test_the_script_measures_and_writes_a_table(tmp_path: Path) -> None:
    for number in range(6):
        write_voice(tmp_path / "voices" / f"{number}.flac", 1.5, seed=number)
    table = tmp_path / "table.json"
    script = REPOSITORY / "jobs" / "calibrate.py"
    options = ["--codec", "tiny_24khz", "--num-codebooks", "2", "--output", str(table)]
    command = [sys.executable, str(script), str(tmp_path / "voices"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "2 codebooks\n  limit " in done.stdout
    (entry,) = [json.loads(table.read_text("utf-8"))["codecs"]["tiny_24khz"]]
    assert entry["source"] == "measured by jobs/calibrate.py on 6 of voices"
    assert set(entry["num_codebooks"]) == {"2"}
    bounds = entry["num_codebooks"]["2"]["bounds"]
    sound = entry["num_codebooks"]["2"]["sound"]["voices, 1 s"]
    measured = bounds.keys() & sound.keys()  # STOI asks for more than a second
    assert {"si_sdr", "log_mel_distance"} <= measured
    for name in measured:
        assert AS_BAD[name].badness(bounds[name]) > AS_BAD[name].badness(sound[name])


def test_a_kind_of_too_few_recordings_is_refused(tmp_path: Path) -> None:
    write_voice(tmp_path / "voices" / "one.flac", 1.0, seed=1)
    with pytest.raises(ConfigurationError, match="voices has 1 recordings that can be read; 5 are"):
        read_kind(str(tmp_path / "voices"), SPEC, 40)
