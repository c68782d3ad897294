"""The feature extractor against the transformers class of the same name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

from codec import AudioShapeError, CodecConfigError
from codec.encodec import EncodecFeatureExtractor

RATE = 1000
CHUNKED = {"chunk_length_s": 0.1, "overlap": 0.01}


def _waves(channels: int, *lengths: int) -> list[NDArray[np.float32]]:
    generator = np.random.default_rng(0)
    shapes = [(n,) if channels == 1 else (2, n) for n in lengths]
    return [generator.standard_normal(shape).astype(np.float32) for shape in shapes]


def _both(channels: int, **options: Any) -> tuple[EncodecFeatureExtractor, Any]:
    arguments: dict[str, Any] = {"feature_size": channels, "sampling_rate": RATE, **options}
    ours = EncodecFeatureExtractor(**arguments)
    return ours, transformers.EncodecFeatureExtractor(**arguments)


def _assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert set(ours) == set(theirs)
    for name, arrays in ours.items():
        for found, wanted in zip(arrays, theirs[name], strict=True):
            np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("chunking", [{}, CHUNKED], ids=["whole", "chunked"])
@pytest.mark.parametrize("lengths", [(350,), (350, 120, 99), (100, 99), (99, 100, 198, 1)])
@pytest.mark.parametrize(
    "call",
    [
        {},
        {"padding": True},
        {"padding": "longest"},
        {"padding": "max_length", "max_length": 400},
        {"padding": False},
        {"truncation": True, "max_length": 110},
    ],
    ids=lambda call: "-".join(f"{k}={v}" for k, v in call.items()) or "default",
)
def test_batches_are_those_of_transformers(
    channels: int, chunking: dict[str, Any], lengths: tuple[int, ...], call: dict[str, Any]
) -> None:
    ours, theirs = _both(channels, **chunking)
    waves = _waves(channels, *lengths)
    _assert_same(ours(waves, sampling_rate=RATE, **call), theirs(waves, sampling_rate=RATE, **call))


def test_truncation_to_whole_chunks_is_that_of_transformers() -> None:
    ours, theirs = _both(1, **CHUNKED)
    waves = _waves(1, 350, 420)
    call: dict[str, Any] = {"truncation": True, "sampling_rate": RATE}
    _assert_same(ours(waves, **call), theirs(waves, **call))


@pytest.mark.parametrize("kind", ["pt", "np"])
def test_tensors(kind: str) -> None:
    ours, theirs = _both(2, **CHUNKED)
    waves = _waves(2, 350, 120)
    found = ours(waves, sampling_rate=RATE, return_tensors=kind)
    wanted = theirs(waves, sampling_rate=RATE, return_tensors=kind)
    assert type(found.input_values) is type(wanted.input_values)
    assert found.padding_mask.shape == wanted.padding_mask.shape == (2, 397)
    assert found.input_values.shape == wanted.input_values.shape == (2, 2, 397)
    assert found.padding_mask.dtype == wanted.padding_mask.dtype
    _assert_same(found, wanted)


def test_one_recording_as_array_list_or_tensor_is_the_same_batch() -> None:
    ours, _ = _both(1)
    (wave,) = _waves(1, 50)
    wanted = ours(wave, sampling_rate=RATE, return_tensors="pt").input_values
    assert wanted.shape == (1, 1, 50)
    for other in (wave.tolist(), torch.from_numpy(wave), wave.astype(np.float64), [wave]):
        found = ours(other, sampling_rate=RATE, return_tensors="pt").input_values
        assert torch.equal(found, wanted)


def test_a_missing_sampling_rate_is_a_warning() -> None:
    ours, _ = _both(1)
    with pytest.warns(UserWarning, match="pass sampling_rate"):
        ours(_waves(1, 50)[0])


@pytest.mark.parametrize(
    ("channels", "audio", "call", "message"),
    [
        (1, np.zeros(9), {"sampling_rate": 44100}, "44100 Hz; the model works at 1000 Hz"),
        (1, np.zeros((2, 9)), {}, r"shape \(2, 9\); this extractor takes \[samples\]"),
        (2, np.zeros(9), {}, r"shape \(9,\); this extractor takes \[2, samples\]"),
        (2, np.zeros((3, 9)), {}, r"takes \[2, samples\]"),
        (1, [], {}, "empty list"),
        (1, np.zeros(0), {}, r"shape \(0,\)"),
        (1, np.zeros(9), {"padding": True, "truncation": True}, "choose one"),
        (1, np.zeros(9), {"padding": "sideways"}, "sideways"),
        (1, np.zeros(9), {"padding": "max_length"}, "needs max_length"),
        (1, np.zeros(9), {"truncation": True}, "truncation needs max_length"),
        (1, np.zeros(9), {"return_tensors": "tf"}, "'tf'"),
        (
            1,
            [np.zeros(9), np.zeros(8)],
            {"padding": False, "return_tensors": "pt"},
            "8 to 9 samples make no tensor",
        ),
    ],
)
def test_wrong_arguments(channels: int, audio: Any, call: dict[str, Any], message: str) -> None:
    ours, _ = _both(channels)
    with pytest.raises(ValueError, match=message):
        ours(audio, **{"sampling_rate": RATE, **call})


def test_more_channels_than_the_codec_knows() -> None:
    with pytest.raises(CodecConfigError, match="feature_size is 6"):
        EncodecFeatureExtractor(feature_size=6)


def test_loads_what_transformers_saved(tmp_path: Path) -> None:
    _, theirs = _both(2, **CHUNKED)
    theirs.save_pretrained(tmp_path)
    ours = EncodecFeatureExtractor.from_pretrained(tmp_path)
    assert (ours.feature_size, ours.sampling_rate) == (2, RATE)
    assert (ours.chunk_length, ours.chunk_stride) == (theirs.chunk_length, theirs.chunk_stride)
    with pytest.raises(CodecConfigError, match=r"preprocessor_config\.json"):
        EncodecFeatureExtractor.from_pretrained(tmp_path / "elsewhere")


def test_errors_are_shape_errors() -> None:
    assert issubclass(AudioShapeError, ValueError)
