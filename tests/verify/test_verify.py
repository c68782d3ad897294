"""Verification of whole runs: a good one passes, and every planted fault is found by its name."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from codec import UnknownCodecError, load_codec
from tests.verify.runs import (
    ScalarCodec,
    make_run,
    recommit,
    rewrite_part,
    with_codes,
    write_voice,
)
from tokenize_pipeline.card import card_text
from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.errors import ConfigurationError, DamagedOutputError, RunFailedError
from tokenize_pipeline.records import RejectedRecording, TokenRow
from tokenize_pipeline.schema import read_part
from tokenize_pipeline.summary import summarize
from tokenize_pipeline.verification import limits, opened_run
from tokenize_pipeline.verification.result import VerifyResult
from tokenize_pipeline.verification.scorecard import METRICS
from tokenize_pipeline.verification.settings import VerifyConfig
from tokenize_pipeline.verify import verify_run

REJECTED = (RejectedRecording("bad.wav", "/audio/bad.wav", "truncated", "100 of 200 samples"),)


def rows_of(folder: RunFolder, shard: int) -> list[TokenRow]:
    return list(read_part(part_path(folder, shard).as_posix()))


def part_path(folder: RunFolder, shard: int) -> Path:
    part = folder.commits()[shard].part
    assert part is not None
    return Path(folder.part_url(part))


def verified(run: RunFolder, **values: Any) -> VerifyResult:
    return verify_run(VerifyConfig(run.url, **values))


@pytest.fixture
def run(tmp_path: Path, codec: ScalarCodec, files: list[Path]) -> RunFolder:
    return make_run(tmp_path / "out", codec, files, rejected=REJECTED)


def test_a_good_run_has_no_problems(run: RunFolder) -> None:
    result = verified(run, fraction=0.3)
    assert (result.exit_code, list(result.log)) == (0, [])
    assert (result.totals.shards, result.totals.rows, result.totals.recordings) == (3, 7, 7)
    assert result.totals.seconds == pytest.approx(10.0)
    assert result.totals.rejected == {"truncated": 1}
    statistics = result.statistics()
    assert statistics["si_sdr"] is not None
    assert statistics["si_sdr"].mean > 25
    assert result.reencoded()["codes_differing"] == 0


def test_every_shard_is_sampled_and_deep_samples_everything(run: RunFolder) -> None:
    few = verified(run, fraction=0.0)
    assert len({trip.part for trip in few.trips}) == len(few.trips) == 3
    assert [trip.id for trip in verified(run, deep=True).trips] == [
        f"{number}.flac" for number in range(7)
    ]


def test_a_normalizing_codec_passes_too(
    tmp_path: Path, normalizing_codec: ScalarCodec, files: list[Path]
) -> None:
    run = make_run(tmp_path / "out", normalizing_codec, files)
    result = verified(run, deep=True)
    assert list(result.log) == []
    assert result.statistics()["si_sdr"] is not None


def test_verify_json_says_it_all_and_the_same_every_time(run: RunFolder) -> None:
    result = verified(run, deep=True)
    first = {path: Path(path).read_bytes() for path in (result.json_url, result.report_url)}
    verified(run, deep=True)
    assert first == {path: Path(path).read_bytes() for path in first}
    figures = json.loads(first[result.json_url])
    assert figures == json.loads(json.dumps(result.to_dict()))
    assert figures["run"] == run.identity()
    assert figures["totals"]["rejected"] == {"truncated": 1}
    assert set(figures["metrics"]) == {metric.name for metric in METRICS}
    si_sdr = figures["metrics"]["si_sdr"]
    values = [row["value"] for row in si_sdr["worst_rows"]]
    assert values == sorted(values)
    assert si_sdr["worst"] == values[0] <= si_sdr["median"]
    assert figures["reencoded"] == {"rows": 7, "codes": 80_000, "codes_differing": 0}


def test_the_report_goes_where_it_is_asked_to(run: RunFolder, tmp_path: Path) -> None:
    report = tmp_path / "elsewhere" / "page.html"
    assert verified(run, report=str(report)).report_url == str(report)
    assert report.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert not Path(run.url, "report.html").exists()


def test_terminal_lines_name_figures_problems_and_files(run: RunFolder) -> None:
    part_path(run, 1).unlink()
    lines = verified(run, deep=True).summary_lines()
    assert lines[0] == "4 rows, 0.00 hours, 1 rejected, 3 of 3 shards"
    assert any(line.split()[:2] == ["SI-SDR,", "dB"] for line in lines)
    assert sum(line.startswith("problem  part_missing: train-000001-") for line in lines) == 1
    assert lines[-2:] == [f"figures  {run.url}/_run/verify.json", f"report   {run.url}/report.html"]


def plant_missing_commit(run: RunFolder) -> None:
    Path(run.url, "_run/commits/000001.json").unlink()


def plant_unplanned_commit(run: RunFolder) -> None:
    run.commit(replace(run.commits()[0], shard=9))


def plant_missing_part(run: RunFolder) -> None:
    part_path(run, 1).unlink()


def plant_extra_file(run: RunFolder) -> None:
    Path(run.url, "data", "train-000077-deadbeef00.parquet").write_bytes(b"PAR1")


def plant_flipped_byte(run: RunFolder) -> None:
    path = part_path(run, 1)
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0x10
    path.write_bytes(data)


def plant_truncated_part(run: RunFolder) -> None:
    path = part_path(run, 1)
    path.write_bytes(path.read_bytes()[:-100])


def plant_replaced_part(run: RunFolder) -> None:
    rewrite_part(run, 1, rows_of(run, 1)[::-1])


def plant_foreign_part(run: RunFolder) -> None:
    identity = run.identity()
    other = {**identity, "codec": {**identity["codec"], "fingerprint": "0" * 64}}
    run.start(other, run.plan())
    recommit(run, 1, rows_of(run, 1))
    run.start(identity, run.plan())


def plant_lost_row(run: RunFolder) -> None:
    record = run.commits()[1]
    recommit(run, 1, rows_of(run, 1)[:-1])
    run.commit(replace(run.commits()[1], recordings=record.recordings))


def plant_wrong_row_count(run: RunFolder) -> None:
    run.commit(replace(run.commits()[1], rows=99))


def plant_doubled_row(run: RunFolder) -> None:
    rows = rows_of(run, 1)
    recommit(run, 1, [*rows, rows[0]])


def plant_lost_rejection_list(run: RunFolder) -> None:
    Path(run.url, "_run/rejected.parquet").unlink()


def plant_damaged_rejection_list(run: RunFolder) -> None:
    Path(run.url, "_run/rejected.parquet").write_bytes(b"PAR1 no more PAR1")


def plant_unlisted_rejection(run: RunFolder) -> None:
    run.commit(replace(run.commits()[2], recordings=1, rejected=()))


def plant_lost_chunk(run: RunFolder) -> None:
    rows = rows_of(run, 1)
    short = replace(with_codes(rows[0], rows[0].codes[:, :-50]), num_frames=rows[0].num_frames - 50)
    recommit(run, 1, [short, *rows[1:]])


def plant_other_codes(run: RunFolder) -> None:
    rows = rows_of(run, 1)
    recommit(run, 1, [with_codes(row, (row.codes + 3) % 256) for row in rows])


def plant_a_bad_row(run: RunFolder) -> None:
    rows = rows_of(run, 1)
    recommit(run, 1, [with_codes(rows[0], (rows[0].codes + 3) % 256), *rows[1:]])


def plant_a_gap(run: RunFolder) -> None:
    rows = rows_of(run, 1)
    late = replace(rows[1], start_sample=4)
    record = run.commits()[1]
    recommit(run, 1, [rows[0], late, rows[2]])
    run.commit(replace(run.commits()[1], recordings=record.recordings - 1))


def plant_lost_source(run: RunFolder) -> None:
    Path(run.plan()[1].items[0].url).unlink()


def plant_changed_source(run: RunFolder) -> None:
    write_voice(Path(run.plan()[1].items[0].url), 1.9, seed=77)


def plant_source_cut_short(run: RunFolder) -> None:
    path = Path(run.plan()[1].items[0].url)
    write_voice(path, 0.4, seed=3)
    plan = run.plan()
    item = replace(plan[1].items[0], size_bytes=path.stat().st_size)
    plan[1] = replace(plan[1], items=(item, *plan[1].items[1:]))
    run.start(run.identity(), plan)


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (plant_missing_commit, {"shard_not_done", "part_unexpected"}),
        (plant_unplanned_commit, {"shard_not_planned", "id_twice", "source_unavailable"}),
        (plant_missing_part, {"part_missing"}),
        (plant_extra_file, {"part_unexpected"}),
        (plant_flipped_byte, {"part_damaged"}),
        (plant_truncated_part, {"part_damaged"}),
        (plant_replaced_part, {"part_damaged"}),
        (plant_foreign_part, {"part_of_other_codec"}),
        (plant_lost_row, {"recording_lost"}),
        (plant_wrong_row_count, {"row_count_differs"}),
        (plant_doubled_row, {"id_twice"}),
        (plant_lost_rejection_list, {"rejected_list_differs"}),
        (plant_damaged_rejection_list, {"rejected_list_differs"}),
        (plant_unlisted_rejection, {"rejected_list_differs"}),
        (plant_lost_chunk, {"frame_count_differs"}),
        (plant_other_codes, {"other_weights"}),
        (plant_a_bad_row, {"reencode_mismatch"}),
        (plant_a_gap, {"row_out_of_place", "source_too_short"}),
        (plant_lost_source, {"source_unavailable"}),
        (plant_changed_source, {"source_changed"}),
        (plant_source_cut_short, {"source_too_short"}),
    ],
)
def test_a_planted_fault_is_found_by_its_name(
    run: RunFolder, plant: Callable[[RunFolder], None], expected: set[str]
) -> None:
    plant(run)
    result = verified(run, deep=True)
    assert set(result.log.counts) == expected
    assert result.exit_code == 3
    page = Path(result.report_url).read_text(encoding="utf-8")
    assert all(code in page for code in expected)


def test_a_codec_with_other_weights_decodes_nothing(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ScalarCodec("scalar", normalizes=True)
    monkeypatch.setattr(opened_run, "load_codec", lambda *_args, **_options: other)
    result = verified(run)
    assert set(result.log.counts) == {"codec_differs"}
    assert (result.totals.rows, list(result.trips)) == (7, [])


def test_a_codec_that_is_gone_leaves_the_checks_of_rows(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_args: object, **_options: object) -> ScalarCodec:
        raise UnknownCodecError("there is no checkpoint 'scalar'")

    monkeypatch.setattr(opened_run, "load_codec", gone)
    plant_lost_chunk(run)
    result = verified(run)
    assert set(result.log.counts) == {"codec_unavailable", "frame_count_differs"}


def test_the_codec_is_loaded_as_the_run_used_it(
    run: RunFolder, codec: ScalarCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def load(*args: object, **options: object) -> ScalarCodec:
        asked.append((args, options))
        return codec

    monkeypatch.setattr(opened_run, "load_codec", load)
    options = {"chunk_seconds": 2.0, "overlap": 0.1, "normalize": True}
    identity = run.identity()
    spec = {**identity["codec"], "precision": "bfloat16"}
    run.start({**identity, "codec": spec, "codec_options": options}, run.plan())
    verified(run, device="meta")
    threads = torch.get_num_threads()
    wanted = {**options, "precision": "bfloat16", "threads": threads, "gpu_slots": None}
    assert asked == [(("scalar", "meta"), wanted)]


def test_a_run_is_encoded_again_in_its_own_precision(tmp_path: Path, files: list[Path]) -> None:
    codec = load_codec("tiny_24khz", precision="bfloat16")
    run = make_run(tmp_path / "out", codec, files)
    result = verified(run, deep=True)
    assert list(result.log) == []
    assert result.reencoded()["codes_differing"] == 0
    usual = make_run(tmp_path / "usual", load_codec("tiny_24khz"), files)
    assert rows_of(usual, 0)[0].codes.tolist() != rows_of(run, 0)[0].codes.tolist()


def test_a_run_older_than_the_precision_is_encoded_again_in_float32(
    tmp_path: Path, files: list[Path]
) -> None:
    run = make_run(tmp_path / "out", load_codec("tiny_24khz"), files)
    identity = run.identity()
    del identity["codec"]["precision"]
    run.start(identity, run.plan())
    assert list(verified(run, deep=True).log) == []


def test_limits_are_held_by_means_and_name_the_worst(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = {"si_sdr": 60.0, "stoi": 0.5, "log_mel_distance": 0.1, "loudness_difference": 1.0}
    entry = {
        "fingerprint": run.identity()["codec"]["fingerprint"],
        "source": "figures of a test",
        "num_codebooks": {"4": {"bounds": bounds}},
    }
    table = {**limits.calibration(), "codecs": {"scalar": entry}}
    monkeypatch.setattr(limits, "calibration", lambda: table)
    result = verified(run, deep=True)
    found = {problem.where: problem.detail for problem in result.log}
    assert set(found) == {"si_sdr", "log_mel_distance"}
    assert ", limit 60 dB; worst: " in found["si_sdr"]
    assert result.worst(METRICS[0])[0].id in found["si_sdr"]
    assert result.exit_code == 3
    assert "figures of a test" in Path(result.report_url).read_text(encoding="utf-8")


def test_an_unfinished_run_is_not_blamed_for_its_missing_list(run: RunFolder) -> None:
    Path(run.url, "_run/commits/000002.json").unlink()
    Path(run.url, "_run/rejected.parquet").unlink()
    part_names = {url.rpartition("/")[2] for url in run.part_urls()}
    for path in Path(run.url, "data").iterdir():
        if path.name not in part_names:
            path.unlink()
    assert set(verified(run).log.counts) == {"shard_not_done"}


def test_a_report_that_cannot_be_written_is_a_failure(run: RunFolder) -> None:
    with pytest.raises(RunFailedError, match=r"cannot write .*run\.json/report\.html: "):
        verified(run, report=f"{run.url}/_run/run.json/report.html")


def test_verifying_changes_no_file_of_the_run(run: RunFolder) -> None:
    def hashes() -> dict[str, str]:
        found = (path for path in Path(run.url).rglob("*") if path.is_file())
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

    before = hashes()
    verified(run)
    after = hashes()
    assert {path: after[path] for path in before} == before
    assert {Path(path).name for path in after.keys() - before.keys()} == {
        "verify.json",
        "report.html",
    }


def test_the_figures_go_onto_the_card(run: RunFolder) -> None:
    identity = {**run.identity(), "codec_options": {}, "row_frames": None}
    run.write_card(card_text(identity, summarize(run.commits().values())))
    verified(run, deep=True)
    card = Path(run.url, "README.md").read_text("utf-8")
    assert "No problems were found in 7 rows." in card
    assert "| SI-SDR | " in card
    assert "none of 80,000 codes differs" in card
    verified(run, deep=True)
    assert Path(run.url, "README.md").read_text("utf-8") == card
    plant_other_codes(run)
    verified(run, deep=True)
    assert "- `other_weights`: 1; " in Path(run.url, "README.md").read_text("utf-8")


def test_a_folder_that_holds_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"holds no run: there is no _run/run\.json"):
        verify_run(VerifyConfig(str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_codec_in_its_identity_is_damaged(run: RunFolder) -> None:
    run.start({"made": "up"}, run.plan())
    with pytest.raises(DamagedOutputError, match=r"_run/run\.json names no codec: 'codec'"):
        verified(run)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_a_fraction_that_is_none_is_refused(run: RunFolder, fraction: float) -> None:
    with pytest.raises(ConfigurationError, match="--fraction must lie within 0 and 1"):
        verified(run, fraction=fraction)
