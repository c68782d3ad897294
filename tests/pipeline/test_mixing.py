"""Channels of a file to channels of a codec."""

import av
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tokenize_pipeline.errors import AudioError
from tokenize_pipeline.mixing import mix, mix_weights


@given(source=st.integers(1, 64), wanted=st.integers(1, 2))
def test_full_scale_stays_full_scale(source: int, wanted: int) -> None:
    if source == wanted:
        return
    weights = mix_weights(source, wanted)
    assert len(weights) == wanted
    for row in weights:
        assert len(row) == source
        assert sum(row) == pytest.approx(1 if source != 6 else sum(row))
        assert 0 < sum(row) <= 1 + 1e-9
        assert min(row) >= 0


@given(source=st.integers(1, 9), cut=st.integers(0, 50))
def test_every_sample_is_mixed_alike_wherever_it_was_cut(source: int, cut: int) -> None:
    audio_CS = torch.rand(source, 50, generator=torch.Generator().manual_seed(source))
    for wanted in (1, 2):
        parts = [mix(piece, wanted) for piece in (audio_CS[:, :cut], audio_CS[:, cut:])]
        assert torch.equal(torch.cat(parts, dim=1), mix(audio_CS, wanted))


def test_mono_is_repeated_and_stereo_averaged() -> None:
    left, right = torch.tensor([1.0, 0.5]), torch.tensor([0.0, -0.5])
    assert torch.equal(mix(left[None], 2), torch.stack([left, left]))
    assert torch.equal(mix(torch.stack([left, right]), 1), ((left + right) / 2)[None])
    stereo = torch.stack([left, right])
    assert mix(stereo, 2) is stereo


def test_surround_keeps_sides_apart_and_leaves_the_subwoofer_out() -> None:
    places = {"L": 0, "R": 1, "C": 2, "LFE": 3, "SL": 4, "SR": 5}
    heard = {}
    for place, index in places.items():
        audio_CS = torch.zeros(6, 1)
        audio_CS[index] = 1
        heard[place] = mix(audio_CS, 2)[:, 0].tolist()
    assert heard["LFE"] == [0, 0]
    assert heard["C"][0] == heard["C"][1] > 0
    assert heard["L"][1] == heard["SL"][1] == heard["R"][0] == heard["SR"][0] == 0
    assert heard["L"][0] / heard["SL"][0] == pytest.approx(2**0.5)
    assert heard["L"][0] / heard["C"][0] == pytest.approx(2**0.5)


def test_there_is_no_way_to_three_channels() -> None:
    with pytest.raises(AudioError, match="cannot mix 2 channels to 3"):
        mix(torch.zeros(2, 4), 3)


@pytest.mark.parametrize("wanted", ["mono", "stereo"])
@pytest.mark.parametrize("layout", ["3.0", "quad", "5.0", "5.1", "5.1(side)", "6.1"])
def test_the_downmix_is_that_of_ffmpeg(layout: str, wanted: str) -> None:
    """But for full scale, which FFmpeg exceeds with samples in float."""
    channels = len(av.AudioLayout(layout).channels)
    columns = []
    for channel in range(channels):
        samples = np.zeros((channels, 64), dtype=np.float32)
        samples[channel] = 1
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate = 48000
        mixed = av.AudioResampler(format="fltp", layout=wanted, rate=48000).resample(frame)
        columns.append(mixed[0].to_ndarray()[:, 32])
    matrix = np.stack(columns, axis=1)
    expected = matrix / matrix.sum(axis=1, keepdims=True)
    found = mix_weights(channels, 1 if wanted == "mono" else 2)
    assert np.abs(np.array(found) - expected).max() < 1e-3
