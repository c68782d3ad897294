"""Sources and outputs on S3: a real server in a process of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs  # type: ignore[import-untyped]

from tests.fakes import MeanCodec
from tests.pipeline.audio_files import write_corpus
from tests.s3_server import CREDENTIALS, s3_server
from tokenize_pipeline import load_tokens, storage
from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.plan import codec_identity, plan_items, plan_shards, run_identity
from tokenize_pipeline.shard import tokenize_shard
from tokenize_pipeline.status import read_status


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An empty bucket."""
    with s3_server() as port, pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("tokens")
        yield "s3://tokens"
        s3fs.S3FileSystem.clear_instance_cache()


def test_a_run_from_bucket_to_bucket_is_that_of_local_files(bucket: str, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", count=9)
    for path in corpus.rglob("*.*"):
        name = path.relative_to(corpus).as_posix()
        storage.put_file(path, storage.join(bucket, "corpus", name))
    rows = {}
    for source, output in (
        (str(corpus), str(tmp_path / "out")),
        (f"{bucket}/corpus", f"{bucket}/out"),
    ):
        folder = finished_run(source, output)
        assert len(folder.rejected()) == 2
        rows[source] = [(row["id"], row["codes"]) for row in load_tokens(output, streaming=True)]
    local, remote = rows.values()
    assert len(local) == 9
    assert remote == local
    status = read_status(f"{bucket}/out")
    assert (status.shards_done, status.rejected) == (2, 2)
    assert 0 <= status.seconds_since_start < 600, "times of objects are not seen"
    assert status.seconds_since_commit is not None


def finished_run(source: str, output: str) -> RunFolder:
    """A run in this process."""
    config = TokenizeConfig((source,), output)
    identity = codec_identity(MeanCodec().spec, config)
    shards = plan_shards(plan_items(config.sources), identity)
    folder = RunFolder(output)
    assert not folder.exists()
    folder.start(run_identity(identity, shards), shards)
    for shard in shards:
        record = tokenize_shard(shard, MeanCodec(), config)
        folder.commit(record)
    assert sorted(folder.finished(shards)) == [shard.index for shard in shards]
    assert folder.plan() == shards
    folder.write_rejected()
    folder.clean_staging()
    return folder


def test_objects_are_listed_with_their_etags(bucket: str) -> None:
    url = f"{bucket}/listed/a b#é.wav"
    storage.write_bytes(url, b"one")
    first = storage.list_files(f"{bucket}/listed")
    assert [(info.url, info.size_bytes) for info in first] == [(url, 3)]
    storage.write_bytes(url, b"two")
    second = storage.list_files(f"{bucket}/listed")
    assert first[0].version != second[0].version, "a listing was cached, or the etag is not used"
    assert storage.file_info(url) == second[0]
    assert storage.is_folder(f"{bucket}/listed")
    assert storage.list_matches(f"{bucket}/lis*/*.wav") == [url]
    storage.delete(url)
    assert not storage.exists(url)
