"""Our EnCodec against transformers and Meta's `encodec`, same weights, real speech and music.

The checks are functions, so that the last tests can show that each would fail for a wrong model.
"""

from collections.abc import Callable, Iterator

import encodec.utils
import pytest
import torch
from torch import Tensor, nn

from codec.encodec import EncodecEncoderOutput, EncodecFeatureExtractor, chunking, conv, model
from codec.encodec.lstm import EncodecLSTM
from tests.codec.conftest import Clip
from tests.codec.references import References, assert_close, assert_codes_agree, codebooks_of

# One sample; a hop, a chunk and ten seconds, each with its neighbours.
LENGTHS = {
    "24khz": (1, 2, 319, 320, 321, 23999, 24000, 24001, 239_999, 240_000, 240_001),
    "48khz": (1, 2, 319, 320, 321, 47_519, 47_520, 47_521, 47_999, 48_000, 48_001, 95_521, 480_001),
}
Refs = Callable[[str], References]


def check_networks(refs: References, audio_CS: Tensor) -> None:
    """Encoder and decoder agree with both references on one chunk."""
    x_BCS = audio_CS[None]
    latent_BDT = refs.ours.encoder(x_BCS)
    assert_close(latent_BDT, refs.theirs.encoder(x_BCS), "latent, transformers")
    assert_close(latent_BDT, refs.meta.encoder(x_BCS), "latent, encodec")
    audio_BCS = refs.ours.decoder(latent_BDT)
    assert_close(audio_BCS, refs.theirs.decoder(latent_BDT), "audio, transformers")
    assert_close(audio_BCS, refs.meta.decoder(latent_BDT), "audio, encodec")


def check_codes(refs: References, audio_CS: Tensor, bandwidth: float) -> float:
    """Codes, scales and decoded audio agree with Meta's; returns the share of codes compared."""
    refs.meta.set_target_bandwidth(bandwidth)
    theirs = refs.meta.encode(audio_CS[None])
    ours = refs.ours.encode(audio_CS[None], bandwidth=bandwidth)
    assert len(theirs) == len(ours.audio_codes)
    compared = there_are = 0
    for n, (codes_BKT, scale_B1) in enumerate(theirs):
        frames = codes_BKT.shape[-1]
        chunk_BCS = _chunk(refs, audio_CS, n)
        if scale_B1 is not None:
            assert_close(_scale(ours, n), scale_B1, f"scale of chunk {n}")
            chunk_BCS = chunk_BCS / scale_B1[..., None]
        latent_BDT = refs.meta.encoder(chunk_BCS)
        ours_KT = ours.audio_codes[n, 0, :, :frames]
        counts = assert_codes_agree(ours_KT, codes_BKT[0], latent_BDT[0], codebooks_of(refs.ours))
        compared, there_are = compared + counts[0], there_are + counts[1]
    last = theirs[-1][0].shape[-1]
    assert ours.last_frame_pad_length == theirs[0][0].shape[-1] - last
    check_decoding(refs, theirs, ours.last_frame_pad_length)
    return compared / there_are


def check_decoding(refs: References, frames: list[tuple[Tensor, Tensor | None]], pad: int) -> None:
    """The same codes and scales decode to the same audio."""
    wanted_BCS = refs.meta.decode(frames)
    full = frames[0][0].shape[-1]
    codes_NBKT = torch.stack(
        [nn.functional.pad(codes, (0, full - codes.shape[-1])) for codes, _ in frames]
    )
    scales = [scale for _, scale in frames]
    ours = refs.ours.decode(codes_NBKT, scales, last_frame_pad_length=pad).audio_values
    assert_close(ours, wanted_BCS, "decoded, encodec")
    theirs = refs.theirs.decode(codes_NBKT, scales, last_frame_pad_length=pad).audio_values
    assert_close(ours, theirs, "decoded, transformers")


def check_padded_batch(refs: References, clips: list[Tensor], bandwidth: float) -> None:
    """Recordings padded into a batch have the codes and scales Meta's gives each one alone."""
    config = refs.config
    extractor = EncodecFeatureExtractor(
        config.audio_channels, config.sampling_rate, 0.0, config.chunk_length_s, config.overlap
    )
    arrays = [clip.numpy() if len(clip) > 1 else clip[0].numpy() for clip in clips]
    batch = extractor(arrays, sampling_rate=config.sampling_rate, return_tensors="pt")
    ours = refs.ours.encode(batch.input_values, batch.padding_mask, bandwidth)
    for row, audio_CS in enumerate(clips):
        refs.meta.set_target_bandwidth(bandwidth)
        for n, (codes_BKT, scale_B1) in enumerate(refs.meta.encode(audio_CS[None])):
            chunk_BCS = _chunk(refs, audio_CS, n)
            if scale_B1 is not None:
                assert_close(_scale(ours, n)[row], scale_B1[0], f"scale {n} of {row}")
                chunk_BCS = chunk_BCS / scale_B1[..., None]
            latent_DT = refs.meta.encoder(chunk_BCS)[0]
            ours_KT = ours.audio_codes[n, row, :, : codes_BKT.shape[-1]]
            assert_codes_agree(ours_KT, codes_BKT[0], latent_DT, codebooks_of(refs.ours))


def _scale(encoded: EncodecEncoderOutput, n: int) -> Tensor:
    scale_B1 = encoded.audio_scales[n]
    assert scale_B1 is not None
    return scale_B1


def _chunk(refs: References, audio_CS: Tensor, n: int) -> Tensor:
    length, stride = refs.config.chunk_length, refs.config.chunk_stride
    if length is None or stride is None:
        return audio_CS[None]
    return audio_CS[None, :, n * stride : n * stride + length]


def _audio(clip: Clip, refs: References, kind: str, num_samples: int) -> Tensor:
    return clip(kind, num_samples, refs.config.sampling_rate, refs.config.audio_channels)


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.mark.parametrize("kind", ["speech", "music"])
@pytest.mark.parametrize("variant", ["24khz", "48khz"])
@pytest.mark.parametrize("num_samples", [1, 319, 320, 321, 24_001, 48_000])
def test_networks(variant: str, num_samples: int, kind: str, references: Refs, clip: Clip) -> None:
    refs = references(variant)
    check_networks(refs, _audio(clip, refs, kind, num_samples))


@pytest.mark.parametrize(
    ("variant", "num_samples"), [(v, n) for v, lengths in LENGTHS.items() for n in lengths]
)
def test_codes_at_awkward_lengths(
    variant: str, num_samples: int, references: Refs, clip: Clip
) -> None:
    refs = references(variant)
    kind = "speech" if num_samples % 2 else "music"
    share = check_codes(refs, _audio(clip, refs, kind, num_samples), bandwidth=6.0)
    if num_samples > 20_000:  # in a single frame chance may leave every code undecided
        assert share > 0.9, f"only {share:.0%} of the codes had a margin to be compared by"


@pytest.mark.parametrize("bandwidth", [1.5, 3.0, 6.0, 12.0, 24.0])
@pytest.mark.parametrize("variant", ["24khz", "48khz"])
def test_every_bandwidth(variant: str, bandwidth: float, references: Refs, clip: Clip) -> None:
    refs = references(variant)
    if bandwidth not in refs.config.target_bandwidths:
        pytest.skip(f"{variant} has no {bandwidth} kbps")
    check_codes(refs, _audio(clip, refs, "speech", 50_000), bandwidth)


@pytest.mark.parametrize("variant", ["24khz", "48khz"])
def test_padding_in_a_batch_changes_nothing(variant: str, references: Refs, clip: Clip) -> None:
    refs = references(variant)
    lengths = (60_000, 13_001, 1, 47_520, 48_000, 13_001)
    check_padded_batch(refs, [_audio(clip, refs, "speech", n) for n in lengths], 6.0)


@pytest.mark.parametrize("variant", ["24khz", "48khz"])
def test_unpadded_codes_equal_those_of_transformers(
    variant: str, references: Refs, clip: Clip
) -> None:
    refs = references(variant)
    x_BCS = _audio(clip, refs, "music", 60_001)[None]
    theirs = refs.theirs.encode(x_BCS, bandwidth=12.0)
    ours = refs.ours.encode(x_BCS, bandwidth=12.0)
    assert ours.audio_codes.shape == theirs.audio_codes.shape
    assert ours.last_frame_pad_length == theirs.last_frame_pad_length
    same = (ours.audio_codes == theirs.audio_codes).float().mean()
    assert same > 0.99, f"{same:.2%} of codes agree"


def test_decoding_a_padded_batch_stops_at_the_mask(references: Refs, clip: Clip) -> None:
    refs = references("48khz")
    clips = [_audio(clip, refs, "speech", n) for n in (60_000, 13_001)]
    padded = torch.stack([nn.functional.pad(c, (0, 95_520 - c.shape[-1])) for c in clips])
    mask = torch.stack([torch.arange(95_520) < c.shape[-1] for c in clips])
    encoded = refs.ours.encode(padded, mask, 6.0)
    audio = refs.ours.decode(encoded.audio_codes, encoded.audio_scales, mask).audio_values
    assert audio.shape == padded.shape
    assert not audio[1, :, 13_001:].any()
    for row, clip_CS in enumerate(clips):
        alone = refs.ours(clip_CS[None], bandwidth=6.0).audio_values[0]
        assert_close(audio[row, :, : clip_CS.shape[-1]], alone, f"recording {row}")


class TestTheChecksFailFor:
    """Each check of this file refuses the mistake it is there for."""

    def test_zero_padding_instead_of_reflection(
        self, references: Refs, clip: Clip, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refs = references("24khz")
        pad = nn.functional.pad
        monkeypatch.setattr(
            conv, "pad_end_aware", lambda x, left, right, _mode: pad(x, (left, right))
        )
        with pytest.raises(AssertionError, match="latent"):
            check_networks(refs, _audio(clip, refs, "speech", 24_001))

    def test_an_lstm_without_its_skip(
        self, references: Refs, clip: Clip, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refs = references("24khz")
        with_skip = EncodecLSTM.forward
        monkeypatch.setattr(EncodecLSTM, "forward", lambda self, x: with_skip(self, x) - x)
        with pytest.raises(AssertionError, match="latent"):
            check_networks(refs, _audio(clip, refs, "speech", 24_001))

    def test_overlap_add_without_weights(
        self, references: Refs, clip: Clip, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refs = references("48khz")
        monkeypatch.setattr(chunking, "triangle", lambda length, like: like.new_ones(length))
        with pytest.raises(AssertionError, match="decoded"):
            check_codes(refs, _audio(clip, refs, "speech", 95_521), 6.0)

    def test_a_scale_computed_over_padding(
        self, references: Refs, clip: Clip, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refs = references("48khz")
        monkeypatch.setattr(model, "true_lengths", lambda _mask, x: [x.shape[-1]] * len(x))
        with pytest.raises(AssertionError, match="scale"):
            check_padded_batch(
                refs, [_audio(clip, refs, "speech", n) for n in (60_000, 9_000)], 6.0
            )

    def test_codebooks_in_another_order(self, references: Refs, clip: Clip) -> None:
        refs = references("24khz")
        audio_CS = _audio(clip, refs, "speech", 24_000)
        codes_KT = refs.ours.encode(audio_CS[None], bandwidth=6.0).audio_codes[0, 0]
        latent_DT = refs.ours.encoder(audio_CS[None])[0]
        with pytest.raises(AssertionError, match="codebook 0"):
            assert_codes_agree(codes_KT.flip(0), codes_KT, latent_DT, codebooks_of(refs.ours))


def test_meta_converts_audio_as_we_do(clip: Clip) -> None:
    """Mono from stereo is the mean of the channels."""
    stereo = clip("music", 1000, 48_000, 2)
    converted = encodec.utils.convert_audio(stereo, 48_000, 48_000, 1)
    assert_close(stereo.mean(dim=0, keepdim=True), converted, "mono")
