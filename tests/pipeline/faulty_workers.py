"""Workers that die and fail on purpose. What they did before is kept in files."""

import os
import signal
import sys
import time
from pathlib import Path

from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.progress import Tally
from tokenize_pipeline.records import CommitRecord, Failure, Shard
from tokenize_pipeline.worker import Report, Worker


class UnpicklableError(Exception):
    """Cannot leave the process."""

    def __reduce__(self) -> str:
        raise TypeError("not for travelling")


class FaultyWorker(Worker):
    """Does what the id of a shard's first item says: `<fault>` or `<fault> once`."""

    def __init__(self, config: TokenizeConfig, use_gpu: bool, report: Report) -> None:
        super().__init__(config, use_gpu, report)
        self._log = Path(config.output)

    def start(self) -> Failure | None:
        if self._config.codec == "no start":
            return Failure("CheckpointError: no such weights")
        if self._config.codec == "dies at start":
            os._exit(1)
        return None

    def work(self, shard: Shard, attempt: int) -> CommitRecord | Failure:
        with (self._log / "order.txt").open("a") as file:
            file.write(f"{shard.index} {attempt}\n")
        fault, _, once = shard.items[0].id.partition(" ")
        if not once or attempt == 1:
            failure = self._fail(fault)
            if failure is not None:
                return failure
        return CommitRecord(shard.index, None, 1, 0, 0.0, None, 0, (), attempt)

    def tally(self) -> Tally:
        return Tally(recordings=1, samples=24000)

    def _fail(self, fault: str) -> Failure | None:
        if fault == "exit":
            os._exit(7)
        if fault == "sys.exit":
            sys.exit(3)
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "unpicklable":
            raise UnpicklableError("secret")
        if fault == "failure":
            return Failure("RuntimeError: a bad shard (shard.py, line 1)")
        if fault == "slow":
            time.sleep(2.5)
        if fault == "hang":
            time.sleep(3600)
        return None
