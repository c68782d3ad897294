"""The formula of the work against operations counted while a model runs."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from codec.encodec import EncodecConfig, EncodecModel
from codec.encodec.config import ENCODEC_24KHZ, ENCODEC_48KHZ
from tests.benchmark.tasks import CAUSAL, NUM_CODEBOOKS, STEREO, small_task
from tokenize_pipeline.benchmark.work import (
    decode_flop_per_frame,
    encode_flop_per_frame,
    flop_per_audio_second,
)

FRAMES = 4

CONFIGS = {
    "24 kHz": ENCODEC_24KHZ,
    "48 kHz": ENCODEC_48KHZ,
    "small": CAUSAL,
    "small stereo": STEREO,
    "no shortcut": replace(CAUSAL, use_conv_shortcut=False),
    "odd": replace(
        CAUSAL,
        num_residual_layers=2,
        compress=4,
        num_lstm_layers=3,
        upsampling_ratios=(5, 3),
        kernel_size=5,
        last_kernel_size=3,
        residual_kernel_size=7,
        target_bandwidths=(32.0, 64.0),
    ),
}


class CountedWork:
    """Counts what runs inside: torch counts all but LSTMs, so a hook counts those."""

    def __init__(self, model: nn.Module) -> None:
        self._lstm_flop = 0
        self._counter = FlopCounterMode(display=False)
        for module in model.modules():
            if isinstance(module, nn.LSTM):
                module.register_forward_hook(self._count_lstm)

    def __enter__(self) -> "CountedWork":
        self._counter.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        self._counter.__exit__(*failure)

    @property
    def flop(self) -> int:
        return self._counter.get_total_flops() + self._lstm_flop

    def _count_lstm(self, module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        steps = inputs[0].shape[0]
        matrices = [p for name, p in module.named_parameters() if name.startswith("weight")]
        self._lstm_flop += 2 * steps * sum(matrix.numel() for matrix in matrices)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_work_is_what_a_running_model_does(config: EncodecConfig) -> None:
    model = EncodecModel(config).eval()
    audio_BCS = torch.randn(1, config.audio_channels, FRAMES * config.hop_length)
    with torch.no_grad(), CountedWork(model) as encoding:
        codes_BKT, scale_B1 = model.encode_chunk(audio_BCS, NUM_CODEBOOKS)
    assert encoding.flop == FRAMES * encode_flop_per_frame(config, NUM_CODEBOOKS)
    with torch.no_grad(), CountedWork(model) as decoding:
        model.decode_chunk(codes_BKT, scale_B1)
    assert decoding.flop == FRAMES * decode_flop_per_frame(config)


def test_work_grows_by_a_search_a_codebook() -> None:
    more = encode_flop_per_frame(ENCODEC_24KHZ, 9) - encode_flop_per_frame(ENCODEC_24KHZ, 8)
    assert more == 2 * 128 * 1024


def test_work_for_a_second_counts_begun_frames_and_overlaps() -> None:
    causal = flop_per_audio_second(small_task("24khz", 1.0, 0.501))
    per_frame = encode_flop_per_frame(CAUSAL, NUM_CODEBOOKS)
    assert causal["encode"] == pytest.approx(per_frame * (75 + 38) / 1.501)
    stereo = flop_per_audio_second(small_task("48khz", 2.0))
    # Chunks of 48,000 samples start at 0, 47,520 and 95,040; the last one has 960.
    assert stereo["decode"] == pytest.approx(decode_flop_per_frame(STEREO) * (150 + 150 + 3) / 2)
