"""A finished or unfinished run, opened for reading, and the codec that made it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from codec import Codec, CodecError, load_codec
from codec.base import CodecSpec
from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.errors import ConfigurationError, DamagedOutputError
from tokenize_pipeline.records import CommitRecord, Shard
from tokenize_pipeline.verification.problems import ProblemLog


@dataclass(frozen=True)
class CommittedShard(Shard):
    """A shard that is done, with what its commit record says of it."""

    record: CommitRecord = field(kw_only=True)


@dataclass(frozen=True)
class RunFacts:
    """What a worker must know of a run to verify a shard of it."""

    folder: RunFolder
    identity: Mapping[str, Any]
    spec: CodecSpec
    num_codebooks: int


@dataclass(frozen=True)
class OpenedRun(RunFacts):
    """What verification reads of a run before it reads a part."""

    plan: Sequence[Shard]
    commits: Mapping[int, CommitRecord]

    def shards_with_parts(self) -> list[CommittedShard]:
        """Shards that made a part, in order. One that is not planned has no items."""
        planned = {shard.index: shard for shard in self.plan}
        done = []
        for index in sorted(self.commits):
            record = self.commits[index]
            if record.part is not None:
                shard = planned.get(index, Shard(index, "", ()))
                done.append(CommittedShard(**vars(shard), record=record))
        return done


def read_facts(url: str) -> RunFacts:
    """The identity of a run.

    Raises:
        ConfigurationError: there is no run at `url`.
        DamagedOutputError: its identity cannot be read.
    """
    folder = RunFolder(url)
    if not folder.exists():
        raise ConfigurationError(
            f"{url} holds no run: there is no _run/run.json in it; give the --output of tokenize"
        )
    identity = folder.identity()
    try:
        spec = CodecSpec.from_dict(identity["codec"])
        num_codebooks = int(identity["num_codebooks"])
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedOutputError(f"{url}/_run/run.json names no codec: {error}") from error
    return RunFacts(folder, identity, spec, num_codebooks)


def open_run(url: str) -> OpenedRun:
    """Open the OUTPUT of a run.

    Raises:
        ConfigurationError: there is no run.
        DamagedOutputError: its identity or its plan cannot be read.
    """
    facts = read_facts(url)
    folder = facts.folder
    return OpenedRun(
        folder, facts.identity, facts.spec, facts.num_codebooks, folder.plan(), folder.commits()
    )


def load_run_codec(
    run: RunFacts, device: str, threads: int, log: ProblemLog, gpu_slots: int | None = None
) -> Codec | None:
    """The codec of a run; None, and a problem noted, if it cannot be had or is not the same.

    Args:
        run: whose codec it is.
        device: where it runs.
        threads: of a CPU, that work on recordings side by side.
        log: takes the problem.
        gpu_slots: of the codec's grid on a GPU; its usual number when None.
    """
    where = run.spec.name
    options = run.identity.get("codec_options", {})
    try:
        codec = load_codec(
            where,
            device,
            chunk_seconds=options.get("chunk_seconds"),
            overlap=options.get("overlap"),
            normalize=options.get("normalize"),
            threads=threads,
            precision=run.spec.precision,
            gpu_slots=gpu_slots,
        )
    except CodecError as error:
        log.add("codec_unavailable", where, str(error))
        return None
    if codec.spec.fingerprint != run.spec.fingerprint:
        found, wanted = codec.spec.fingerprint[:12], run.spec.fingerprint[:12]
        log.add("codec_differs", where, f"fingerprint {found}, the run was made with {wanted}")
        return None
    return codec
