"""How far a run is, told from its output folder alone."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.pipeline.test_commit import record
from tokenize_pipeline import cli, status
from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.errors import ConfigurationError, DamagedOutputError
from tokenize_pipeline.lease import Lease
from tokenize_pipeline.records import CommitRecord, FileInfo, Shard, SourceItem
from tokenize_pipeline.status import read_status, status_lines

START = 1_700_000_000.0  # when the runs below began
HOUR = 3600.0


def shard(index: int, size_bytes: int = 1000) -> Shard:
    return Shard(index, f"{index:010x}", (SourceItem(f"{index}", f"/{index}", size_bytes, ""),))


def make_run(
    output: Path, sizes: Sequence[int], times: Sequence[float], hours_a_kilobyte: float = 1.0
) -> RunFolder:
    """A run of shards of these sizes; the first ones were done, so many seconds after the start."""
    folder = RunFolder(str(output))
    folder.start({}, [shard(index, size) for index, size in enumerate(sizes)])
    os.utime(output / "_run" / "run.json", (START, START))
    for index, seconds in enumerate(times):
        done = replace(record(index), seconds=sizes[index] / 1000 * hours_a_kilobyte * HOUR)
        folder.commit(replace(done, attempts=2 if index == 0 else 1))
        path = output / "_run" / "commits" / f"{index:06d}.json"
        os.utime(path, (START + seconds, START + seconds))
    return folder


def driver_lives(output: Path, at: float) -> None:
    path = output / "_run" / "lock" / "000001.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")
    os.utime(path, (START + at, START + at))


def test_speed_and_end_follow_the_bytes_and_not_the_number_of_shards(tmp_path: Path) -> None:
    """Two shards of 1 kB took 10 s each; a hundredth of a shard's bytes is left."""
    make_run(tmp_path, [1000, 1000, 1000, 10], [10, 20, 30])
    driver_lives(tmp_path, at=30)
    found = read_status(str(tmp_path), START + 30)
    assert found.state == "running"
    assert (found.shards_done, found.shards) == (3, 4)
    assert (found.source_bytes_done, found.source_bytes) == (3000, 3010)
    assert (found.audio_hours, found.rejected, found.retries) == (3.0, 3, 1)
    assert not found.is_estimate
    assert found.speed == pytest.approx(2 * HOUR / 20)
    assert found.overall_speed == pytest.approx(3 * HOUR / 30)
    assert found.seconds_left == pytest.approx(0.1)
    assert found.end == "2023-11-14 22:13 UTC"


def test_a_run_that_stands_still_gets_slower_and_then_is_stopped(tmp_path: Path) -> None:
    make_run(tmp_path, [1000] * 4, [0, 10, 20])
    driver_lives(tmp_path, at=20)
    later = read_status(str(tmp_path), START + 40)
    assert later.state == "running"
    assert later.speed == pytest.approx(2 * HOUR / 40)
    assert read_status(str(tmp_path), START + 20 + 179).state == "running"
    stopped = read_status(str(tmp_path), START + 20 + 181)
    assert (stopped.state, stopped.seconds_left) == ("stopped", None)
    assert stopped.overall_speed == pytest.approx(3 * HOUR / 20), "the pause is not its speed"
    assert "stopped, last shard done 0:03:01 ago; the same tokenize command" in text(stopped)


def test_a_driver_that_ended_is_not_waited_for(tmp_path: Path) -> None:
    folder = make_run(tmp_path, [1000, 1000], [1])
    with Lease(folder.lock_url):
        assert read_status(str(tmp_path)).state == "running"
    assert read_status(str(tmp_path)).state == "stopped"


def test_nothing_done_yet(tmp_path: Path) -> None:
    make_run(tmp_path, [1000], [])
    driver_lives(tmp_path, at=60)
    found = read_status(str(tmp_path), START + 60)
    assert (found.state, found.shards_done, found.audio_hours) == ("running", 0, 0)
    assert (found.speed, found.seconds_left, found.seconds_since_commit) == (None, None, None)
    assert "running, no shard done yet" in text(found)
    assert read_status(str(tmp_path), START + 1000).state == "stopped"


def test_a_finished_run(tmp_path: Path) -> None:
    folder = make_run(tmp_path, [1000, 2000], [10, 20])
    assert read_status(str(tmp_path), START + 20).state == "stopped"
    folder.write_rejected()
    folder.write_card("card")
    found = read_status(str(tmp_path), START + 100 * HOUR)
    assert (found.state, found.seconds_left) == ("finished", 0.0)
    assert found.overall_speed == pytest.approx(3 * HOUR / 20)
    assert "left" not in text(found)


def test_few_of_many_commit_records_are_read_and_the_rest_estimated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures follow the bytes: those of the shards that are not read, too."""
    monkeypatch.setattr(status, "RECENT_RECORDS", 5)
    monkeypatch.setattr(status, "OLDER_RECORDS", 10)
    read: list[str] = []
    real = RunFolder.read_commits

    def read_commits(folder: RunFolder, files: Sequence[FileInfo]) -> Iterator[CommitRecord | None]:
        read.extend(Path(info.url).stem for info in files)
        return real(folder, files)

    make_run(tmp_path, range(200, 100, -1), list(range(90)))
    monkeypatch.setattr(RunFolder, "read_commits", read_commits)
    found = read_status(str(tmp_path), START + 90)
    assert len(read) == 15
    assert {f"{index:06d}" for index in range(85, 90)} <= set(read)
    assert found.is_estimate
    assert found.audio_hours == pytest.approx(sum(range(111, 201)) / 1000)
    assert found.rejected == pytest.approx(90, rel=0.1)
    assert f"about {found.audio_hours:.2f} hours of audio, about " in text(found)


def test_damaged_and_foreign_files_count_for_nothing(tmp_path: Path) -> None:
    make_run(tmp_path, [1000, 1000, 1000], [10, 20])
    commits = tmp_path / "_run" / "commits"
    (commits / "000000.json").write_text("{}")
    (commits / "000099.json").write_text("{}")
    (commits / "notes.txt").write_text("mine")
    found = read_status(str(tmp_path), START + 30)
    assert found.shards_done == 2
    assert found.retries == 0


def test_where_there_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigurationError, match=r"holds no run: there is no _run/run\.json in it"):
        read_status(str(tmp_path))
    assert cli.main(["status", str(tmp_path)]) == 2
    assert capsys.readouterr().out == ""
    RunFolder(str(tmp_path)).start({}, [])
    (tmp_path / "_run" / "plan.jsonl").unlink()
    with pytest.raises(DamagedOutputError, match=r"plan.jsonl does not exist"):
        read_status(str(tmp_path))


def test_the_job_prints_lines_or_json(tmp_path: Path) -> None:
    make_run(tmp_path / "out", [1000, 1000], [10])
    command = [sys.executable, str(REPOSITORY / "jobs" / "status.py"), "out"]
    lines, as_json = (
        subprocess.run(
            [*command, *more], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        for more in ([], ["--json"])
    )
    assert lines.splitlines()[1] == "1 of 2 shards, 50.0% of the bytes"
    values = json.loads(as_json)
    assert values["shards_done"] == 1
    assert values["output"] == str(tmp_path / "out")


def text(found: status.RunStatus) -> str:
    return "\n".join(status_lines(found))
