"""What filesystems raise comes out as one kind of error; missing ones say what to do."""

import subprocess
import sys
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tests.conftest import REPOSITORY
from tokenize_pipeline import remote_storage, storage

_MISSING = """
import sys

sys.modules.update(dict.fromkeys(["s3fs", "gcsfs", "aiohttp", "huggingface_hub"]))
from tokenize_pipeline import storage
from tokenize_pipeline.errors import ConfigurationError

for url in sys.argv[1:]:
    try:
        storage.file_info(url)
    except ConfigurationError as error:
        print(error)
"""


def test_a_protocol_whose_package_is_missing_names_it() -> None:
    wanted = {
        "s3://bucket/x": ("s3fs", "s3"),
        "gs://bucket/x": ("gcsfs", "gcs"),
        "http://host/x": ("aiohttp", "http"),
        "https://host/x": ("aiohttp", "http"),
        "hf://datasets/x/y": ("huggingface_hub", "hf"),
    }
    done = subprocess.run(
        [sys.executable, "-c", _MISSING, *wanted],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        f"cannot open {url}: its package is not installed; install {package}, for example by: "
        f"pip install 'tokenize-pipeline[{extra}]'"
        for url, (package, extra) in wanted.items()
    ]


class OddError(Exception):
    """What no other library knows of."""


class OddFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """Fails in its own way at whatever is asked of it."""

    protocol = "odd"
    cachable = False

    def _fail(self, *_: Any, **__: Any) -> Any:
        raise OddError("https://user:secret@host refused")

    info = find = glob = pipe_file = put_file = rm_file = cat_file = exists = isdir = _fail


class FadingFile:
    """Can be opened, and then not be read."""

    def read(self, _size: int = -1) -> bytes:
        raise OddError("gone")

    def seek(self, offset: int, _whence: int = 0) -> int:
        return offset

    def tell(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize(
    "ask",
    [
        storage.file_info,
        storage.list_files,
        storage.list_matches,
        storage.exists,
        storage.is_folder,
        storage.read_bytes,
        storage.delete,
        lambda url: storage.write_bytes(url, b""),
        lambda url: storage.create_bytes(url, b""),
        lambda url: storage.put_file(__file__, url),
    ],
)
def test_every_fault_is_an_oserror_without_secrets(
    ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_storage, "filesystem", lambda _: (OddFileSystem(), "/x"))
    monkeypatch.setattr(storage, "filesystem", lambda _: (OddFileSystem(), "/x"))
    with pytest.raises(OSError, match=r"OddError: https://\*\*\*@host refused"):
        ask("odd://x")


def test_faults_while_reading_are_oserrors_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoders take any other exception for the end of the file."""
    fs = OddFileSystem()
    fs.open = lambda *_, **__: FadingFile()
    monkeypatch.setattr(remote_storage, "filesystem", lambda _: (fs, "/x"))
    with storage.open_input("odd://x") as file:
        with pytest.raises(OSError, match="OddError: gone"):
            file.read(10)
        with pytest.raises(OSError, match="OddError: gone"):
            file.readinto(bytearray(5))  # type: ignore[attr-defined]


def test_s3_has_time_outs_and_retries_and_users_may_set_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def options() -> dict[str, Any]:
        found: dict[str, Any] = remote_storage._options("s3")["config_kwargs"]
        return found

    assert options() == {
        "connect_timeout": 10,
        "read_timeout": 20,
        "retries": {"mode": "standard", "max_attempts": 4},
    }
    options()["retries"]["max_attempts"] = 0  # as botocore does
    assert options()["retries"]["max_attempts"] == 4
    monkeypatch.setitem(fsspec.config.conf, "s3", {"config_kwargs": {"read_timeout": 99}})
    assert options()["read_timeout"] == 99
    assert options()["connect_timeout"] == 10


def test_created_once(tmp_path: Any) -> None:
    for url in (str(tmp_path / "a" / "lock"), f"memory://{tmp_path.name}/lock"):
        assert storage.create_bytes(url, b"mine")
        assert not storage.create_bytes(url, b"yours")
        assert storage.read_bytes(url) == b"mine"
