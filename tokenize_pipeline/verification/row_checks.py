"""Integrity of rows: cheap, without a codec, of every row of a dataset.

Dimension key: K codebooks, T frames.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from codec.base import CodecSpec
from tokenize_pipeline.records import TokenRow


def row_problems(row: TokenRow, spec: CodecSpec, num_codebooks: int) -> Iterator[tuple[str, str]]:
    """What is wrong with a row: codes of problems, and details for people."""
    if row.codes.shape[0] != num_codebooks:
        detail = f"{row.codes.shape[0]} codebooks, the run has {num_codebooks}"
        yield "codebook_count_differs", detail
    if row.codes.size and row.codes.max() >= spec.codebook_size:
        detail = f"code {row.codes.max()}, a codebook has {spec.codebook_size} entries"
        yield "code_out_of_range", detail
    if row.num_samples < 1:
        yield "row_without_samples", f"num_samples is {row.num_samples}"
    if _lacks_chunk(row, spec):
        wanted = spec.num_frames(row.num_samples)
        yield "chunk_lost", f"{row.codes.shape[1]} frames of codes, {wanted} expected"
        return
    frames = (row.codes.shape[1], row.num_frames, spec.num_frames(row.num_samples))
    if len(set(frames)) > 1:
        yield (
            "frame_count_differs",
            f"{frames[0]} frames of codes, num_frames {frames[1]}, and {row.num_samples} samples "
            f"make {frames[2]}",
        )
    yield from _scale_problems(row, spec)


def _lacks_chunk(row: TokenRow, spec: CodecSpec) -> bool:
    """Whether the codes are those of all chunks but one."""
    if spec.chunk_samples is None:
        return False
    of_chunks = spec.chunk_frames(row.num_samples)
    missing = sum(of_chunks) - row.codes.shape[1]
    return len(of_chunks) > 1 and missing > 0 and missing in of_chunks


def _scale_problems(row: TokenRow, spec: CodecSpec) -> Iterator[tuple[str, str]]:
    found = None if row.scales is None else len(row.scales)
    wanted = len(spec.chunk_lengths(row.num_samples)) if spec.normalizes else None
    if wanted and (row.scales is None or not found or bool((row.scales == 1).all())):
        yield "scales_dropped", f"{_scales(found)}{', all of them 1' if found else ''}"
        return
    if found != wanted:
        yield "scale_count_differs", f"{_scales(found)}, {_scales(wanted)} expected"
    if row.scales is not None:
        bad = ~(np.isfinite(row.scales) & (row.scales > 0))
        if bad.any():
            chunk = int(bad.argmax())
            yield "scale_not_finite", f"the scale of chunk {chunk} is {row.scales[chunk]}"


def place_problem(row: TokenRow, before: TokenRow | None) -> str | None:
    """Why a row cannot follow the one before it: rows of a recording come in order, without gaps.

    Args:
        row: of a part.
        before: the row before it in the part; None for the first.
    """
    if row.start_sample == 0:
        return None
    if before is None or before.source != row.source:
        return f"it begins at sample {row.start_sample}, and no row of its recording comes before"
    end = before.start_sample + before.num_samples
    if row.start_sample != end:
        return f"it begins at sample {row.start_sample}, the row before it ends at {end}"
    return None


def with_neighbours(
    rows: Iterable[TokenRow],
) -> Iterator[tuple[TokenRow | None, TokenRow, TokenRow | None]]:
    """Each row with the ones before and after it; holds three."""
    before: TokenRow | None = None
    current: TokenRow | None = None
    for row in rows:
        if current is not None:
            yield before, current, row
        before, current = current, row
    if current is not None:
        yield before, current, None


def _scales(count: int | None) -> str:
    return "no scales" if count is None else f"{count} scales"
