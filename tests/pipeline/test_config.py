"""What the user may choose, errors, and totals."""

import pickle
from dataclasses import replace
from typing import Any

import pytest

from codec import UnsupportedBandwidthError
from tests.fakes import MeanCodec
from tokenize_pipeline import errors
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.errors import ConfigurationError, PipelineError, RejectionError
from tokenize_pipeline.records import CommitRecord, RejectedRecording
from tokenize_pipeline.summary import summarize

SPEC = MeanCodec().spec


def config(**values: Any) -> TokenizeConfig:
    return TokenizeConfig(**{"sources": ("x",), "output": "out", **values})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sources": ()}, "no source given"),
        ({"bandwidth_kbps": 6.0, "num_codebooks": 8}, "--bandwidth or --num-codebooks, not both"),
        ({"row_seconds": 0.0}, "--row-seconds must be greater than 0, got 0"),
        ({"row_seconds": float("nan")}, "--row-seconds must be greater than 0, got nan"),
        ({"chunk_seconds": -1.0}, "--chunk-seconds must be greater than 0, got -1"),
        ({"workers": 0}, "--workers must be greater than 0, got 0"),
        ({"cpus_per_worker": 0.0}, "--cpus-per-worker must be greater than 0, got 0"),
        ({"gpus_per_worker": -0.5}, "--gpus-per-worker must not be negative, got -0.5"),
        ({"max_seconds": 0.0}, "--max-seconds must be greater than 0, got 0"),
        ({"max_seconds": 1e6}, "<= 86400 must hold, got 0 and 1e[+]06"),
        ({"min_seconds": 3.0, "max_seconds": 2.0}, "must hold, got 3 and 2"),
        ({"min_seconds": -1.0}, "must hold, got -1 and 86400"),
        ({"keep": ("empty",)}, "--keep takes truncated, damaged, too_short, too_long, got empty"),
        ({"max_rejected": 1.1}, "--max-rejected must lie within 0 and 1, got 1.1"),
        ({"overlap": -0.1}, "--overlap must lie within 0 and 1, got -0.1"),
        ({"precision": "int8"}, "--precision must be float32 or bfloat16, got int8"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        config(**values)


def test_codebooks_are_those_asked_for_or_eight() -> None:
    assert config().codebooks(SPEC) == 8
    assert config().codebooks(replace(SPEC, num_codebooks=32)) == 8
    assert config().codebooks(replace(SPEC, num_codebooks=4)) == 4
    assert config(num_codebooks=3).codebooks(SPEC) == 3
    assert config(bandwidth_kbps=1.5).codebooks(SPEC) == 2
    with pytest.raises(UnsupportedBandwidthError, match="has no bandwidth of 7 kbps"):
        config(bandwidth_kbps=7.0).codebooks(SPEC)
    with pytest.raises(UnsupportedBandwidthError, match="has 1 to 8 codebooks, not 9"):
        config(num_codebooks=9).codebooks(SPEC)


def test_rows_end_on_frames_and_never_break_chunks() -> None:
    assert config().row_frames(SPEC) is None
    assert config(row_seconds=10.0).row_frames(SPEC) == 750
    assert config(row_seconds=0.0001).row_frames(SPEC) == 1
    chunked = replace(SPEC, chunk_samples=24000, stride_samples=23760)
    assert config().row_frames(chunked) is None
    with pytest.raises(ConfigurationError, match="overlapping chunks of 1 s: rows would break"):
        config(row_seconds=10.0).row_frames(chunked)


@pytest.mark.parametrize(("cpus", "threads"), [(0.25, 1), (1.0, 1), (1.6, 2), (4.0, 4)])
def test_threads_follow_the_cpus_of_a_worker(cpus: float, threads: int) -> None:
    assert config(cpus_per_worker=cpus).threads_per_worker == threads


def test_only_options_that_were_given_replace_those_of_the_checkpoint() -> None:
    assert config().codec_options() == {}
    assert config(normalize=False, overlap=0.5).codec_options() == {
        "overlap": 0.5,
        "normalize": False,
    }


def all_errors() -> list[type[PipelineError]]:
    kinds = [value for value in vars(errors).values() if isinstance(value, type)]
    return [kind for kind in kinds if issubclass(kind, PipelineError)]


@pytest.mark.parametrize("kind", all_errors())
def test_errors_survive_the_way_between_processes(kind: type[PipelineError]) -> None:
    error = (
        kind("empty", "no samples") if issubclass(kind, RejectionError) else kind("what happened")
    )
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  our own
    assert type(again) is kind
    assert str(again) == str(error)
    assert again.__dict__ == error.__dict__
    assert again.exit_code in (1, 2, 3)


def test_totals_do_not_depend_on_the_order_of_commits() -> None:
    def record(shard: int, *codes: str) -> CommitRecord:
        rejected = tuple(RejectedRecording(f"{shard}{code}", "/", code, "") for code in codes)
        return CommitRecord(shard, "p", 4, 4 - len(codes), 0.1 * shard, "f", 1, rejected, 1)

    commits = [record(0, "empty"), record(1), record(2, "truncated", "empty"), record(3)]
    summary = summarize(commits)
    assert summary == summarize(reversed(commits))
    assert list(summary.rejected_by_code.items()) == [("empty", 2), ("truncated", 1)]
    assert summary.rejected_text() == "3 (2 empty, 1 truncated)"
    assert (summary.recordings, summary.rows, summary.rejected) == (16, 13, 3)
    assert summary.rejected_fraction == pytest.approx(3 / 16)
    assert summarize([]).rejected_fraction == 0
    assert summarize([]).rejected_text() == "0"
