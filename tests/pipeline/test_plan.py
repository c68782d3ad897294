"""The same sources give the same shards, and another run is noticed."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import MeanCodec
from tests.pipeline.audio_files import write_noise
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.errors import ConfigurationError
from tokenize_pipeline.grouping import MAX_SHARD_ITEMS, MIN_SHARD_ITEMS
from tokenize_pipeline.plan import (
    MAX_SHARD_BYTES,
    changed_items,
    codec_identity,
    differences,
    plan_items,
    plan_shards,
    run_identity,
)
from tokenize_pipeline.records import SourceItem

CONFIG = TokenizeConfig(("x",), "out")
IDENTITY = codec_identity(MeanCodec().spec, CONFIG)


def items(count: int, size_bytes: int = 1000) -> list[SourceItem]:
    return [SourceItem(f"{i:07d}", f"/c/{i:07d}", size_bytes, "1") for i in range(count)]


@given(count=st.integers(1, 5000), size_bytes=st.sampled_from([10, 3 << 20, 700 << 20, 5 << 30]))
@settings(deadline=None)
def test_every_item_is_in_one_shard_and_shards_are_bounded(count: int, size_bytes: int) -> None:
    planned = items(count, size_bytes)
    shards = plan_shards(planned, IDENTITY)
    assert [item for shard in shards for item in shard.items] == planned
    assert [shard.index for shard in shards] == list(range(len(shards)))
    assert len({shard.part_name for shard in shards}) == len(shards)
    for shard in shards:
        assert 1 <= len(shard.items) <= MAX_SHARD_ITEMS
        assert len(shard.items) == 1 or shard.size_bytes <= MAX_SHARD_BYTES


@pytest.mark.parametrize(
    ("count", "largest"), [(1, 1), (100, 8), (2048, 8), (2049, 9), (25_600, 100), (300_000, 1024)]
)
def test_the_size_of_shards_follows_the_number_of_items(count: int, largest: int) -> None:
    shards = plan_shards(items(count), IDENTITY)
    assert max(len(shard.items) for shard in shards) == largest
    assert MIN_SHARD_ITEMS == 8


def test_the_name_of_a_part_depends_on_what_is_in_it_and_how_it_is_made() -> None:
    planned = items(3)
    (shard,) = plan_shards(planned, IDENTITY)
    others = [
        plan_shards([*planned[:2], replace(planned[2], version="2")], IDENTITY)[0],
        plan_shards([*planned[:2], replace(planned[2], size_bytes=7)], IDENTITY)[0],
        plan_shards(planned[:2], IDENTITY)[0],
        plan_shards(planned, {**IDENTITY, "num_codebooks": 4})[0],
    ]
    names = {shard.part_name, *(other.part_name for other in others)}
    assert len(names) == 5
    assert plan_shards(planned, dict(reversed(IDENTITY.items())))[0] == shard


def test_the_order_of_sources_and_of_listings_does_not_matter(tmp_path: Path) -> None:
    for index in range(20):
        write_noise(tmp_path / f"{index % 3}" / f"{index}.wav", 0.01, index)
    sources = [str(tmp_path / name) for name in "012"]
    planned = plan_items(sources)
    shuffled = sources.copy()
    shuffled.reverse()
    assert plan_items(shuffled) == planned
    assert len(planned) == 20
    assert [item.url for item in planned] == sorted(item.url for item in planned)


def test_a_file_that_two_sources_name_is_read_once(tmp_path: Path) -> None:
    path = write_noise(tmp_path / "a" / "x.wav", 0.01, 0)
    planned = plan_items([str(tmp_path), str(path)])
    assert [(item.id, item.url) for item in planned] == [("a/x.wav", str(path))]


def test_ids_that_collide_get_the_name_of_their_source(tmp_path: Path) -> None:
    for name in ("en/x.wav", "en/y.wav", "de/x.wav"):
        write_noise(tmp_path / name, 0.01, 0)
    folders = plan_items([f"{tmp_path}/en", f"{tmp_path}/de"])
    assert [item.id for item in folders] == ["de/x.wav", "en/x.wav", "en/y.wav"]
    alone = plan_items([f"{tmp_path}/en"])
    assert [item.id for item in alone] == ["x.wav", "y.wav"]
    files = plan_items([f"{tmp_path}/en/x.wav", f"{tmp_path}/de/x.wav"])
    assert [item.id for item in files] == ["de/x.wav", "en/x.wav"]


def test_ids_that_still_collide_are_refused(tmp_path: Path) -> None:
    for name in ("1/en/x.wav", "2/en/x.wav"):
        write_noise(tmp_path / name, 0.01, 0)
    with pytest.raises(ConfigurationError, match=r"two recordings would have the id 'en/x\.wav'"):
        plan_items([f"{tmp_path}/1/en", f"{tmp_path}/2/en"])


def test_differences_name_their_keys_and_versions_of_no_consequence_do_not_count() -> None:
    run = run_identity(IDENTITY, plan_shards(items(3), IDENTITY))
    assert differences(run, run) == []
    other = {**run, "num_codebooks": 4, "other_versions": {"ray": "0"}}
    assert differences(run, other) == ["num_codebooks is 8 there and 4 here"]
    codec = {**run["codec"], "fingerprint": "f"}
    found = differences(run, {**run, "codec": codec, "versions": {}})
    assert [text.split()[0] for text in found] == [
        "codec.fingerprint",
        *sorted(f"versions.{name}" for name in run["versions"]),
    ]
    assert {"torch", "soundfile", "av"} <= set(run["versions"])


def test_outputs_older_than_the_precision_are_of_float32() -> None:
    run = run_identity(IDENTITY, plan_shards(items(3), IDENTITY))
    old = {**run, "codec": {k: v for k, v in run["codec"].items() if k != "precision"}}
    assert differences(old, run) == []
    other = {**run, "codec": {**run["codec"], "precision": "bfloat16"}}
    found = "codec.precision is 'float32' there and 'bfloat16' here"
    assert differences(old, other) == differences(run, other) == [found]


def test_which_audio_is_taken_is_part_of_the_identity() -> None:
    spec = MeanCodec().spec
    strict = codec_identity(spec, replace(CONFIG, min_seconds=1.0, keep=("truncated",)))
    assert differences(IDENTITY, strict)[0].startswith("audio.keep is None there and ['truncated']")
    assert "audio" not in IDENTITY, "outputs that are older than the options can be resumed"


def test_the_plan_is_part_of_the_identity() -> None:
    one, two = (run_identity(IDENTITY, plan_shards(items(n), IDENTITY)) for n in (3, 4))
    assert [text.split()[0] for text in differences(one, two)] == ["plan.items", "plan.sha256"]


def test_changes_of_the_sources_are_counted() -> None:
    before = items(10)
    after = [*before[:7], replace(before[7], size_bytes=1), *items(13)[10:]]
    old, new = (plan_shards(planned, IDENTITY) for planned in (before, after))
    assert changed_items(old, new) == "3 added, 2 removed, 1 changed"
    assert changed_items(old, old) == ""
