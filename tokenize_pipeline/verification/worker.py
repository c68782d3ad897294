"""What verifies shards inside an actor: one codec, one shard at a time. Knows nothing of Ray."""

import torch

from codec.exact import one_thread
from tokenize_pipeline.progress import Tally
from tokenize_pipeline.records import Failure, Shard
from tokenize_pipeline.verification.findings import ShardFindings
from tokenize_pipeline.verification.opened_run import CommittedShard, load_run_codec, read_facts
from tokenize_pipeline.verification.problems import ProblemLog
from tokenize_pipeline.verification.settings import VerifyConfig
from tokenize_pipeline.verification.shard_check import ShardVerifier
from tokenize_pipeline.worker import failure


class VerifyWorker:
    """Verifies shards of one run.

    Args:
        config: what the verification was asked to do.
        use_gpu: whether a GPU was asked for; without a real one the CPU is used.
        report: what a worker that tokenizes tells its figures to; nothing is told here.
    """

    def __init__(self, config: VerifyConfig, use_gpu: bool, report: object = None) -> None:
        del report
        self._config = config
        self._device = "cuda" if use_gpu and torch.cuda.is_available() else "cpu"
        self._tally = Tally()
        self._verifier: ShardVerifier | None = None

    def start(self) -> Failure | None:
        """Load the codec, or do without one if it cannot be had; the driver says so once."""
        try:
            run = read_facts(self._config.output)
            threads = self._config.threads_per_worker
            slots = self._config.gpu_slots
            codec = load_run_codec(run, self._device, threads, ProblemLog(), slots)
            with one_thread():
                self._verifier = ShardVerifier(run, codec, self._config.share, self._tally)
        except Exception as error:  # noqa: BLE001  the actor boundary
            return failure(error)
        return None

    def work(self, shard: Shard, attempt: int) -> ShardFindings | Failure:
        """Verify a shard to its end."""
        del attempt  # nothing is written, so every attempt is like the first
        try:
            assert self._verifier is not None, "start() comes first"
            assert isinstance(shard, CommittedShard), "only what is done can be verified"
            with one_thread():
                return self._verifier.verify(shard)
        except Exception as error:  # noqa: BLE001  the actor boundary
            return failure(error)

    def tally(self) -> Tally:
        """What was looked at so far. May be called while `work` runs."""
        return self._tally
