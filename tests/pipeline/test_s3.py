"""Sources and outputs on S3: a real server in a process of its own."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs  # type: ignore[import-untyped]

from tests.fakes import MeanCodec
from tests.pipeline.audio_files import write_corpus
from tokenize_pipeline import load_tokens, storage
from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.plan import codec_identity, plan_items, plan_shards, run_identity
from tokenize_pipeline.shard import tokenize_shard


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An empty bucket."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = subprocess.DEVNULL
    with (
        pytest.MonkeyPatch.context() as patch,
        subprocess.Popen(command, stdout=quiet, stderr=quiet) as server,
    ):
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        try:
            wait_for(port, server)
            s3fs.S3FileSystem().mkdir("tokens")
            yield "s3://tokens"
        finally:
            s3fs.S3FileSystem.clear_instance_cache()
            server.terminate()


def wait_for(port: int, server: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("the S3 server did not start")


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
