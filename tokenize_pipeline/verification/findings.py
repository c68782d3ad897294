"""What verification found in one shard: small, sent between processes, added up by the driver."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tokenize_pipeline.verification.code_statistics import CodeCounts
from tokenize_pipeline.verification.problems import ProblemLog
from tokenize_pipeline.verification.round_trip import RoundTrip


@dataclass
class ShardFindings:
    """Counts and findings of one shard. Grows by the 8 bytes of a key with each row."""

    shard: int
    part: str | None
    codes: CodeCounts
    problems: ProblemLog = field(default_factory=ProblemLog)
    notices: ProblemLog = field(default_factory=ProblemLog)
    rows: int = 0
    recordings: int = 0
    samples: int = 0
    frames: int = 0
    keys: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    trips: list[RoundTrip] = field(default_factory=list)
