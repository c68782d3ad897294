"""The run folder keeps what it is told and believes nothing that was changed."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenize_pipeline import storage
from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.errors import DamagedOutputError
from tokenize_pipeline.records import CommitRecord, RejectedRecording, Shard, SourceItem
from tokenize_pipeline.schema import rejected_from_bytes

ITEM = SourceItem("en/é.flac", "/corpus/en/é.flac", 12, "17")
SHARDS = [Shard(0, "0123456789", (ITEM,)), Shard(1, "abcdef0123", (ITEM, ITEM))]


def record(shard: int = 0, part: str | None = "train-000000-0123456789.parquet") -> CommitRecord:
    return CommitRecord(
        shard=shard,
        part=part,
        recordings=3,
        rows=2,
        seconds=1.1,
        sha256="f" * 64,
        size_bytes=7,
        rejected=(RejectedRecording("x", "/x", "empty", "nothing in it"),),
        attempts=1,
    )


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(str(tmp_path / "out"))


def test_a_run_is_read_back(folder: RunFolder) -> None:
    assert not folder.exists()
    folder.start({"codec": {"name": "mean"}}, SHARDS)
    folder.commit(record())
    assert folder.exists()
    assert folder.identity() == {"codec": {"name": "mean"}}
    assert folder.plan() == SHARDS
    assert folder.commits() == {0: record()}
    assert folder.rejected() == list(record().rejected)
    assert folder.part_urls() == [folder.part_url("train-000000-0123456789.parquet")]


def test_the_identity_is_written_after_the_plan(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(storage, "put_file", lambda _, url, **__: written.append(Path(url).name))
    monkeypatch.setattr(
        storage, "write_bytes", lambda url, *_, **__: written.append(Path(url).name)
    )
    folder.start({}, SHARDS)
    assert written == ["plan.jsonl", "run.json"]


@given(st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_changed_commit_record_is_no_commit_record(
    folder: RunFolder, data: st.DataObject
) -> None:
    folder.commit(record())
    path = Path(folder.url, "_run", "commits", "000000.json")
    original = path.read_bytes()
    content = bytearray(original)
    offset = data.draw(st.integers(0, len(content) - 1))
    content[offset] = data.draw(st.integers(32, 126).filter(lambda c: c != content[offset]))
    path.write_bytes(content)
    try:
        same = json.loads(content) == json.loads(original)
    except ValueError:
        same = False
    assert folder.commits() == ({0: record()} if same else {})


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff", b'{"shard": 0'])
def test_what_is_no_record_is_left_out(folder: RunFolder, content: bytes) -> None:
    folder.commit(record())
    Path(folder.url, "_run", "commits", "000000.json").write_bytes(content)
    assert folder.commits() == {}


def test_a_shard_is_finished_while_its_part_is_there_whole(folder: RunFolder) -> None:
    part = SHARDS[0].part_name
    folder.commit(record(part=part))
    assert folder.finished(SHARDS) == {}
    path = Path(folder.part_url(part))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"1234567")
    assert folder.finished(SHARDS) == {0: record(part=part)}
    folder.commit(record(shard=1, part=part))
    assert sorted(folder.finished(SHARDS)) == [0], "the part of another shard"
    path.write_bytes(b"123456")
    assert folder.finished(SHARDS) == {}


def test_what_verification_found_damaged_is_not_finished_until_it_is_whole(
    folder: RunFolder,
) -> None:
    part = SHARDS[0].part_name
    path = Path(folder.part_url(part))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"1234567")
    whole = replace(record(part=part), sha256=hashlib.sha256(b"1234567").hexdigest())
    folder.commit(whole)
    path.write_bytes(b"1234568")
    assert folder.finished(SHARDS) == {0: whole}, "nobody has looked yet"
    verified = Path(folder.url, "_run", "verify.json")
    for content in ("", "{}", "[]", '{"damaged_parts": []}', '{"damaged_parts": ["other"]}'):
        verified.write_text(content)
        assert folder.finished(SHARDS) == {0: whole}
    verified.write_text(json.dumps({"damaged_parts": [part]}))
    assert folder.finished(SHARDS) == {}
    path.write_bytes(b"1234567")
    assert folder.finished(SHARDS) == {0: whole}, "made anew since"


def test_rejected_recordings_are_gathered_also_when_there_are_none(folder: RunFolder) -> None:
    path = Path(folder.url, "_run", "rejected.parquet")
    folder.write_rejected()
    assert rejected_from_bytes(path.read_bytes()) == []
    folder.commit(record())
    folder.write_rejected()
    assert rejected_from_bytes(path.read_bytes()) == list(record().rejected)


def test_staging_is_emptied(folder: RunFolder, tmp_path: Path) -> None:
    finished = tmp_path / "train-000000-0123456789.parquet"
    finished.write_bytes(b"part")
    folder.publish(finished)
    left_behind = Path(folder.url, "_run", "staging", ".train.abc.tmp")
    left_behind.write_bytes(b"half")
    folder.clean_staging()
    assert not left_behind.parent.exists()
    assert [path.name for path in Path(folder.url, "data").iterdir()] == [finished.name]
    folder.clean_staging()


def test_damage_and_absence_are_clear_errors(folder: RunFolder) -> None:
    with pytest.raises(DamagedOutputError, match="does not exist: no run was started here"):
        folder.identity()
    folder.start({}, SHARDS)
    run_json = Path(folder.url, "_run", "run.json")
    run_json.write_text("[]")
    with pytest.raises(DamagedOutputError, match="holds no JSON object"):
        folder.identity()
    run_json.write_text("{")
    with pytest.raises(DamagedOutputError, match=r"run.json is damaged"):
        folder.identity()
    Path(folder.url, "_run", "plan.jsonl").write_text('{"index": 0}\n')
    with pytest.raises(DamagedOutputError, match=r"plan.jsonl is damaged"):
        folder.plan()
