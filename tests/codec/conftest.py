"""Real speech and music at the rates of the codecs, and the references with random weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import torch
import torchaudio
from torch import Tensor

from codec.encodec import EncodecConfig
from tests.codec.references import References, make_references

Clip = Callable[[str, int, int, int], Tensor]


@pytest.fixture(scope="session")
def clip(speech_files: list[Path], music_files: list[Path]) -> Clip:
    """`clip(kind, num_samples, sample_rate, channels)`: real audio, [C, S]."""
    kept: dict[tuple[str, int, int], Tensor] = {}

    def read(kind: str, sample_rate: int, channels: int) -> Tensor:
        parts, seconds = [], 0.0
        for path in speech_files if kind == "speech" else music_files:
            audio_SC, rate = soundfile.read(path, dtype="float32", always_2d=True)
            audio_CS = torch.from_numpy(audio_SC.T.copy())[[0, -1]]
            parts.append(torchaudio.functional.resample(audio_CS, rate, sample_rate))
            seconds += parts[-1].shape[-1] / sample_rate
            if seconds > 12:
                break
        both_CS = torch.cat(parts, dim=-1)
        return both_CS.mean(dim=0, keepdim=True) if channels == 1 else both_CS

    def get(kind: str, num_samples: int, sample_rate: int, channels: int) -> Tensor:
        key = (kind, sample_rate, channels)
        if key not in kept:
            kept[key] = read(*key)
        loud = int(kept[key].abs().amax(dim=0).argmax())  # a short clip should not be silence
        start = max(0, min(loud, kept[key].shape[-1] - num_samples))
        cut = kept[key][:, start : start + num_samples]
        assert cut.shape[-1] == num_samples, f"only {cut.shape[-1]} samples of {kind} at hand"
        return cut

    return get


@pytest.fixture(scope="session")
def references(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], References]:
    """`references("24khz")` or `references("48khz")`; made once."""
    kept: dict[str, References] = {}

    def get(variant: str) -> References:
        if variant not in kept:
            kept[variant] = make_references(variant, tmp_path_factory.mktemp(variant))
        return kept[variant]

    return get


@pytest.fixture(scope="session")
def small_config() -> EncodecConfig:
    """A causal model small enough to build in no time: hop 8, 4 codebooks of 16."""
    return EncodecConfig(
        target_bandwidths=(12.0, 24.0, 48.0),
        upsampling_ratios=(2, 2, 2),
        hidden_size=8,
        num_filters=4,
        codebook_size=16,
    )
