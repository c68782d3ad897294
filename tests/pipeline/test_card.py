"""The card makes load_dataset work and says what is in the folder."""

from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch

from codec import CodecSpec, EncodedAudio
from tests.fakes import MeanCodec
from tests.pipeline.audio_files import write_corpus
from tokenize_pipeline import card, load_tokens
from tokenize_pipeline.card import card_text, with_verification
from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.errors import ConfigurationError, DamagedOutputError
from tokenize_pipeline.plan import codec_identity, plan_items, run_identity
from tokenize_pipeline.records import Shard
from tokenize_pipeline.schema import read_part
from tokenize_pipeline.shard import tokenize_shard
from tokenize_pipeline.summary import summarize


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run of three shards, one of them without rows."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    corpus, folder = write_corpus(tmp_path / "corpus"), RunFolder(str(tmp_path / "out"))
    config = TokenizeConfig((str(corpus),), folder.url)
    items = plan_items(config.sources)
    groups = (items[:2], items[2:5], items[5:])  # the first two are broken
    shards = [Shard(i, f"{i:010x}", tuple(group)) for i, group in enumerate(groups)]
    codec = codec_identity(MeanCodec().spec, config)
    folder.start(run_identity(codec, shards), shards)
    for shard in shards:
        folder.commit(tokenize_shard(shard, MeanCodec(), config))
    folder.write_rejected()
    folder.write_card(card_text(folder.identity(), summarize(folder.commits().values())))
    return Path(folder.url)


def test_load_dataset_reads_the_folder(output: Path, tmp_path: Path) -> None:
    loaded = datasets.load_dataset(str(output), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(loaded) == 6
    assert loaded.features["codes"] == datasets.List(datasets.List(datasets.Value("uint16")))
    streamed = list(datasets.load_dataset(str(output), split="train", streaming=True))
    assert [row["id"] for row in streamed] == loaded["id"]
    assert streamed[3]["codes"] == loaded[3]["codes"]


def test_load_tokens_reads_committed_parts_in_order(output: Path) -> None:
    (output / "data" / "train-999999-orphan.parquet").write_bytes(b"of a killed worker")
    loaded = load_tokens(str(output))
    rows = [row for url in RunFolder(str(output)).part_urls() for row in read_part(url)]
    assert loaded["id"] == [row.id for row in rows]
    assert np.array_equal(np.array(loaded[2]["codes"]), rows[2].codes)
    assert [row["id"] for row in load_tokens(str(output), streaming=True)] == loaded["id"]


def test_load_tokens_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DamagedOutputError, match="no run was started here"):
        load_tokens(str(tmp_path / "nothing"))
    RunFolder(str(tmp_path)).start({}, [])
    with pytest.raises(ConfigurationError, match="has no committed rows to load"):
        load_tokens(str(tmp_path))


def test_the_code_on_the_card_decodes_a_row(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = (output / "README.md").read_text()
    code = card.split("```python\n")[1].split("```")[0]
    code = code.replace("path/or/hub/id/of/this/folder", str(output))
    monkeypatch.setattr("codec.load_codec", lambda name: {"mean": MeanCodec()}[name])
    variables: dict[str, object] = {}
    exec(code, variables)  # noqa: S102  the card is ours
    audio, encoded = variables["audio"], variables["encoded"]
    assert isinstance(audio, torch.Tensor)
    assert isinstance(encoded, EncodedAudio)
    assert audio.shape == (1, encoded.num_samples)


def test_the_code_on_the_card_has_five_lines(output: Path) -> None:
    code = (output / "README.md").read_text().split("```python\n")[1].split("```")[0]
    assert len(code.splitlines()) == 5


def test_verification_has_its_place_and_all_else_stays(output: Path) -> None:
    card = (output / "README.md").read_text()
    assert "were not verified yet" in card
    edited = card.replace("---\n\n<!--", "license: cc0-1.0\n---\n\n<!--", 1)
    once = with_verification(edited, "All is well.")
    assert "All is well." in once
    assert "were not verified yet" not in once
    assert "license: cc0-1.0" in once
    assert with_verification(once, "All is still well.").count("well.") == 1
    assert with_verification("# A card of my own", "All is well.") == "# A card of my own"
    assert datasets.load_dataset(str(output), split="train", streaming=True) is not None


def test_the_card_says_what_is_there(output: Path) -> None:
    card = (output / "README.md").read_text()
    for line in (
        "| Recordings | 8, of which 2 were rejected |",
        "| Rows | 6 |",
        "| Codec | `mean`, 24000 Hz, mono |",
        "| Codebooks | 8 of 1024 entries |",
        "| Frames | 75 a second, 320 samples each |",
        "| Bandwidth | 6 kbps |",
        "| Chunks | none; every recording is encoded whole |",
        "- `empty`: 1; it holds no audio samples",
        f"| Fingerprint of the codec | `{MeanCodec().spec.fingerprint}` |",
    ):
        assert line in card.splitlines()


def test_the_card_of_a_chunked_codec_says_how_to_load_it(output: Path) -> None:
    folder = RunFolder(str(output))
    identity = folder.identity()
    spec = replace(
        CodecSpec.from_dict(identity["codec"]),
        chunk_samples=48000,
        stride_samples=47520,
        normalizes=True,
    )
    changed = {**identity, "codec": spec.to_dict(), "codec_options": {"chunk_seconds": 2.0}}
    card = card_text(changed, summarize([]))
    assert "| Chunks | 48000 samples every 47520, a scale each |" in card
    assert 'load_codec("mean", chunk_seconds=2.0).decode(encoded)' in card
    assert "\nNone.\n" in card


def test_the_card_names_a_precision_that_is_not_the_usual_one(output: Path) -> None:
    identity = RunFolder(str(output)).identity()
    assert 'load_codec("mean").decode' in card_text(identity, summarize([]))
    changed = {
        **identity,
        "codec": {**identity["codec"], "precision": "bfloat16"},
        "codec_options": {"normalize": False},
    }
    card = card_text(changed, summarize([]))
    assert 'load_codec("mean", normalize=False, precision="bfloat16").decode(encoded)' in card


def test_the_card_is_the_same_every_time(output: Path) -> None:
    folder = RunFolder(str(output))
    again = card_text(folder.identity(), summarize(reversed(folder.commits().values())))
    assert (output / "README.md").read_text() == again


def test_columns_on_the_card_are_those_of_the_parts(output: Path) -> None:
    card = (output / "README.md").read_text()
    listed = [line.split("`")[1] for line in card.splitlines() if line.startswith("| `")]
    assert listed == load_tokens(str(output)).column_names


def test_columns_that_came_with_the_audio_are_listed() -> None:
    columns = {"text": "string", "words": "json", "metadata": "json", "flags": "list"}
    rows = card._metadata_rows(columns).splitlines()
    assert rows[:2] == [
        "| `text` | string | came with the audio |",
        "| `words` | string | came with the audio, as JSON |",
    ]
    assert rows[2].startswith("| `metadata` | string | JSON: what came with the audio and has no")
    assert rows[3].startswith("| `flags` | list<string> | why the recording is not as it should")
