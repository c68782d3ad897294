"""A cluster and a codec that the tests of whole runs share."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import torch

from codec.encodec import EncodecConfig, EncodecModel

_SMALL = EncodecConfig(
    target_bandwidths=(1.5, 3.0, 6.0),
    num_filters=2,
    hidden_size=8,
    codebook_dim=8,
    num_lstm_layers=1,
)


@pytest.fixture(scope="session")
def codec_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A very small EnCodec for 24 kHz with random weights, in the Hugging Face layout."""
    return _save(_SMALL, tmp_path_factory.mktemp("codecs") / "small_24khz")


@pytest.fixture(scope="session")
def chunked_codec_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for 48 kHz: stereo, in chunks of a second with a scale each."""
    values = {
        **_SMALL.to_dict(),
        "sampling_rate": 48000,
        "audio_channels": 2,
        "normalize": True,
        "chunk_length_s": 1.0,
        "overlap": 0.01,
        "norm_type": "time_group_norm",
        "use_causal_conv": False,
    }
    config = EncodecConfig.from_dict(values)
    return _save(config, tmp_path_factory.mktemp("codecs") / "small_48khz")


def _save(config: EncodecConfig, folder: Path) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        EncodecModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    """A local cluster with two CPUs, for all runs of a test module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=100 << 20,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": {"PYTHONPATH": str(Path.cwd())}},
        )
        yield
        ray.shutdown()
