"""The folder of parts, OUTPUT/data, against what commit records say of it."""

import re
from collections.abc import Iterable, Mapping

from codec.hashing import sha256_of_file
from tokenize_pipeline import storage
from tokenize_pipeline.errors import RunFailedError
from tokenize_pipeline.records import CommitRecord, Shard

_PART_NAME = re.compile(r"train-\d{6,}-[0-9a-f]{10}\.parquet")


class PartsFolder:
    """The parts of one output.

    Args:
        url: OUTPUT/data.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def part_url(self, part: str) -> str:
        """Where the part of that file name is, or will be."""
        return storage.join(self.url, part)

    def sizes(self) -> dict[str, int]:
        """Bytes of every file that is there, by name: one listing."""
        files = storage.list_files(self.url)
        return {info.url.removeprefix(self.url).lstrip("/"): info.size_bytes for info in files}

    def sha256(self, part: str) -> str | None:
        """Of the bytes of a part; None if it is not there."""
        try:
            with storage.open_input(self.part_url(part)) as file:
                return sha256_of_file(file)
        except FileNotFoundError:
            return None

    def damaged(self, suspects: Iterable[CommitRecord]) -> set[str]:
        """Names of those parts whose bytes are not the committed ones."""
        return {r.part for r in suspects if r.part is not None and self.sha256(r.part) != r.sha256}

    def settle(self, records: Iterable[CommitRecord]) -> None:
        """See that every part is there at its size; remove parts that no record names.

        Raises:
            RunFailedError: one is missing, or has another size.
        """
        wanted = {r.part: r.size_bytes for r in records if r.part is not None}
        found = self.sizes()
        missing = [part for part in wanted if found.get(part) != wanted[part]]
        if missing:
            raise RunFailedError(
                f"{len(missing)} of {len(wanted)} parts are gone or not as long as when they were "
                f"written, {missing[0]} for one; the same command makes them again"
            )
        for name in found.keys() - wanted.keys():
            if _PART_NAME.fullmatch(name):
                storage.delete(self.part_url(name))


def holds(shard: Shard, record: CommitRecord, sizes: Mapping[str, int]) -> bool:
    """Whether what a commit record says of a shard is there: its part, at its size."""
    if record.part is None:
        return record.rows == 0
    return record.part == shard.part_name and sizes.get(record.part) == record.size_bytes
