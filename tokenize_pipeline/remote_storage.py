"""Files behind URLs, through fsspec: the only place that knows of it.

Whatever a filesystem raises comes out as an OSError, which the pipeline takes as a fault of the
storage and not of a recording.
"""

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from datetime import datetime
from typing import Any, BinaryIO, cast

import fsspec

from tokenize_pipeline.credentials import without_secrets
from tokenize_pipeline.errors import ConfigurationError
from tokenize_pipeline.records import FileInfo

_BLOCK_BYTES = 4 << 20  # read at once
_ONE_PUT_BYTES = 2 << 30  # s3fs sends objects up to twice this in one request
_TIME_KEYS = ("LastModified", "last_modified", "mtime", "updated", "created")
_VERSION_KEYS = (
    *("ETag", "etag", "LastModified", "last_modified", "mtime", "updated", "md5Hash"),
    "blob_id",  # of files on the Hugging Face Hub
)

# A request that stalls is given up and repeated, with growing pauses: by botocore as said here, and
# what is left after that five times by s3fs. What the user has configured for fsspec goes first.
_S3_OPTIONS = {
    "connect_timeout": 10,
    "read_timeout": 20,
    "retries": {"mode": "standard", "max_attempts": 4},
}

# Packages that bring a protocol, and the extra of ours that installs them.
_PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), ("s3fs", "s3")),
    **dict.fromkeys(("gs", "gcs"), ("gcsfs", "gcs")),
    **dict.fromkeys(("http", "https"), ("aiohttp", "http")),
    "hf": ("huggingface_hub", "hf"),
}


def filesystem(url: str) -> tuple[Any, str]:
    """The filesystem of `url` and the path in it. Listings are never cached: others write too.

    Raises:
        ConfigurationError: its package is not installed, or there is no such protocol.
    """
    protocol = url.partition("://")[0]
    try:
        return cast(tuple[Any, str], fsspec.core.url_to_fs(url, **_options(protocol)))
    except ImportError as error:
        raise ConfigurationError(_missing_package(url, protocol, error)) from error
    except ValueError as error:
        cause = without_secrets(str(error))
        raise ConfigurationError(f"cannot open {without_secrets(url)}: {cause}") from error


@contextmanager
def faults_of(url: str) -> Iterator[None]:
    """Turn whatever a filesystem raises inside the block into an OSError that names `url`."""
    try:
        yield
    except (OSError, ConfigurationError):
        raise
    except Exception as error:  # every filesystem has its own
        cause = without_secrets(f"{type(error).__name__}: {error}")
        raise OSError(errno.EIO, cause, without_secrets(url)) from error


def info(url: str, found: dict[str, Any]) -> FileInfo:
    """What a listing says about a file."""
    version = next((str(found[key]) for key in _VERSION_KEYS if found.get(key)), "")
    return FileInfo(url, found.get("size") or 0, version, _modified(found))


def _modified(found: dict[str, Any]) -> float | None:
    """When a file was written; filesystems say it as a time, in seconds, or as ISO text."""
    value = next((found[key] for key in _TIME_KEYS if found.get(key)), None)
    if isinstance(value, str):
        with suppress(ValueError):
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
    if isinstance(value, datetime):
        return value.timestamp()
    return float(value) if isinstance(value, (int, float)) else None


def url_of(fs: Any, asked: str, asked_path: str, name: str) -> str:
    """The URL of a listed name, spelled like the URL that was asked for, host included."""
    asked = asked.rstrip("/")
    if asked.endswith(asked_path):
        return asked[: len(asked) - len(asked_path)] + name
    return str(fs.unstrip_protocol(name))


def open_file(url: str) -> BinaryIO:
    """The file at `url` for reading, seekable.

    Raises:
        FileNotFoundError: there is no such file.
    """
    with faults_of(url):
        fs, path = filesystem(url)
        return cast(BinaryIO, _RemoteFile(url, fs.open(path, "rb", block_size=_BLOCK_BYTES)))


def put_file(local_path: str, url: str) -> None:
    """Upload a local file in one request, if it is not gigantic."""
    with faults_of(url):
        fs, path = filesystem(url)
        options = {"chunksize": _ONE_PUT_BYTES} if _is_s3(fs) else {}
        fs.put_file(local_path, path, **options)


def create(url: str, data: bytes) -> bool:
    """Write a file that is not there yet; False if it is.

    When the answer to our own request was lost, its repetition finds our file.
    """
    with faults_of(url):
        fs, path = filesystem(url)
        try:
            fs.pipe_file(path, data, mode="create")
        except OSError:  # "exists already" has more than one form
            if not fs.exists(path):
                raise
            return bytes(fs.cat_file(path)) == data
        return True


def abort_uploads(url: str) -> None:
    """Forget uploads below the folder `url` that were begun and never ended.

    They are invisible, and cost money. Where we may not list them they stay.
    """
    with faults_of(url):
        fs, path = filesystem(url)
        if not _is_s3(fs):
            return
        bucket, _, folder = path.partition("/")
        with suppress(PermissionError, NotImplementedError):
            for upload in fs.list_multipart_uploads(bucket):
                key = upload["Key"]
                if key.startswith(f"{folder}/" if folder else ""):
                    fs.call_s3(
                        "abort_multipart_upload",
                        Bucket=bucket,
                        Key=key,
                        UploadId=upload["UploadId"],
                    )


def _missing_package(url: str, protocol: str, error: ImportError) -> str:
    advice = without_secrets(str(error))
    if protocol in _PACKAGES:
        package, extra = _PACKAGES[protocol]
        advice = f"install {package}, for example by: pip install 'tokenize-pipeline[{extra}]'"
    return f"cannot open {without_secrets(url)}: its package is not installed; {advice}"


def _options(protocol: str) -> dict[str, Any]:
    if protocol not in ("s3", "s3a"):
        return {"use_listings_cache": False}
    configured = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
    # botocore writes into what it is given.
    options = deepcopy({**_S3_OPTIONS, **configured})
    return {"use_listings_cache": False, "config_kwargs": options}


def _is_s3(fs: Any) -> bool:
    return "s3" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))


class _RemoteFile(io.RawIOBase):
    """A file of fsspec whose faults are OSErrors."""

    def __init__(self, url: str, file: Any) -> None:
        self._url = url
        self._file = file

    def read(self, size: int | None = -1, /) -> bytes:
        with faults_of(self._url):
            return bytes(self._file.read(-1 if size is None else size))

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self.read()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
