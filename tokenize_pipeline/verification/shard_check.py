"""The whole verification of one shard, the same in a Ray actor and in a plain process.

part -> bytes and codec -> every row: checks, counts, sample -> round trips -> verdicts
"""

import numpy as np

from codec import Codec
from tokenize_pipeline.errors import DamagedOutputError
from tokenize_pipeline.progress import Tally
from tokenize_pipeline.records import TokenRow
from tokenize_pipeline.schema import read_part
from tokenize_pipeline.verification.code_statistics import CodeCounts
from tokenize_pipeline.verification.findings import ShardFindings
from tokenize_pipeline.verification.folder_checks import check_counts, check_part
from tokenize_pipeline.verification.opened_run import CommittedShard, RunFacts
from tokenize_pipeline.verification.problems import Problem
from tokenize_pipeline.verification.round_trip import measure
from tokenize_pipeline.verification.row_checks import place_problem, row_problems, with_neighbours
from tokenize_pipeline.verification.sampling import Sampler, row_key
from tokenize_pipeline.verification.still_codes import StillRun, find_still_run, silence_codes
from tokenize_pipeline.verification.verdicts import judge


class ShardVerifier:
    """Verifies shards of one run, one after another.

    Args:
        run: that they belong to.
        codec: that made the codes; None where it cannot be had, so that nothing is decoded.
        share: of the audio of a shard to decode and compare, 0 to 1.
        tally: kept up to date while the work goes on, for whoever watches.
    """

    def __init__(
        self, run: RunFacts, codec: Codec | None, share: float, tally: Tally | None = None
    ) -> None:
        self._tally = tally or Tally()
        self._run = run
        self._codec = codec
        self._share = share
        self._silence = (
            frozenset[bytes]() if codec is None else silence_codes(codec, run.num_codebooks)
        )

    def verify(self, shard: CommittedShard) -> ShardFindings:
        """Check every row of a shard and the round trip of a sample of them."""
        spec, part = self._run.spec, shard.record.part
        findings = ShardFindings(
            shard.index, part, CodeCounts(self._run.num_codebooks, spec.codebook_size)
        )
        log = findings.problems
        if part is None or not check_part(self._run.folder, shard.record, spec, log):
            return findings
        budget = round(self._share * shard.record.seconds * spec.sample_rate)
        sampler = Sampler(spec, part, None if self._share == 1 else budget)
        still = self._check_rows(shard, findings, sampler)
        if self._codec is not None:
            for found in measure(sampler.chosen(), shard.items, self._codec):
                self._tally.samples += 1  # so that it is seen that the work goes on
                if isinstance(found, Problem):
                    log.take(found)
                else:
                    findings.trips.append(found)
        judge(findings, still, spec)
        return findings

    def _check_rows(
        self, shard: CommittedShard, findings: ShardFindings, sampler: Sampler
    ) -> dict[str, StillRun]:
        """Check and count every row; returns those that stand still though they are not silent."""
        part, still = str(shard.record.part), {}
        keys: list[int] = []
        try:
            rows = read_part(self._run.folder.part_url(part))
            for before, row, after in with_neighbours(rows):
                keys.append(row_key(row.id))
                if not self._check_row(row, before, findings):
                    continue
                run = find_still_run(row, self._run.spec, self._silence)
                if run is not None and run.is_silence:
                    findings.notices.add("silent_audio", row.id, run.text(self._run.spec))
                elif run is not None:
                    still[row.id] = run
                ends = after is None or after.start_sample == 0
                sampler.add(row, ends_recording=ends, still=still.get(row.id))
        except (DamagedOutputError, FileNotFoundError) as error:
            findings.problems.add("part_damaged", part, str(error))
        else:
            check_counts(shard.record, findings.rows, findings.recordings, findings.problems)
        findings.keys = np.array(keys, dtype=np.uint64)
        return still

    def _check_row(self, row: TokenRow, before: TokenRow | None, findings: ShardFindings) -> bool:
        """Count a row and note its problems; returns whether its codes can be trusted."""
        self._tally.recordings += row.start_sample == 0
        self._tally.samples += row.num_samples
        findings.rows += 1
        findings.recordings += row.start_sample == 0
        findings.samples += row.num_samples
        findings.frames += row.num_frames
        place = place_problem(row, before)
        if place is not None:
            findings.problems.add("row_out_of_place", row.id, place)
        problems = list(row_problems(row, self._run.spec, self._run.num_codebooks))
        for code, detail in problems:
            findings.problems.add(code, row.id, detail)
        if not problems:
            findings.codes.add(row.codes)
        return not problems
