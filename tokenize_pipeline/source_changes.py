"""Whether the files of a shard are still those that were planned."""

from collections.abc import Sequence

from tokenize_pipeline import storage
from tokenize_pipeline.errors import SourceChangedError
from tokenize_pipeline.records import FileInfo, SourceItem


def check_unchanged(items: Sequence[SourceItem]) -> None:
    """Make sure that what was read is what was planned, down to size and etag or time.

    A file that is gone is not another file: where it was gone before it was read, it is rejected.

    Raises:
        SourceChangedError: a file is another one now.
    """
    found = storage.for_each(storage.file_info, [item.url for item in items])
    changed = [item for item, info in zip(items, found, strict=True) if _differs(item, info)]
    if changed:
        others = f" and {len(changed) - 1} more files of its shard" if len(changed) > 1 else ""
        raise SourceChangedError(
            f"{changed[0].url}{others} changed since the run was planned; put back what was there, "
            "or choose another --output"
        )


def _differs(item: SourceItem, info: FileInfo | None) -> bool:
    if info is None:
        return False
    size_differs = info.size_bytes != item.size_bytes
    return size_differs or (item.version != "" and info.version != item.version)
