"""A finished or unfinished run, opened for reading, and the codec that made it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from codec import Codec, CodecError, load_codec
from codec.base import CodecSpec
from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.errors import ConfigurationError, DamagedOutputError
from tokenize_pipeline.records import CommitRecord, Shard, SourceItem, TokenRow
from tokenize_pipeline.schema import read_part
from tokenize_pipeline.verification.problems import ProblemLog


@dataclass(frozen=True)
class OpenedRun:
    """What verification reads of a run before it reads a part."""

    folder: RunFolder
    identity: Mapping[str, Any]
    spec: CodecSpec
    num_codebooks: int
    plan: Sequence[Shard]
    commits: Mapping[int, CommitRecord]

    def parts(self) -> Iterator[CommitRecord]:
        """Commit records of shards that made a part, in order."""
        for index in sorted(self.commits):
            if self.commits[index].part is not None:
                yield self.commits[index]

    def all_rows(self) -> Iterator[TokenRow]:
        """Every row of every part that can be read."""
        for record in self.parts():
            yield from self.rows(str(record.part), ProblemLog())

    def items(self, shard: int) -> Sequence[SourceItem]:
        """The files that a shard reads; none if it is not planned."""
        return self._items_by_shard.get(shard, ())

    @cached_property
    def _items_by_shard(self) -> Mapping[int, Sequence[SourceItem]]:
        return {shard.index: shard.items for shard in self.plan}

    def rows(self, part: str, log: ProblemLog) -> Iterator[TokenRow]:
        """Rows of a part; reading stops at the first damage, which is noted."""
        try:
            yield from read_part(self.folder.part_url(part))
        except (DamagedOutputError, FileNotFoundError) as error:
            log.add("part_damaged", part, str(error))


def open_run(url: str) -> OpenedRun:
    """Open the OUTPUT of a run.

    Raises:
        ConfigurationError: there is no run.
        DamagedOutputError: its identity or its plan cannot be read.
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
    return OpenedRun(folder, identity, spec, num_codebooks, folder.plan(), folder.commits())


def load_run_codec(run: OpenedRun, device: str, threads: int, log: ProblemLog) -> Codec | None:
    """The codec of a run; None, and a problem noted, if it cannot be had or is not the same.

    Args:
        run: whose codec it is.
        device: where it runs.
        threads: of a CPU, that work on recordings side by side.
        log: takes the problem.
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
        )
    except CodecError as error:
        log.add("codec_unavailable", where, str(error))
        return None
    if codec.spec.fingerprint != run.spec.fingerprint:
        found, wanted = codec.spec.fingerprint[:12], run.spec.fingerprint[:12]
        log.add("codec_differs", where, f"fingerprint {found}, the run was made with {wanted}")
        return None
    return codec
