"""Which rows are decoded again: a choice that depends on their ids alone."""

import hashlib
from collections.abc import Iterable, Iterator

from tokenize_pipeline.records import TokenRow


def sample_rows(rows: Iterable[TokenRow], fraction: float) -> Iterator[TokenRow]:
    """About `fraction` of the rows, and at least one if there are any.

    Rows are chosen by a hash, so that neither their order nor what else is there changes the
    choice. One row is held besides the one given out.
    """
    chosen_any = False
    first: tuple[int, TokenRow] | None = None  # lowest hash so far, stands in if none is chosen
    for row in rows:
        key = row_key(row.id)
        if key < fraction * 2**64:
            chosen_any, first = True, None
            yield row
        elif not chosen_any and (first is None or key < first[0]):
            first = (key, row)
    if first is not None:
        yield first[1]


def row_key(row_id: str) -> int:
    """64 bits that stand for the id of a row."""
    digest = hashlib.sha256(row_id.encode("utf-8", "backslashreplace"))
    return int.from_bytes(digest.digest()[:8], "big")
