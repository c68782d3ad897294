"""The configuration: names and defaults of transformers, and refusal of what makes no model."""

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from codec import CodecConfigError
from codec.encodec import EncodecConfig
from codec.encodec.config import ENCODEC_24KHZ, ENCODEC_48KHZ


def _theirs(config: EncodecConfig) -> Any:
    values = {k: v for k, v in config.to_dict().items() if k not in ("model_type", "architectures")}
    return transformers.EncodecConfig(**values)


def test_arguments_and_defaults_are_those_of_transformers() -> None:
    theirs = transformers.EncodecConfig()
    ours = EncodecConfig().to_dict()
    for name, value in ours.items():
        if name not in ("model_type", "architectures"):
            found = getattr(theirs, name)
            assert (list(found) if isinstance(found, tuple) else found) == value, name


@pytest.mark.parametrize("config", [ENCODEC_24KHZ, ENCODEC_48KHZ])
@pytest.mark.parametrize(
    "name",
    [
        "chunk_length",
        "chunk_stride",
        "hop_length",
        "frame_rate",
        "codebook_nbits",
        "num_quantizers",
    ],
)
def test_derived_values_are_those_of_transformers(config: EncodecConfig, name: str) -> None:
    assert getattr(config, name) == getattr(_theirs(config), name)


def test_a_config_file_of_transformers_loads_unchanged(tmp_path: Path) -> None:
    _theirs(ENCODEC_48KHZ).save_pretrained(tmp_path)
    assert EncodecConfig.from_file(tmp_path / "config.json") == ENCODEC_48KHZ


def test_round_trip_through_json() -> None:
    assert EncodecConfig.from_dict(json.loads(json.dumps(ENCODEC_48KHZ.to_dict()))) == ENCODEC_48KHZ


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"norm_type": "batch_norm"}, "norm_type is 'batch_norm'; it must be one of weight_norm"),
        ({"audio_channels": 6}, "audio_channels is 6; it must be 1 or 2"),
        ({"target_bandwidths": ()}, "target_bandwidths is \\(\\)"),
        ({"target_bandwidths": (6.0, 3.0)}, "ascending"),
        ({"target_bandwidths": (0.1,)}, "enough for one codebook"),
        ({"upsampling_ratios": (8, 0)}, "strides of at least 1"),
        ({"overlap": 1.0}, "overlap is 1.0"),
        ({"chunk_length_s": 0.0}, "chunk_length_s is 0.0; it must be above 0"),
        ({"trim_right_ratio": 0.5, "use_causal_conv": False}, "trim_right_ratio"),
        ({"codebook_dim": 64}, "codebook_dim is 64; it must be equal to hidden_size"),
    ],
)
def test_what_makes_no_model_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(CodecConfigError, match=message):
        EncodecConfig(**values)


def test_a_config_of_another_model_is_refused() -> None:
    with pytest.raises(CodecConfigError, match="'dac' model; it must be 'encodec'"):
        EncodecConfig.from_dict({"model_type": "dac"})


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_damaged_config_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(CodecConfigError, match=r"config\.json"):
        EncodecConfig.from_file(path)
