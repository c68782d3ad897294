"""Tasks small enough for tests: models of a few channels, seconds of audio."""

from dataclasses import replace

from codec.encodec import EncodecConfig
from tokenize_pipeline.benchmark.recordings import synthetic_recordings
from tokenize_pipeline.benchmark.task import Task

NUM_CODEBOOKS = 2

# 75 frames a second and 4 bits a code: 0.6 kbps are two codebooks.
CAUSAL = EncodecConfig(
    target_bandwidths=(0.3, 0.6), hidden_size=8, num_filters=4, num_lstm_layers=1, codebook_size=16
)
STEREO = replace(
    CAUSAL,
    target_bandwidths=(0.6, 1.2),
    sampling_rate=48_000,
    audio_channels=2,
    normalize=True,
    chunk_length_s=1.0,
    overlap=0.01,
    norm_type="time_group_norm",
    use_causal_conv=False,
)
CONFIGS = {"24khz": CAUSAL, "48khz": STEREO}


def small_task(variant: str, *seconds: float) -> Task:
    """One synthetic recording for each length in seconds."""
    config = CONFIGS[variant]
    rate = config.sampling_rate
    audio_CS = synthetic_recordings(max(seconds), rate, config.audio_channels)[0]
    recordings = tuple(audio_CS[:, : round(length * rate)] for length in seconds)
    return Task(config, recordings, NUM_CODEBOOKS, device="cpu", threads=1)
