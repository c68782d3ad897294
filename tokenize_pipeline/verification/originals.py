"""From a row back to the recording that it was made of."""

from collections.abc import Iterable

from tokenize_pipeline import storage
from tokenize_pipeline.records import Recording, SourceItem, TokenRow
from tokenize_pipeline.schema import stored_text
from tokenize_pipeline.sources import read_recordings
from tokenize_pipeline.verification.problems import Problem


def find_original(row: TokenRow, items: Iterable[SourceItem]) -> Recording | Problem:
    """The recording of a row, not yet read, or why it cannot be had.

    Args:
        row: its source is a file, or begins with the URL of the file that it lies in.
        items: files of the shard of the row.
    """
    for item in items:
        if not row.source.startswith(stored_text(item.url)):
            continue
        if (problem := _changed(row, item)) is not None:
            return problem
        for entry in read_recordings(item):
            if isinstance(entry, Recording) and stored_text(entry.source) == row.source:
                return entry
    return Problem("source_unavailable", row.id, f"the plan has no {row.source}")


def _changed(row: TokenRow, item: SourceItem) -> Problem | None:
    info = storage.file_info(item.url)
    if info is None:
        return Problem("source_unavailable", row.id, f"{item.url} is not there any more")
    if info.size_bytes != item.size_bytes:
        detail = f"{item.url} has {info.size_bytes} bytes, the plan says {item.size_bytes}"
        return Problem("source_changed", row.id, detail)
    return None
