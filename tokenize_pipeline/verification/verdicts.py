"""From the round trips of a shard to problems: each fault once, by the name that says most."""

from collections.abc import Mapping

from codec.base import CodecSpec
from tokenize_pipeline.verification.findings import ShardFindings
from tokenize_pipeline.verification.limits import LARGEST_SCALE_ERROR
from tokenize_pipeline.verification.round_trip import RoundTrip
from tokenize_pipeline.verification.still_codes import StillRun

_UNRELATED = 0.5  # of the codes that differ: more than any rounding explains


def judge(findings: ShardFindings, still: Mapping[str, StillRun], spec: CodecSpec) -> None:
    """Note what the round trips of a shard say.

    Args:
        findings: of the shard, with its round trips; takes the problems and notices.
        still: rows of the shard whose codes stand still though they are not silent.
        spec: of the codec.
    """
    constant = {trip.id for trip in findings.trips if _is_constant(trip)}
    for row_id, run in still.items():
        log = findings.problems if row_id in constant else findings.notices
        log.add("constant_codes" if row_id in constant else "still_codes", row_id, run.text(spec))
    others = [trip for trip in findings.trips if trip.id not in constant]
    all_unrelated = _all_unrelated(others)
    if all_unrelated:
        _note_other_weights(findings, others)
    for trip in others:
        if trip.samples_after > 0:
            seconds = trip.samples_after / spec.sample_rate
            findings.problems.add("audio_lost", trip.id, f"{seconds:.3g} s come after its last row")
        if not all_unrelated:
            _judge_codes(findings, trip)


def _judge_codes(findings: ShardFindings, trip: RoundTrip) -> None:
    again, log = trip.again, findings.problems
    if trip.diagnosis is not None:
        log.add(trip.diagnosis.code, trip.id, trip.diagnosis.detail)
    elif again is not None and not again.agrees:
        figures = f"{again.codes_differing} of {again.codes_compared} codes differ"
        log.add("reencode_mismatch", trip.id, f"{figures} ({again.share_differing:.1%})")
    elif again is not None and again.scale_error > LARGEST_SCALE_ERROR:
        log.add("scales_differ", trip.id, f"a scale is off by {again.scale_error:.1%}")


def _is_constant(trip: RoundTrip) -> bool:
    """Whether codes stand still where those of the audio do not."""
    return trip.still is not None and trip.again is not None and not trip.again.agrees


def _is_unrelated(trip: RoundTrip) -> bool:
    again = trip.again
    return again is not None and trip.diagnosis is None and again.share_differing > _UNRELATED


def _all_unrelated(trips: list[RoundTrip]) -> bool:
    compared = [trip for trip in trips if trip.again is not None]
    return bool(compared) and all(_is_unrelated(trip) for trip in compared)


def _note_other_weights(findings: ShardFindings, trips: list[RoundTrip]) -> None:
    again = [trip.again for trip in trips if trip.again is not None]
    differing = sum(one.codes_differing for one in again)
    share = differing / sum(one.codes_compared for one in again)
    detail = f"{share:.0%} of the codes of all {len(again)} rows compared differ"
    findings.problems.add("other_weights", findings.part or f"shard {findings.shard}", detail)
