"""The Ray cluster of a run: reaching it or starting it, and how many workers it has room for."""

import logging
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ray
import ray.util.client
from ray._private.state import state

from tokenize_pipeline.credentials import without_secrets
from tokenize_pipeline.errors import ConfigurationError
from tokenize_pipeline.scratch import scratch_folder

_KNOCK_SECONDS = 10.0
_JOIN_SECONDS = 60.0  # in which the first machine of a cluster that just began joins it
_TICK_SECONDS = 1.0
_NO_LIMIT = 1 << 30  # of CPUs or GPUs
_LONGEST_CAUSE = 500  # characters
_OBJECT_STORE_BYTES = 100 << 20  # of a local cluster; only small values travel
_OUR_PACKAGES = [str(Path(__file__).parents[1] / name) for name in ("codec", "tokenize_pipeline")]
_SHORT_FOLDER = Path("/tmp") if Path("/tmp").is_dir() else None  # noqa: S108  socket paths are short


class PoolConfig(Protocol):
    """What a cluster and a pool must know of a command; it is handed on to the workers."""

    @property
    def workers(self) -> int | None:
        """How many; None: as many as the cluster has room for."""

    @property
    def gpus_per_worker(self) -> float | None:
        """None: 1 where the cluster has GPUs, else 0."""

    @property
    def cpus_per_worker(self) -> float:
        """May be a fraction."""

    @property
    def address(self) -> str | None:
        """Of the cluster."""

    @property
    def shard_timeout_seconds(self) -> float:
        """Without any progress, before a worker is ended."""


@dataclass(frozen=True)
class Room:
    """What a cluster has for us."""

    workers: int
    gpus_per_worker: float
    is_fixed: bool = True  # the user said how many; otherwise it follows the machines there are


@contextmanager
def cluster(config: PoolConfig) -> Iterator[Room]:
    """A connection to a Ray cluster for as long as the block runs.

    Without an address it is the cluster of the Ray job that we run in, or else a local one of our
    own that ends with the block and leaves nothing behind.

    Raises:
        ConfigurationError: the cluster cannot be reached, or has no room for a worker.
    """
    if ray.is_initialized():  # by whoever called us, who also ends it
        yield _room(config)
        return
    on_sigterm = signal.getsignal(signal.SIGTERM)
    with scratch_folder("ray-", _SHORT_FOLDER) as folder:
        try:
            _connect(config, folder)
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, on_sigterm)  # Ray's own aborts after three seconds
            yield _room(config, patience_seconds=0 if config.address == "local" else _JOIN_SECONDS)
        finally:
            ray.shutdown()


def _connect(config: PoolConfig, folder: Path) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if config.address in (None, "local"):
        try:
            ray.init(address=config.address, **quiet, **_local_options(config, folder))
            return
        except ValueError:  # Ray's answer to these options inside a job, which has a cluster
            if config.address == "local":
                raise
    try:
        _knock(config.address)
        # Inside a job the packages come with its working directory.
        packages = None if config.address is None else {"py_modules": _OUR_PACKAGES}
        ray.init(address=config.address, runtime_env=packages, **quiet)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"cannot reach a Ray cluster at {config.address}: {one_line(error)}"
        ) from error


def _knock(address: str | None) -> None:
    """See whether anybody listens at host:port; Ray itself would wait for many minutes.

    Raises:
        OSError: nobody does.
    """
    host, _, port = (address or "").rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_SECONDS).close()


def _local_options(config: PoolConfig, folder: Path) -> dict[str, Any]:
    """A cluster on this machine with room for the workers asked for and nothing to spare."""
    cpus = max(os.cpu_count() or 1, math.ceil((config.workers or 1) * config.cpus_per_worker))
    return {
        "num_cpus": cpus,
        "include_dashboard": False,
        "object_store_memory": _OBJECT_STORE_BYTES,
        "runtime_env": {"py_modules": _OUR_PACKAGES},
        "_temp_dir": str(folder),
    }


def room_now(config: PoolConfig, gpus_per_worker: float) -> Room:
    """The room that there is by now, or may come; at least for one worker, who waits for it."""
    fitting = _fitting(config, gpus_per_worker, _resources())
    return Room(config.workers or max(1, fitting), gpus_per_worker, config.workers is not None)


def _room(config: PoolConfig, patience_seconds: float = 0.0) -> Room:
    """The room for a run that begins.

    Args:
        config: what the run was asked to do.
        patience_seconds: to wait for machines that are about to join.

    Raises:
        ConfigurationError: there is not even room for one worker.
    """
    end = time.monotonic() + patience_seconds
    while True:
        total = _resources()
        gpus = config.gpus_per_worker
        if gpus is None:
            gpus = 1.0 if total.get("GPU", 0) >= 1 else 0.0
        if _fitting(config, gpus, total) >= 1:
            return room_now(config, gpus)
        if time.monotonic() >= end:
            needed = f"{config.cpus_per_worker:g} CPUs and {gpus:g} GPUs"
            present = f"{total.get('CPU', 0):g} and {total.get('GPU', 0):g}"
            raise ConfigurationError(f"a worker needs {needed}; the cluster has {present}")
        time.sleep(_TICK_SECONDS)


def _fitting(config: PoolConfig, gpus: float, total: Mapping[str, float]) -> int:
    """Workers that resources are enough for."""
    fitting = total.get("CPU", 0) / config.cpus_per_worker
    return int(min(fitting, total.get("GPU", 0) / gpus) if gpus > 0 else fitting)


def _resources() -> Mapping[str, float]:
    """What the cluster has, or would have once its autoscaler has started all it may.

    Workers that wait are what tells an autoscaler to start machines. One without a limit is not
    taken at its word.
    """
    present = ray.cluster_resources()
    through_client = ray.util.client.ray.is_connected()  # which cannot ask for the limits
    possible = {} if through_client else state.get_max_resources_from_cluster_config() or {}
    limited = {key: amount for key, amount in possible.items() if amount < _NO_LIMIT}
    return {key: max(present.get(key, 0), limited.get(key, 0)) for key in ("CPU", "GPU")}


def one_line(error: BaseException) -> str:
    """An error as text that fits a log: without newlines, without end, without secrets."""
    text = without_secrets(" ".join(str(error).split()))
    return f"{type(error).__name__}: {text[:_LONGEST_CAUSE]}"
