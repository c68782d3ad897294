"""What a grid is said to take is what its tensors take."""

import weakref
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from codec import CodecError, load_codec
from codec.encodec import EncodecConfig, EncodecModel
from codec.encodec.config import ENCODEC_24KHZ, ENCODEC_48KHZ
from codec.encodec.grid import Grid, Piece
from codec.encodec.grid_memory import check_grid_fits, gpu_budget, grid_bytes
from codec.encodec.halves import GridShape, encoder_halves
from codec.errors import CodecConfigError

MONO, STEREO = ENCODEC_24KHZ, ENCODEC_48KHZ
TINY = EncodecConfig(target_bandwidths=(6.0,), num_filters=8, hidden_size=64)
DEEP = EncodecConfig(target_bandwidths=(100.0,), num_filters=8, upsampling_ratios=(4, 1, 1))


class LiveMemory(TorchDispatchMode):
    """Sums up the memory of all tensors that operators have made and that are still there."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            storage = tensor.untyped_storage() if isinstance(tensor, torch.Tensor) else None
            if storage is not None and storage._cdata not in self._sizes:
                self._sizes[storage._cdata] = storage.nbytes()
                weakref.finalize(storage, self._sizes.pop, storage._cdata)
        self.peak_bytes = max(self.peak_bytes, sum(self._sizes.values()))
        return result


def shape_of(config: EncodecConfig, slots: int) -> GridShape:
    frames = -(-(config.chunk_length or 0) // config.hop_length) or 75
    return GridShape(slots, frames, 25, together=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("config", [MONO, STEREO, TINY, DEEP], ids=["24k", "48k", "tiny", "deep"])
def test_the_estimate_is_what_the_tensors_of_a_grid_take(
    config: EncodecConfig, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the operators that a GPU has: none of those for x86."""
    monkeypatch.setattr("codec.encodec.kernels.can_pack", lambda _device: False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "none of x86")
    shape = shape_of(config, slots=3)
    model = EncodecModel(config).eval()
    halves = encoder_halves(model, shape, dtype)(min(8, len(model.quantizer)))
    samples = shape.frames * config.hop_length
    pieces = [Piece(torch.zeros(samples, config.audio_channels), True, False)] * shape.slots
    with LiveMemory() as memory:
        Grid(halves, keeps=config.chunk_length is None).step(pieces)
    estimate = grid_bytes(config, shape, dtype.itemsize)
    assert memory.peak_bytes <= estimate <= 1.5 * memory.peak_bytes


def test_a_grid_that_does_not_fit_is_refused_with_the_largest_that_does() -> None:
    budget = 6_000_000_000
    with pytest.raises(
        CodecConfigError, match=r"256 slots .* 6\.3 GB .* 6\.0 GB are ours"
    ) as caught:
        check_grid_fits(MONO, shape_of(MONO, 256), 4, budget)
    fitting = int(str(caught.value).partition("--gpu-slots ")[2].partition(",")[0])
    assert 200 < fitting < 256
    check_grid_fits(MONO, shape_of(MONO, fitting), 4, budget)
    with pytest.raises(CodecConfigError, match=f"largest that fits is {fitting}"):
        check_grid_fits(MONO, shape_of(MONO, fitting + 1), 4, budget)
    with pytest.raises(CodecConfigError, match="not even one slot fits"):
        check_grid_fits(MONO, shape_of(MONO, 1), 4, 1 << 30)


def test_a_grid_of_the_usual_size_fits_where_it_is_said_to() -> None:
    check_grid_fits(MONO, shape_of(MONO, 256), 4, 8 << 30)
    check_grid_fits(STEREO, shape_of(STEREO, 256), 4, 16 << 30)
    check_grid_fits(STEREO, shape_of(STEREO, 256), 2, 8 << 30)


def test_a_codec_on_a_gpu_looks_at_its_memory_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory that is free, and of that no more than the share of the process."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (8 << 30, 16 << 30))
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda _device: 0.25)
    assert gpu_budget(torch.device("cuda")) == 4 << 30
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda _device: 1.0)
    assert gpu_budget(torch.device("cuda")) == 8 << 30


@pytest.mark.parametrize("slots", [0, -1])
def test_a_grid_has_slots(slots: int) -> None:
    with pytest.raises(CodecError, match="gpu_slots must be at least 1, got"):
        load_codec("tiny_24khz", gpu_slots=slots)
