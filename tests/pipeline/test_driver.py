"""Whole runs on a cluster, over real speech, with a small EnCodec."""

import os
import shutil
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.audio_files import write_corpus
from tests.pipeline.processes import descendants, title
from tokenize_pipeline import driver
from tokenize_pipeline.cluster import Room
from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.driver import check_limits, prepare, tokenize
from tokenize_pipeline.errors import ConfigurationError, LimitExceededError, RunFailedError
from tokenize_pipeline.pool import ShardPool
from tokenize_pipeline.records import CommitRecord, Shard
from tokenize_pipeline.schema import read_part, rejected_from_bytes
from tokenize_pipeline.shard import tokenize_shard
from tokenize_pipeline.summary import RunSummary
from tokenize_pipeline.worker import open_codec

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, speech_files: list[Path]) -> Path:
    """Twenty-two short recordings in three shards, six of them speech, two of them broken."""
    folder = write_corpus(tmp_path_factory.mktemp("sources") / "corpus", count=14)
    for path in sorted(speech_files, key=lambda path: path.stat().st_size)[:6]:
        (folder / f"speech_{path.name}").symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def undisturbed(
    ray_cluster: None, corpus: Path, codec_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The output of a run that nothing happened to."""
    output = tmp_path_factory.mktemp("outputs") / "undisturbed"
    tokenize(prepare(config(corpus, codec_folder, output)))
    return output


def config(corpus: Path, codec_folder: Path, output: Path) -> TokenizeConfig:
    return TokenizeConfig(
        (str(corpus),), str(output), codec=str(codec_folder), workers=2, max_rejected=0.1
    )


@pytest.fixture
def wanted(corpus: Path, codec_folder: Path, tmp_path: Path) -> TokenizeConfig:
    return config(corpus, codec_folder, tmp_path / "out")


def parts(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (output / "data").iterdir()}


def files(output: Path) -> dict[str, tuple[int, int]]:
    """Every file with what changes when it is written."""
    paths = [path for path in output.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def same_dataset(one: Path, other: Path) -> bool:
    """Byte for byte, but for the number of attempts."""

    def commits(output: Path) -> dict[int, CommitRecord]:
        found = RunFolder(str(output)).commits()
        return {index: replace(record, attempts=0) for index, record in found.items()}

    rejected = "_run/rejected.parquet"
    return (
        parts(one) == parts(other)
        and commits(one) == commits(other)
        and (one / "README.md").read_bytes() == (other / "README.md").read_bytes()
        and (one / rejected).read_bytes() == (other / rejected).read_bytes()
    )


def test_every_recording_is_rows_or_rejected(undisturbed: Path, corpus: Path) -> None:
    folder = RunFolder(str(undisturbed))
    rows = [row for url in folder.part_urls() for row in read_part(url)]
    rejected = rejected_from_bytes((undisturbed / "_run/rejected.parquet").read_bytes())
    assert len(parts(undisturbed)) == 3
    assert {item.id: item.code for item in rejected} == {
        "broken.wav": "undecodable",
        "empty.mp3": "empty",
    }
    names = {path.relative_to(corpus).as_posix() for path in corpus.rglob("*.*")} - {"README.md"}
    assert {row.id for row in rows} | {item.id for item in rejected} == names
    assert len(rows) == len(names) - 2
    assert all(row.codes.shape == (8, row.num_frames) for row in rows)
    assert not (undisturbed / "_run" / "staging").exists()


def test_an_actor_does_what_a_plain_process_does(
    undisturbed: Path, wanted: TokenizeConfig, tmp_path: Path
) -> None:
    run = prepare(wanted)
    for shard in run.shards:
        tokenize_shard(shard, open_codec(wanted), wanted)
    assert parts(undisturbed) == parts(tmp_path / "out")


def test_running_it_again_writes_nothing(undisturbed: Path, wanted: TokenizeConfig) -> None:
    before = files(undisturbed)
    summary = tokenize(prepare(replace(wanted, output=str(undisturbed))))
    assert files(undisturbed) == before
    assert (summary.recordings, summary.rows, summary.rejected) == (22, 20, 2)


def test_the_number_of_workers_changes_nothing(undisturbed: Path, wanted: TokenizeConfig) -> None:
    tokenize(prepare(replace(wanted, workers=1)))
    assert same_dataset(undisturbed, Path(wanted.output))


def test_what_is_missing_or_damaged_is_done_again(
    undisturbed: Path, wanted: TokenizeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost commit record, a damaged one, a lost part, lost last files: all repaired."""
    tokenize(prepare(wanted))
    output = Path(wanted.output)
    part = sorted((output / "data").iterdir())[0]
    part.unlink()
    (output / "_run/commits/000001.json").write_text('{"shard": 1}')
    (output / "README.md").unlink()
    (output / "_run/staging").mkdir()
    (output / "_run/staging/.left.tmp").write_bytes(b"half")
    worked_on: list[int] = []

    class WatchedPool(ShardPool):
        def __init__(self, config: TokenizeConfig, shards: Sequence[Shard], room: Room) -> None:
            worked_on.extend(shard.index for shard in shards)
            super().__init__(config, shards, room)

    monkeypatch.setattr(driver, "ShardPool", WatchedPool)
    tokenize(prepare(wanted))
    assert worked_on == [0, 1]
    assert same_dataset(undisturbed, output)
    assert not (output / "_run/staging").exists()


def test_a_killed_worker_changes_nothing(
    undisturbed: Path, wanted: TokenizeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []
    real_commit = RunFolder.commit

    def commit(folder: RunFolder, record: CommitRecord) -> None:
        """After the first shard, kill whatever workers there are."""
        real_commit(folder, record)
        if not killed:
            killed.extend(pid for pid in descendants() if title(pid).startswith("ray::Worker"))
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    monkeypatch.setattr(RunFolder, "commit", commit)
    tokenize(prepare(wanted))
    assert killed
    assert same_dataset(undisturbed, Path(wanted.output))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_codebooks": 4}, "holds another run: num_codebooks is 8 there and 4 here"),
        ({"bandwidth_kbps": 3.0}, "num_codebooks is 8 there and 4 here"),
        ({"row_seconds": 1.0}, "row_frames is None there and 75 here"),
        ({"precision": "bfloat16"}, "codec.precision is 'float32' there and 'bfloat16' here"),
        ({"chunk_seconds": 1.0}, "codec.chunk_samples is None there and 24000 here; codec.fing"),
    ],
)
def test_another_run_is_refused(
    undisturbed: Path, wanted: TokenizeConfig, values: dict[str, Any], message: str
) -> None:
    before = files(undisturbed)
    other = replace(wanted, output=str(undisturbed), **values)
    with pytest.raises(ConfigurationError, match=message):
        prepare(other)
    assert files(undisturbed) == before


def test_changed_sources_are_refused(
    tmp_path: Path, codec_folder: Path, wanted: TokenizeConfig
) -> None:
    corpus = write_corpus(tmp_path / "corpus", count=4)
    own = replace(wanted, sources=(str(corpus),))
    run = prepare(own)
    run.folder.start(run.identity, run.shards)
    prepare(own)
    (corpus / "broken.wav").write_bytes(b"other")
    (corpus / "empty.mp3").rename(corpus / "new.mp3")
    message = "another run: the sources have changed since: 1 added, 1 removed, 1 changed. Choose"
    with pytest.raises(ConfigurationError, match=message):
        prepare(own)


def test_an_output_with_other_data_is_refused(wanted: TokenizeConfig, tmp_path: Path) -> None:
    (tmp_path / "out" / "data").mkdir(parents=True)
    (tmp_path / "out" / "data" / "mine.parquet").write_bytes(b"")
    with pytest.raises(ConfigurationError, match="holds data that is of no run"):
        prepare(wanted)
    with pytest.raises(ConfigurationError, match="the output is a file, not a folder"):
        prepare(replace(wanted, output=str(tmp_path / "out" / "data" / "mine.parquet")))


def test_a_cluster_without_room_is_noticed_before_anything_is_written(
    wanted: TokenizeConfig,
) -> None:
    with pytest.raises(ConfigurationError, match="a worker needs 64 CPUs and 0 GPUs; the cluster"):
        tokenize(prepare(replace(wanted, cpus_per_worker=64.0)))
    assert not Path(wanted.output).exists()


def test_an_output_that_cannot_be_written_is_refused(wanted: TokenizeConfig) -> None:
    with pytest.raises(ConfigurationError, match="cannot write to /proc/nowhere/_run/lock: "):
        tokenize(prepare(replace(wanted, output="/proc/nowhere")))


def test_too_many_rejected(undisturbed: Path, wanted: TokenizeConfig) -> None:
    run = prepare(replace(wanted, output=str(undisturbed)))
    summary = RunSummary(recordings=100, rows=89, seconds=1.0, rejected_by_code={"empty": 11})
    message = r"11 \(11 empty\) of 100 recordings were rejected; --max-rejected allows 10.00%"
    with pytest.raises(LimitExceededError, match=message):
        check_limits(run, summary)
    check_limits(run, replace(summary, rejected_by_code={"empty": 10}))


def test_a_shard_that_cannot_be_done_fails_the_run_and_the_others_are_kept(
    wanted: TokenizeConfig, undisturbed: Path
) -> None:
    """The part of shard 1 cannot be published: a folder stands in its place."""
    run = prepare(wanted)
    in_the_way = Path(run.folder.part_url(run.shards[1].part_name))
    run.folder.start(run.identity, run.shards)
    (in_the_way / "x").mkdir(parents=True)
    with pytest.raises(
        RunFailedError, match=r"1 of 3 shards failed 3 times each; shard 1 .*IsADir"
    ):
        tokenize(run)
    assert sorted(RunFolder(wanted.output).commits()) == [0, 2]
    shutil.rmtree(in_the_way)
    tokenize(prepare(wanted))
    assert same_dataset(undisturbed, Path(wanted.output))


def test_local_names_of_codecs_and_outputs_become_absolute(
    wanted: TokenizeConfig, codec_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(codec_folder.parent)
    run = prepare(replace(wanted, codec=codec_folder.name, output="out"))
    assert run.config.codec == str(codec_folder)
    assert run.folder.url == str(codec_folder.parent / "out")
    assert not Path(run.folder.url).exists()
