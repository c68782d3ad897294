"""The metrics against other implementations, closed forms and what must not change them."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from codec.errors import AudioShapeError
from tests.verify.runs import ScalarCodec, voice
from tokenize_pipeline.loudness import QUIETEST_LUFS, loudness
from tokenize_pipeline.metrics import (
    LARGEST_RATIO_DB,
    MEL_RANGE_DB,
    clipping,
    log_mel_distance,
    loudness_difference,
    rms_level,
    seam_jump,
    si_sdr,
    stft_distance,
)
from tokenize_pipeline.speech_metrics import pesq_wideband, stoi
from tokenize_pipeline.verification.scorecard import METRICS, Metric, score, seams

RATE = 16_000
Measure = Callable[[Tensor, Tensor, int], float | None]


def at_rate(metric: Metric) -> Measure:
    """A metric for a codec of any rate without chunks."""
    return lambda a, b, rate: metric.measure(a, b, replace(ScalarCodec().spec, sample_rate=rate))


MEASURES = {metric.name: at_rate(metric) for metric in METRICS}
DISTANCES = ("log_mel_distance", "stft_distance", "loudness_difference", "clipping")


def noise(seconds: float, level: float = 0.1, channels: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return level * torch.randn(channels, round(seconds * RATE), generator=generator)


def orthogonal(reference: Tensor, energy_ratio: float) -> Tensor:
    """Noise without a component along the reference or a mean, of a chosen share of its energy."""
    centered = reference - reference.mean(dim=1, keepdim=True)
    other = noise(1, channels=len(reference), seed=9)[:, : reference.shape[1]]
    other = other - other.mean(dim=1, keepdim=True)
    other = other - centered * ((other * centered).sum() / centered.square().sum())
    return other * (centered.square().sum() / other.square().sum() * energy_ratio).sqrt()


@pytest.mark.parametrize("expected_db", [-10.0, 0.0, 5.0, 30.0])
def test_si_sdr_is_the_energy_ratio_of_orthogonal_noise(expected_db: float) -> None:
    reference = voice(1, seed=1, sample_rate=RATE).double()
    decoded = reference + orthogonal(reference, 10 ** (-expected_db / 10))
    assert si_sdr(reference, decoded) == pytest.approx(expected_db, abs=1e-3)


def test_si_sdr_agrees_with_torchmetrics() -> None:
    reference_implementation = pytest.importorskip("torchmetrics.functional.audio")
    reference, decoded = voice(1, 1, RATE), voice(1, 1, RATE) + noise(1, 0.03)
    theirs = reference_implementation.scale_invariant_signal_distortion_ratio(
        decoded.double(), reference.double(), zero_mean=True
    )
    assert si_sdr(reference, decoded) == pytest.approx(float(theirs), abs=1e-6)


@given(gain=st.floats(0.01, 100), offset=st.floats(-0.5, 0.5))
@settings(deadline=None, max_examples=25)
def test_si_sdr_ignores_gain_and_offset(gain: float, offset: float) -> None:
    reference = voice(0.5, 1, RATE).double()
    decoded = reference + noise(0.5, 0.02).double()
    plain = si_sdr(reference, decoded)
    assert si_sdr(reference, decoded * gain + offset) == pytest.approx(plain, abs=1e-6)
    assert si_sdr(reference * gain + offset, decoded) == pytest.approx(plain, abs=1e-6)


def test_si_sdr_counts_a_wrong_balance_of_channels() -> None:
    stereo = torch.cat([voice(0.5, 1, RATE), voice(0.5, 2, RATE)])
    tilted = stereo * torch.tensor([[1.0], [0.2]])
    ratio = si_sdr(stereo, tilted)
    assert ratio is not None
    assert ratio < 15


def test_si_sdr_ends_at_its_limits() -> None:
    reference = voice(0.5, 1, RATE)
    assert si_sdr(reference, reference) == LARGEST_RATIO_DB
    assert si_sdr(reference, torch.zeros_like(reference)) == -LARGEST_RATIO_DB


@pytest.mark.parametrize("offset_db", [-20.0, -3.0, 6.0])
def test_a_change_of_level_is_the_log_mel_and_the_loudness_difference(offset_db: float) -> None:
    reference = noise(1)
    decoded = reference * 10 ** (offset_db / 20)
    assert log_mel_distance(reference, decoded, RATE) == pytest.approx(abs(offset_db), abs=0.01)
    assert loudness_difference(reference, decoded, RATE) == pytest.approx(offset_db, abs=1e-3)


def test_log_mel_distance_agrees_with_mel_spectrograms_of_torchaudio() -> None:
    reference, decoded = voice(1, 1, RATE), voice(1, 1, RATE) + noise(1, 0.01)
    mel = torchaudio.transforms.MelSpectrogram(
        RATE, n_fft=640, hop_length=160, n_mels=64, pad_mode="constant"
    )
    levels = [10 * mel(audio).log10() for audio in (reference, decoded)]
    floor = max(float(level.max()) for level in levels) - MEL_RANGE_DB
    theirs = (levels[0].clamp(min=floor) - levels[1].clamp(min=floor)).abs().mean()
    assert log_mel_distance(reference, decoded, RATE) == pytest.approx(float(theirs), abs=1e-3)


def test_stft_distance_agrees_with_a_transcript_of_its_formula() -> None:
    reference, decoded = voice(0.3, 1, RATE), voice(0.3, 1, RATE) + noise(0.3, 0.03)
    resolutions = [
        _one_resolution(reference[0].numpy(), decoded[0].numpy(), *resolution)
        for resolution in ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
    ]
    assert stft_distance(reference, decoded) == pytest.approx(np.mean(resolutions), rel=1e-3)


def _one_resolution(x: np.ndarray, y: np.ndarray, size: int, hop: int, window: int) -> float:
    taper = np.zeros(size)
    start = (size - window) // 2
    taper[start : start + window] = np.sin(np.pi * np.arange(window) / window) ** 2
    magnitudes = []
    for signal in (x, y):
        padded = np.pad(signal, size // 2)
        frames = range(0, len(padded) - size + 1, hop)
        spectra = np.array([np.fft.rfft(padded[i : i + size] * taper) for i in frames])
        magnitudes.append(np.maximum(np.abs(spectra), 1e-4))
    a, b = magnitudes
    convergence = np.sqrt(((a - b) ** 2).sum()) / np.sqrt((a**2).sum())
    return float(convergence + np.abs(np.log(a) - np.log(b)).mean())


def test_stoi_is_that_of_pystoi() -> None:
    pystoi = pytest.importorskip("pystoi")
    reference, decoded = voice(2, 1, RATE), voice(2, 1, RATE) + noise(2, 0.1)
    theirs = pystoi.stoi(reference[0].double().numpy(), decoded[0].double().numpy(), RATE)
    assert stoi(reference, decoded, RATE) == pytest.approx(theirs, abs=1e-9)
    assert theirs < 0.9


def test_pesq_is_that_of_pesq_on_the_first_twelve_seconds() -> None:
    pesq = pytest.importorskip("pesq")
    reference, decoded = voice(13, 1, RATE), voice(13, 1, RATE) + noise(13, 0.01)
    n = 12 * RATE
    theirs = pesq.pesq(RATE, reference[0, :n].numpy(), decoded[0, :n].numpy(), "wb")
    assert pesq_wideband(reference, decoded, RATE) == pytest.approx(theirs, abs=1e-6)


def test_speech_metrics_are_those_of_the_mean_of_the_channels() -> None:
    reference, decoded = voice(2, 1, RATE), voice(2, 1, RATE) + noise(2, 0.1)
    stereo = (
        torch.cat([reference * 1.5, reference * 0.5]),
        torch.cat([decoded * 0.5, decoded * 1.5]),
    )
    assert stoi(*stereo, RATE) == pytest.approx(stoi(reference, decoded, RATE), abs=1e-4)


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_loudness_agrees_with_torchaudio(rate: int, channels: int) -> None:
    """Which takes other filters with nearly the same response, and gates alike."""
    audio = torch.cat([voice(3, seed, rate) for seed in range(channels)])
    audio[:, : rate // 2] *= 0.01  # below the relative gate
    theirs = torchaudio.functional.loudness(audio, rate)
    assert loudness(audio, rate) == pytest.approx(float(theirs), abs=0.15 if rate > 8000 else 0.3)


@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
def test_loudness_agrees_with_pyloudnorm(rate: int) -> None:
    pyloudnorm = pytest.importorskip("pyloudnorm")
    audio = torch.cat([voice(3, 1, rate), 0.3 * voice(3, 2, rate)])
    meter = pyloudnorm.Meter(rate, filter_class="DeMan")
    theirs = meter.integrated_loudness(audio.T.double().numpy())
    assert loudness(audio, rate) == pytest.approx(theirs, abs=0.01)


def test_loudness_of_the_standard_s_test_signal() -> None:
    """A sine of 997 Hz at full scale in one channel is -3.01 LUFS (BS.1770-5, annex 1)."""
    time = torch.arange(48_000 * 2, dtype=torch.float64) / 48_000
    sine = torch.sin(2 * torch.pi * 997 * time)[None]
    assert loudness(sine, 48_000) == pytest.approx(-3.01, abs=0.01)
    assert loudness(0 * sine, 48_000) == QUIETEST_LUFS
    assert loudness(sine[:, :4800], 48_000) == pytest.approx(-3.01, abs=0.1)


def test_clipping_counts_what_the_codec_pushed_beyond_full_scale() -> None:
    reference = torch.tensor([[0.5, 1.5, 0.9, -0.9]])
    assert clipping(reference, torch.tensor([[1.1, 1.6, 0.9, -1.2]])) == 50.0
    assert clipping(reference, reference) == 0.0


def test_a_jump_at_a_seam_is_heard_and_elsewhere_is_not() -> None:
    reference = voice(2, 1, RATE)
    error = 0.01 * noise(2, seed=4)
    jump = torch.zeros(1, 2 * RATE)
    jump[:, RATE] = 0.5
    borders = [RATE // 2, RATE, 3 * RATE // 2]
    smooth = seam_jump(reference, reference + error, borders)
    rough = seam_jump(reference, reference + error + jump, borders)
    elsewhere = seam_jump(reference, reference + error + jump.roll(3000, 1), borders)
    assert smooth == pytest.approx(0, abs=2.5)
    assert rough is not None
    assert rough > 20
    assert elsewhere is not None
    assert elsewhere < 0
    assert seam_jump(reference, reference, borders) is None
    assert seam_jump(reference, reference + error, []) is None


def test_seams_are_where_chunks_begin_and_end() -> None:
    spec = replace(ScalarCodec().spec, chunk_samples=48_000, stride_samples=47_520)
    assert seams(spec, 100_000) == [47_520, 48_000, 95_040, 95_520]
    assert seams(ScalarCodec().spec, 100_000) == []


def test_stft_distance_grows_with_the_error_like_that_of_the_paper() -> None:
    reference = voice(1, 1, RATE)
    distances = [stft_distance(reference, reference + noise(1, level)) for level in (0.01, 0.1)]
    assert None not in distances
    assert float(distances[0] or 0) < float(distances[1] or 0)


@pytest.mark.parametrize("name", DISTANCES)
def test_equal_audio_has_no_distance(name: str) -> None:
    audio = voice(0.5, 1, RATE)
    assert MEASURES[name](audio, audio, RATE) == 0


@given(seconds=st.floats(0.001, 0.3), level=st.floats(0.01, 10))
@settings(deadline=None, max_examples=15)
def test_log_mel_distance_is_symmetric(seconds: float, level: float) -> None:
    a, b = noise(seconds, seed=1), noise(seconds, level, seed=2)
    assert log_mel_distance(a, b, RATE) == log_mel_distance(b, a, RATE)


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("rate", [8_000, 24_000, 48_000])
@pytest.mark.parametrize("num_samples", [1, 2, 319, 1999, 2000, 4223, 4224, 9600])
def test_short_and_silent_audio_gives_a_finite_figure_or_none(
    name: str, rate: int, num_samples: int
) -> None:
    silence, constant = torch.zeros(1, num_samples), torch.full((1, num_samples), 0.5)
    some = noise(num_samples / RATE + 1, seed=3)[:, :num_samples]
    for pair in ((silence, silence), (silence, some), (some, silence), (constant, some)):
        value = MEASURES[name](*pair, rate)
        assert value is None or math.isfinite(value)


def test_what_a_silent_reference_cannot_answer_is_none() -> None:
    silence, some = torch.zeros(1, RATE), noise(1)
    answers = score(silence, some, replace(ScalarCodec().spec, sample_rate=RATE))
    unanswered = {name for name, value in answers.items() if value is None}
    assert unanswered == {"si_sdr", "stft_distance", "seam_jump", "stoi", "pesq"}


def test_stoi_of_less_than_thirty_frames_of_speech_is_none() -> None:
    """A clip long enough, most of which is silence that STOI leaves out."""
    audio = torch.cat([voice(0.2, 1, RATE), torch.zeros(1, 2 * RATE)], dim=1)
    assert stoi(audio[:, :RATE], audio[:, :RATE], RATE) is None
    assert stoi(audio, audio, RATE) is None


def test_pesq_without_its_package_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    audio = voice(4, 1, RATE)
    assert pesq_wideband(audio, audio, RATE) is None


def test_pesq_of_a_word_is_none() -> None:
    audio = voice(2.9, 1, RATE)
    assert pesq_wideband(audio, audio, RATE) is None


def test_level_is_that_of_a_sine() -> None:
    time = torch.arange(RATE) / RATE
    assert rms_level(torch.sin(2 * torch.pi * 100 * time)[None]) == pytest.approx(-3.0103, abs=1e-3)


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize(
    ("reference", "decoded"),
    [
        (torch.zeros(1, 10), torch.zeros(1, 11)),
        (torch.zeros(1, 10), torch.zeros(2, 10)),
        (torch.zeros(10), torch.zeros(10)),
        (torch.zeros(1, 0), torch.zeros(1, 0)),
    ],
)
def test_signals_that_cannot_be_compared_are_refused(
    name: str, reference: Tensor, decoded: Tensor
) -> None:
    with pytest.raises(AudioShapeError, match=r"two signals of one shape \[channels, samples\]"):
        MEASURES[name](reference, decoded, RATE)
