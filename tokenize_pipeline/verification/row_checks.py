"""Integrity of rows: cheap, without a codec, of every row of a dataset.

Dimension key: K codebooks, T frames.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from codec.base import CodecSpec
from tokenize_pipeline.records import TokenRow
from tokenize_pipeline.verification.code_statistics import CodeCounts
from tokenize_pipeline.verification.problems import ProblemLog
from tokenize_pipeline.verification.sampling import row_key


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
    frames = (row.codes.shape[1], row.num_frames, spec.num_frames(row.num_samples))
    if len(set(frames)) > 1:
        yield (
            "frame_count_differs",
            f"{frames[0]} frames of codes, num_frames {frames[1]}, and {row.num_samples} samples "
            f"make {frames[2]}",
        )
    yield from _scale_problems(row, spec)


def _scale_problems(row: TokenRow, spec: CodecSpec) -> Iterator[tuple[str, str]]:
    found = None if row.scales is None else len(row.scales)
    wanted = len(spec.chunk_lengths(row.num_samples)) if spec.normalizes else None
    if found != wanted:
        yield "scale_count_differs", f"{_scales(found)}, {_scales(wanted)} expected"
    if row.scales is not None:
        bad = ~(np.isfinite(row.scales) & (row.scales > 0))
        if bad.any():
            chunk = int(bad.argmax())
            yield "scale_not_finite", f"the scale of chunk {chunk} is {row.scales[chunk]}"


def _scales(count: int | None) -> str:
    return "no scales" if count is None else f"{count} scales"


class RowChecks:
    """Checks rows as they pass by, and gathers what only all of them together can tell.

    Args:
        spec: codec of the run.
        num_codebooks: K of the run.
        log: takes the problems.
    """

    def __init__(self, spec: CodecSpec, num_codebooks: int, log: ProblemLog) -> None:
        self.rows = 0
        self.recordings = 0
        self.num_samples = 0
        self.num_frames = 0
        self.codes = CodeCounts(num_codebooks, spec.codebook_size)
        self._spec = spec
        self._num_codebooks = num_codebooks
        self._log = log
        self._keys = array("Q")  # 8 bytes a row, however many rows there are

    def sound_rows(self, rows: Iterable[TokenRow]) -> Iterator[TokenRow]:
        """Check rows, and pass on those without a problem."""
        for row in rows:
            self.rows += 1
            self.recordings += row.start_sample == 0
            self.num_samples += row.num_samples
            self.num_frames += row.num_frames
            self._keys.append(row_key(row.id))
            problems = list(row_problems(row, self._spec, self._num_codebooks))
            for code, detail in problems:
                self._log.add(code, row.id, detail)
            if not problems:
                self.codes.add(row.codes)
                yield row

    def check_codebooks(self) -> None:
        """Look for codebooks that carry nothing. Call after all rows."""
        for index, statistics in enumerate(self.codes.statistics()):
            if statistics.is_constant:
                detail = f"one code in all of its {statistics.frames} frames"
                self._log.add("constant_codebook", f"codebook {index}", detail)

    def check_ids(self, all_rows: Iterable[TokenRow]) -> None:
        """Look for rows that are there twice. Call after all rows.

        Args:
            all_rows: every row again; consumed only if some keys are equal.
        """
        keys, counts = np.unique(np.frombuffer(self._keys, dtype=np.uint64), return_counts=True)
        suspects = set(keys[counts > 1].tolist())
        if not suspects:
            return
        found = Counter(row.id for row in all_rows if row_key(row.id) in suspects)
        for row_id, times in found.items():
            if times > 1:
                self._log.add("id_twice", row_id, f"{times} rows have this id")
