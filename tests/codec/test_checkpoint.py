"""Checkpoints: three layouts, the same model; damage is refused; nothing pickled is executed."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from codec import CheckpointError, CodecConfigError, UnknownCodecError, load_codec
from codec.encodec import EncodecConfig, EncodecModel
from codec.encodec.checkpoint import read_checkpoint
from tests.codec.references import References, write_meta_file

Refs = Callable[[str], References]


@pytest.fixture
def folder(tmp_path: Path, small_config: EncodecConfig) -> Path:
    """A small model in the Hugging Face layout."""
    torch.manual_seed(0)
    EncodecModel(small_config).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def _same_weights(one: EncodecModel, other: EncodecModel) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_save_and_load(folder: Path) -> None:
    model = EncodecModel.from_pretrained(folder)
    assert not model.training
    model.save_pretrained(folder.parent / "again")
    again = EncodecModel.from_pretrained(str(folder.parent / "again"))
    assert _same_weights(model, again)
    assert (
        read_checkpoint(folder).fingerprint == read_checkpoint(folder.parent / "again").fingerprint
    )


@pytest.mark.parametrize("variant", ["24khz", "48khz"])
def test_a_folder_saved_by_transformers(variant: str, references: Refs, tmp_path: Path) -> None:
    refs = references(variant)
    refs.theirs.save_pretrained(tmp_path)
    loaded = EncodecModel.from_pretrained(tmp_path)
    assert loaded.config == refs.config
    audio_BCS = torch.randn(1, refs.config.audio_channels, 4000) * 0.1
    with torch.no_grad():
        assert torch.allclose(loaded.encoder(audio_BCS), refs.theirs.encoder(audio_BCS), atol=1e-6)


def test_both_names_of_weight_norm_and_metas_file_make_one_model(
    references: Refs, tmp_path: Path
) -> None:
    refs = references("24khz")
    refs.theirs.save_pretrained(tmp_path / "new")
    shutil.copytree(tmp_path / "new", tmp_path / "old")
    renamed = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in load_file(tmp_path / "new" / "model.safetensors").items()
    }
    assert any(name.endswith("weight_g") for name in renamed)
    save_file(renamed, tmp_path / "old" / "model.safetensors")
    new, old = (EncodecModel.from_pretrained(tmp_path / name) for name in ("new", "old"))
    assert _same_weights(new, old)
    fingerprints = {read_checkpoint(tmp_path / name).fingerprint for name in ("new", "old")}
    assert len(fingerprints) == 1


def test_state_dicts_of_transformers_load_directly(small_config: EncodecConfig) -> None:
    values = small_config.to_dict()
    del values["model_type"], values["architectures"]
    theirs = transformers.EncodecModel(transformers.EncodecConfig(**values)).eval()
    ours = EncodecModel(small_config).eval()
    ours.load_state_dict(theirs.state_dict())
    audio_BCS = torch.randn(1, 1, 100)
    with torch.no_grad():
        assert torch.allclose(ours.encoder(audio_BCS), theirs.encoder(audio_BCS), atol=1e-6)


def test_fingerprints_differ_with_one_bit_of_a_weight(folder: Path) -> None:
    before = read_checkpoint(folder).fingerprint
    state = load_file(folder / "model.safetensors")
    name = "quantizer.layers.3.codebook.embed"
    state[name].view(torch.int32)[0, 0] ^= 1
    save_file(state, folder / "model.safetensors")
    assert read_checkpoint(folder).fingerprint != before


def test_metas_file_whose_checksum_is_wrong_is_refused(references: Refs, tmp_path: Path) -> None:
    path = write_meta_file(references("24khz").meta, tmp_path, "encodec_24khz")
    assert EncodecModel.from_pretrained(path).config.sampling_rate == 24_000
    with path.open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(b"x")
    with pytest.raises(CheckpointError, match="damaged: its name promises sha256"):
        EncodecModel.from_pretrained(path)


class _Trap:
    """Pickled code, as a hostile checkpoint would carry it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("write", ["torch", "pickle"])
def test_pickled_code_is_never_executed(tmp_path: Path, write: str) -> None:
    bait, path = tmp_path / "executed", tmp_path / "model.th"
    if write == "torch":
        torch.save({"encoder.model.0.conv.conv.weight_g": _Trap(bait)}, path)
    else:
        path.write_bytes(pickle.dumps(_Trap(bait), protocol=2))
    with pytest.raises(CheckpointError, match="no file of plain tensors"):
        read_checkpoint(path)
    assert not bait.exists()


def test_a_folder_with_pickled_weights_only_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"no model\.safetensors; pickled weights"):
        read_checkpoint(folder)


def test_damaged_weights_are_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(folder)


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state["decoder.layers.0.conv.bias"] = torch.zeros(1)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="does not fit its configuration"):
        EncodecModel.from_pretrained(folder)


def test_missing_and_unknown_weights_are_refused(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state["decoder.elsewhere"] = state.pop("decoder.layers.0.conv.bias")
    save_file(state, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"1 tensors missing .* 1 unknown"):
        EncodecModel.from_pretrained(folder)


def test_a_folder_without_config_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(CodecConfigError, match="cannot read a configuration"):
        read_checkpoint(folder)


def test_unknown_names() -> None:
    with pytest.raises(UnknownCodecError, match=r"unknown codec 'mp3'; choose one of .*tiny_24khz"):
        load_codec("mp3")
    with pytest.raises(UnknownCodecError, match="no such file or folder"):
        read_checkpoint("/nowhere/at/all/model.th")


def test_a_hub_id_is_fetched_and_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def snapshot_download(repository: str, *, allow_patterns: list[str]) -> str:
        asked.append((repository, allow_patterns))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert EncodecModel.from_pretrained("facebook/encodec_24khz").config.hop_length == 8
    assert asked == [("facebook/encodec_24khz", ["config.json", "model.safetensors"])]


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot_download(_repository: str, *, allow_patterns: list[str]) -> str:
        raise ConnectionError(f"no route while fetching {allow_patterns}")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(UnknownCodecError, match="cannot be fetched: no route"):
        load_codec("encodec_24khz")
