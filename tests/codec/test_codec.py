"""The codec interface: what every codec promises, and that streaming changes nothing.

Codecs with random weights stand for the published ones; `tiny_24khz` is the real thing.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

import codec as codec_package
from codec import (
    AudioShapeError,
    Codec,
    CodecConfigError,
    CodecSpec,
    EncodedAudio,
    UnsupportedBandwidthError,
    list_codecs,
    load_codec,
)
from codec.encodec import EncodecCodec, EncodecConfig, EncodecModel
from codec.encodec.codec import TILE_FRAMES
from codec.encodec.config import ENCODEC_48KHZ
from tests.codec.conftest import Clip
from tests.codec.references import References, assert_close, assert_codes_agree, codebooks_of

Refs = Callable[[str], References]
EMBEDDED = sorted(path.name for path in (Path(codec_package.__file__).parent / "weights").iterdir())
SMALL_48KHZ = dataclasses.replace(
    ENCODEC_48KHZ,
    num_filters=4,
    hidden_size=8,
    codebook_dim=8,
    codebook_size=16,
    chunk_length_s=0.05,
    overlap=0.1,
)


def _codec(config: EncodecConfig) -> EncodecCodec:
    torch.manual_seed(3)
    model = EncodecModel(config).eval()
    with torch.no_grad():
        latent = model.encoder(torch.randn(1, config.audio_channels, 4000))
    for k in range(len(model.quantizer)):
        model.quantizer[k].embed.normal_().mul_(latent.std() * 0.8**k)
    return EncodecCodec(model, "random", "0" * 64)


@pytest.fixture(scope="module", params=["tiled", "chunked", "whole", *EMBEDDED])
def codec(request: pytest.FixtureRequest, small_config: EncodecConfig) -> Codec:
    """One codec for each way of encoding."""
    if request.param == "tiled":
        return _codec(small_config)
    if request.param == "chunked":
        return _codec(SMALL_48KHZ)
    if request.param == "whole":
        return _codec(dataclasses.replace(small_config, use_causal_conv=False))
    return load_codec(request.param)


def _noise(codec: Codec, num_samples: int) -> Tensor:
    generator = torch.Generator().manual_seed(num_samples)
    return torch.randn(codec.spec.channels, num_samples, generator=generator) * 0.1


def _blocks(audio_CS: Tensor, sizes: list[int]) -> Iterator[Tensor]:
    edges = [0, *torch.tensor(sizes).cumsum(0).tolist(), audio_CS.shape[1]] if sizes else [0, None]
    for start, end in pairwise(edges):
        yield audio_CS[:, start:end]


def _same(one: EncodedAudio, other: EncodedAudio) -> bool:
    if one.scales is None or other.scales is None:
        same_scales = one.scales is other.scales
    else:
        same_scales = torch.equal(one.scales, other.scales)
    same_codes = torch.equal(one.codes, other.codes)
    return same_codes and same_scales and one.num_samples == other.num_samples


def test_it_is_a_codec(codec: Codec) -> None:
    assert isinstance(codec, Codec)


def test_shapes_and_types(codec: Codec) -> None:
    spec = codec.spec
    tile = TILE_FRAMES * spec.hop_samples
    for num_samples in (0, 1, spec.hop_samples, spec.hop_samples + 1, tile, tile + 1, 2 * tile + 7):
        encoded = codec.encode(_noise(codec, num_samples), 2)
        assert encoded.codes.shape == (2, spec.num_frames(num_samples))
        assert encoded.codes.dtype == torch.int64
        assert encoded.num_samples == num_samples
        if spec.normalizes:
            assert encoded.scales is not None
            assert encoded.scales.shape == (len(spec.chunk_lengths(num_samples)),)
            assert encoded.scales.dtype == torch.float32
        else:
            assert encoded.scales is None
        decoded = codec.decode(encoded)
        assert decoded.shape == (spec.channels, num_samples)
        assert decoded.dtype == torch.float32
        assert decoded.isfinite().all()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_codes_do_not_depend_on_how_a_recording_arrives(codec: Codec, data: st.DataObject) -> None:
    longest = 3 * TILE_FRAMES * codec.spec.hop_samples
    lengths = data.draw(st.lists(st.integers(0, longest), min_size=1, max_size=3))
    recordings = [_noise(codec, n) for n in lengths]
    alone = [codec.encode(recording, 3) for recording in recordings]
    sizes = [sorted(data.draw(st.lists(st.integers(0, n // 2), max_size=2)))[:1] for n in lengths]
    arriving = [_blocks(r, s) for r, s in zip(recordings, sizes, strict=True)]
    together = list(codec.encode_stream(arriving, 3))
    assert len(together) == len(alone)
    assert all(_same(one, other) for one, other in zip(together, alone, strict=True))


def test_codes_do_not_depend_on_the_number_of_threads(codec: Codec) -> None:
    audio_CS = _noise(codec, 2 * TILE_FRAMES * codec.spec.hop_samples + 5)
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        found.append(codec.encode(audio_CS))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert all(_same(found[0], other) for other in found[1:])


def test_fewer_codebooks_are_the_first_of_all(codec: Codec) -> None:
    audio_CS = _noise(codec, 1234)
    every = codec.encode(audio_CS)
    assert every.codes.shape[0] == codec.spec.num_codebooks
    assert torch.equal(codec.encode(audio_CS, 2).codes, every.codes[:2])


def test_decoding_in_blocks_is_decoding(codec: Codec) -> None:
    encoded = codec.encode(_noise(codec, 3 * TILE_FRAMES * codec.spec.hop_samples + 9))
    blocks = list(codec.decode_stream(encoded))
    assert torch.equal(torch.cat(blocks, dim=-1), codec.decode(encoded))


def test_silence_and_full_scale_are_codes_too(codec: Codec) -> None:
    for audio_CS in (torch.zeros(codec.spec.channels, 3000), torch.ones(codec.spec.channels, 3000)):
        encoded = codec.encode(audio_CS)
        assert codec.decode(encoded).isfinite().all()
        if encoded.scales is not None:
            assert (encoded.scales > 0).all()


def test_codebooks(codec: Codec) -> None:
    entries = codec.codebook(codec.spec.num_codebooks - 1)
    assert entries.shape[0] == codec.spec.codebook_size
    assert entries.dtype == torch.float32
    entries.zero_()  # a copy: the codec's own stays
    assert codec.codebook(codec.spec.num_codebooks - 1).any()
    for index in (-1, codec.spec.num_codebooks):
        with pytest.raises(IndexError, match=f"codebook {index}"):
            codec.codebook(index)


def test_specs_survive_json(codec: Codec) -> None:
    assert CodecSpec.from_dict(json.loads(json.dumps(codec.spec.to_dict()))) == codec.spec


def test_wrong_audio_is_refused(codec: Codec) -> None:
    channels = codec.spec.channels
    for audio in (torch.zeros(channels + 1, 9), torch.zeros(9), torch.zeros(channels, 9).int()):
        with pytest.raises(AudioShapeError, match="takes float"):
            codec.encode(audio)


def test_wrong_numbers_of_codebooks_are_refused(codec: Codec) -> None:
    for count in (0, codec.spec.num_codebooks + 1):
        with pytest.raises(UnsupportedBandwidthError, match=f"not {count}"):
            codec.encode(_noise(codec, 100), count)


def test_wrong_codes_are_refused(codec: Codec) -> None:
    encoded = codec.encode(_noise(codec, 1000))
    wrong = dataclasses.replace(encoded, num_samples=10_000)
    with pytest.raises(AudioShapeError, match=r"frames; 10000 samples"):
        codec.decode(wrong)
    beyond = dataclasses.replace(encoded, codes=encoded.codes + codec.spec.codebook_size)
    with pytest.raises(AudioShapeError, match="codes run from"):
        codec.decode(beyond)
    scales = None if codec.spec.normalizes else torch.ones(1)
    with pytest.raises(AudioShapeError, match="scales"):
        codec.decode(dataclasses.replace(encoded, scales=scales))


@pytest.mark.parametrize("variant", ["24khz", "48khz"])
@pytest.mark.parametrize("num_samples", [1, 24_000, 24_001, 24_319, 72_000, 100_001])
def test_streamed_codes_are_those_of_the_whole_file(
    variant: str, num_samples: int, references: Refs, clip: Clip
) -> None:
    model = references(variant).ours
    config = model.config
    audio_CS = clip("speech", num_samples, config.sampling_rate, config.audio_channels)
    codec = EncodecCodec(model, variant, "0" * 64)
    encoded = codec.encode(audio_CS, 8)
    start = 0
    chunk = config.chunk_length or num_samples
    for n, frames in enumerate(codec.spec.chunk_frames(num_samples)):
        offset = n * (config.chunk_stride or 0)
        x_BCS = audio_CS[None, :, offset : offset + chunk]
        if encoded.scales is not None:
            x_BCS = x_BCS / encoded.scales[n]
        with torch.no_grad():
            latent_BDT = model.encoder(x_BCS)
        whole_KT = model.quantizer.search(latent_BDT, 8)[0]
        found_KT = encoded.codes[:, start : start + frames]
        compared, there_are = assert_codes_agree(
            found_KT, whole_KT, latent_BDT[0], codebooks_of(model)
        )
        if frames > 50:  # in a few frames chance may leave many codes undecided
            assert compared > 0.9 * there_are
        start += frames


@pytest.mark.parametrize("pad_mode", ["reflect", "constant", "replicate"])
@pytest.mark.parametrize("kind", ["tiled", "chunked"])
def test_every_way_of_padding_is_that_of_the_modules(
    kind: str, pad_mode: str, small_config: EncodecConfig
) -> None:
    """The padding by copied rows gives the latents of the modules, for short recordings too."""
    config = small_config if kind == "tiled" else SMALL_48KHZ
    config = dataclasses.replace(config, pad_mode=pad_mode, num_residual_layers=2)
    codec = _codec(config)
    tile = TILE_FRAMES * config.hop_length
    for num_samples in (
        1,
        2,
        3,
        5,
        8,
        9,
        31,
        200,
        tile - 1,
        tile,
        tile + 1,
        tile + 5,
        2 * tile + 3,
    ):
        audio_CS = _noise(codec, num_samples)
        encoded = codec.encode(audio_CS, 1)
        start = 0
        for n, frames in enumerate(codec.spec.chunk_frames(num_samples)):
            first = n * (config.chunk_stride or 0)
            x_BCS = audio_CS[None, :, first : first + (config.chunk_length or num_samples)]
            if encoded.scales is not None:
                x_BCS = x_BCS / encoded.scales[n]
            with torch.no_grad():
                latent_BDT = codec._model.encoder(x_BCS)
            whole_KT = codec._model.quantizer.search(latent_BDT, 1)[0]
            found_KT = encoded.codes[:, start : start + frames]
            assert_codes_agree(found_KT, whole_KT, latent_BDT[0], [codec.codebook(0)])
            start += frames


def test_streamed_audio_is_that_of_the_whole_file(references: Refs, clip: Clip) -> None:
    model = references("24khz").ours
    codec = EncodecCodec(model, "24khz", "0" * 64)
    encoded = codec.encode(clip("music", 100_001, 24_000, 1), 8)
    with torch.no_grad():
        whole = model.decode(encoded.codes[None, None], [None]).audio_values[0, :, :100_001]
    assert_close(codec.decode(encoded), whole, "decoded")


def test_chunking_can_be_overridden() -> None:
    plain = load_codec("tiny_24khz")
    chunked = load_codec("tiny_24khz", chunk_seconds=0.5, overlap=0.1, normalize=True)
    assert (chunked.spec.chunk_samples, chunked.spec.stride_samples) == (12_000, 10_800)
    assert chunked.spec.normalizes
    assert chunked.spec.fingerprint != plain.spec.fingerprint
    encoded = chunked.encode(torch.randn(1, 25_000) * 0.1)
    assert encoded.scales is not None
    assert len(encoded.scales) == 3
    assert chunked.decode(encoded).shape == (1, 25_000)
    with pytest.raises(CodecConfigError, match="needs chunks"):
        load_codec("tiny_24khz", overlap=0.1)


def test_bandwidths() -> None:
    spec = load_codec("tiny_24khz").spec
    assert [spec.codebooks_for_bandwidth(kbps) for kbps in spec.bandwidths_kbps] == [1, 2, 4, 8]
    with pytest.raises(UnsupportedBandwidthError, match=r"no bandwidth of 5 kbps; choose one of"):
        spec.codebooks_for_bandwidth(5)


def test_what_is_shipped() -> None:
    assert set(list_codecs()) == {"encodec_24khz", "encodec_48khz", "tiny_24khz"}
    spec = load_codec("tiny_24khz").spec
    assert (spec.sample_rate, spec.channels, spec.hop_samples) == (24_000, 1, 320)
    assert (spec.num_codebooks, spec.codebook_size, spec.frames_per_second) == (8, 1024, 75)
    assert spec.causal
