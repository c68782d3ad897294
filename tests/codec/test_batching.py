"""Codes are bit-identical whatever happens around a recording, with the real networks.

Real audio of mixed lengths, random weights; `test_codec.py` does the same for small models with
arbitrary lengths and blocks, `test_parity.py` says what the codes must be.
"""

from collections.abc import Callable, Iterable, Iterator

import pytest
import torch
from torch import Tensor

from codec import EncodedAudio
from codec.encodec import EncodecCodec, EncodecConfig, EncodecModel, encoding, grid, kernels
from codec.encodec.encoding import EncodingOrder
from codec.encodec.engine import Engine
from codec.encodec.halves import GridShape, encoder_halves
from codec.encodec.rows import KeptRows
from tests.codec.conftest import Clip
from tests.codec.references import References, assert_close

Refs = Callable[[str], References]
VARIANTS = ("24khz", "48khz")
# One sample; a hop, a unit of 25 frames, a tile or chunk, each alone and exceeded by a sample.
LENGTHS = (1, 320, 321, 8000, 8001, 24_000, 24_001, 47_520, 48_000, 60_007, 96_000)
SLOTS = 4


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def codec(variant: str, references: Refs) -> EncodecCodec:
    return EncodecCodec(references(variant).ours, variant, "0" * 64, threads=1)


@pytest.fixture(scope="module")
def recordings(codec: EncodecCodec, clip: Clip) -> list[Tensor]:
    """Speech and music in turns."""
    spec = codec.spec
    return [
        clip(("speech", "music")[i % 2], n, spec.sample_rate, spec.channels)
        for i, n in enumerate(LENGTHS)
    ]


@pytest.fixture(scope="module")
def alone(codec: EncodecCodec, recordings: list[Tensor]) -> list[EncodedAudio]:
    """Each recording encoded on its own."""
    return [codec.encode(recording, 8) for recording in recordings]


def _check(found: Iterable[EncodedAudio], wanted: list[EncodedAudio]) -> None:
    for index, (one, other) in enumerate(zip(found, wanted, strict=True)):
        assert one.num_samples == other.num_samples
        assert torch.equal(one.codes, other.codes), f"recording {index}"
        if one.scales is not None and other.scales is not None:
            assert torch.equal(one.scales, other.scales), f"scales of recording {index}"


def _in_blocks(audio_CS: Tensor, size: int) -> Iterator[Tensor]:
    return iter(audio_CS.split(size, dim=1))


def test_among_neighbours_and_in_any_order(
    codec: EncodecCodec, recordings: list[Tensor], alone: list[EncodedAudio]
) -> None:
    _check(codec.encode_stream(recordings, 8), alone)
    order = torch.randperm(len(recordings), generator=torch.Generator().manual_seed(1)).tolist()
    _check(codec.encode_stream([recordings[i] for i in order], 8), [alone[i] for i in order])


def test_in_any_slot(
    codec: EncodecCodec, recordings: list[Tensor], alone: list[EncodedAudio]
) -> None:
    chosen = LENGTHS.index(24_001)
    for slot in range(1, SLOTS):
        *_, last = codec.encode_stream([*recordings[-slot:], recordings[chosen]], 8)
        _check([last], [alone[chosen]])


@pytest.mark.parametrize("size", [997, 24_000, 50_000])
def test_in_blocks_of_any_size(
    size: int, codec: EncodecCodec, recordings: list[Tensor], alone: list[EncodedAudio]
) -> None:
    _check(codec.encode_stream([_in_blocks(r, size) for r in recordings], 8), alone)


@pytest.mark.parametrize("threads", [2, 3])
def test_with_any_number_of_threads(
    threads: int, variant: str, references: Refs, recordings: list[Tensor],
    alone: list[EncodedAudio],
) -> None:  # fmt: skip
    codec = EncodecCodec(references(variant).ours, variant, "0" * 64, threads=threads)
    before = torch.get_num_threads()
    _check(codec.encode_stream(recordings, 8), alone)
    assert torch.get_num_threads() == before


def test_decoding_among_neighbours_is_decoding_alone(
    codec: EncodecCodec, alone: list[EncodedAudio]
) -> None:
    for encoded, waveform in zip(alone, codec.decode_batch(alone), strict=True):
        assert torch.equal(waveform, codec.decode(encoded))
        assert torch.equal(waveform, torch.cat(list(codec.decode_stream(encoded)), dim=-1))


def test_bfloat16_is_as_independent(
    variant: str, references: Refs, recordings: list[Tensor]
) -> None:
    codec = EncodecCodec(
        references(variant).ours, variant, "0" * 64, threads=2, precision="bfloat16"
    )
    alone = [codec.encode(recording, 8) for recording in recordings]
    _check(codec.encode_stream(recordings, 8), alone)
    exact = EncodecCodec(references(variant).ours, variant, "0" * 64)
    assert exact.spec.fingerprint != codec.spec.fingerprint
    same = [
        (one.codes[0] == exact.encode(recording, 1).codes[0]).float().mean()
        for one, recording in zip(alone, recordings, strict=True)
        if one.codes.shape[1] > 50
    ]
    assert torch.stack(same).min() > 0.5, "bfloat16 codes have little to do with float32 ones"


def test_fewer_codebooks_are_the_first_of_all(
    codec: EncodecCodec, recordings: list[Tensor], alone: list[EncodedAudio]
) -> None:
    for encoded, wanted in zip(codec.encode_stream(recordings, 3), alone, strict=True):
        assert torch.equal(encoded.codes, wanted.codes[:3])


class TestAllSlotsTogether:
    """The way of a GPU, on a CPU: the whole grid goes through every layer at once."""

    @pytest.fixture
    def run(
        self, codec: EncodecCodec, variant: str, references: Refs
    ) -> Callable[[list[Tensor]], list[EncodedAudio]]:
        spec = codec.spec
        frames = 75 if spec.chunk_samples is None else 150
        shape = GridShape(slots=3, frames=frames, unit_frames=frames, together=True)
        halves = encoder_halves(references(variant).ours, shape, torch.float32)(8)
        engine = Engine(halves, spec.causal, threads=1)
        tile_samples = 75 * spec.hop_samples if spec.causal else None

        def encode(recordings: list[Tensor]) -> list[EncodedAudio]:
            order = EncodingOrder(spec, 8, tile_samples)
            return list(order.run(engine, [[recording] for recording in recordings]))

        return encode

    def test_neighbours_change_nothing(
        self, run: Callable[[list[Tensor]], list[EncodedAudio]], recordings: list[Tensor]
    ) -> None:
        alone = [run([recording])[0] for recording in recordings]
        _check(run(recordings), alone)
        _check(run(recordings[::-1]), alone[::-1])

    def test_the_codes_are_those_of_one_slot_at_a_time(
        self,
        run: Callable[[list[Tensor]], list[EncodedAudio]],
        recordings: list[Tensor],
        alone: list[EncodedAudio],
    ) -> None:
        for one, other in zip(run(recordings), alone, strict=True):
            assert (one.codes == other.codes).float().mean() > 0.99


def test_without_onednn_the_codes_are_the_same(
    variant: str, references: Refs, recordings: list[Tensor], alone: list[EncodedAudio],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """As on processors that have other kernels."""
    onednn = EncodecCodec(references(variant).ours, variant, "0" * 64, threads=1)
    onednn.decode(alone[0])  # lays its weights out
    monkeypatch.setattr(kernels, "can_pack", lambda _device: False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    codec = EncodecCodec(references(variant).ours, variant, "0" * 64, threads=1)
    chosen = [LENGTHS.index(n) for n in (1, 321, 24_001, 60_007)]
    found = list(codec.encode_stream([recordings[i] for i in chosen], 8))
    for one, other in zip(found, [alone[i] for i in chosen], strict=True):
        assert (one.codes == other.codes).float().mean() > 0.99
        assert_close(codec.decode(one), onednn.decode(one), "decoded")


class TestOrder:
    def test_one_long_recording_holds_back_a_bounded_number_of_others(
        self, small_config: EncodecConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(encoding, "MOST_WAITING_FRAMES", 600)
        codec = EncodecCodec(EncodecModel(small_config).eval(), "small", "0" * 64, threads=1)
        begun = 0

        def arriving() -> Iterator[Tensor]:
            nonlocal begun
            for length in [600 * 100, *[600] * 200]:  # 100 tiles, then one tile each
                begun += 1
                yield torch.zeros(1, length)

        encoded = codec.encode_stream(arriving(), 1)
        assert next(encoded).num_samples == 60_000
        # 7,500 frames of the long one count too; without a bound all 201 would have begun.
        assert begun < 30
        assert [one.num_samples for one in encoded] == [600] * 200

    def test_an_empty_recording_keeps_its_place(self, codec: EncodecCodec) -> None:
        channels = codec.spec.channels
        sizes = [0, 500, 0, 0, 700]
        encoded = list(codec.encode_stream([torch.zeros(channels, n) for n in sizes], 1))
        assert [one.num_samples for one in encoded] == sizes
        assert [one.codes.shape[1] for one in encoded] == [0, 2, 0, 0, 3]

    def test_an_error_in_a_recording_reaches_the_caller(self, codec: EncodecCodec) -> None:
        def broken() -> Iterator[Tensor]:
            yield torch.zeros(codec.spec.channels, 1000)
            raise OSError("connection lost")

        with pytest.raises(OSError, match="connection lost"):
            list(codec.encode_stream([broken()], 1))


class TestTheChecksFailFor:
    """The comparisons above refuse the mistakes they are there for."""

    def test_an_lstm_state_left_by_the_recording_before(
        self, references: Refs, clip: Clip, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        codec = EncodecCodec(references("24khz").ours, "24khz", "0" * 64, threads=1)
        recordings = [clip("speech", 24_001, 24_000, 1)] * (SLOTS + 1)
        wanted = [codec.encode(recording, 8) for recording in recordings]
        piece = grid.Piece
        monkeypatch.setattr(
            "codec.encodec.engine.Piece", lambda rows, _first, is_last: piece(rows, False, is_last)
        )
        with pytest.raises(AssertionError, match="recording"):
            _check(codec.encode_stream(recordings, 8), wanted)

    def test_tiles_without_the_rows_before_them(
        self, references: Refs, clip: Clip, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refs = references("24khz")
        codec = EncodecCodec(refs.ours, "24khz", "0" * 64, threads=1)
        audio_CS = clip("speech", 48_001, 24_000, 1)
        with torch.no_grad():
            whole_BKT = refs.ours.quantizer.search(refs.ours.encoder(audio_CS[None]), 8)
        share = (codec.encode(audio_CS, 8).codes == whole_BKT[0]).float().mean()
        monkeypatch.setattr(KeptRows, "exchange", lambda *_: None)
        broken = (codec.encode(audio_CS, 8).codes == whole_BKT[0]).float().mean()
        assert share > 0.99 > 0.97 > broken
