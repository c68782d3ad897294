"""A codec without weights, for tests of what surrounds codecs."""

import hashlib
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from codec import CodecSpec, EncodedAudio
from codec.base import Waveform


class MeanCodec:
    """Mono, 24 kHz, hop 320: code k of a frame is the mean of its k-th eighth in 10 bits.

    A pure function of the audio that every sample has a part in. Blocks may be of any size.
    """

    def __init__(self) -> None:
        self.spec = CodecSpec(
            name="mean",
            sample_rate=24000,
            channels=1,
            hop_samples=320,
            num_codebooks=8,
            codebook_size=1024,
            bandwidths_kbps=(1.5, 3.0, 6.0),
            chunk_samples=None,
            stride_samples=None,
            normalizes=False,
            causal=True,
            fingerprint=hashlib.sha256(b"mean").hexdigest(),
        )

    def encode(self, waveform: Tensor, num_codebooks: int | None = None) -> EncodedAudio:
        return next(self.encode_stream([waveform], num_codebooks))

    def encode_stream(
        self, recordings: Iterable[Waveform], num_codebooks: int | None = None
    ) -> Iterator[EncodedAudio]:
        count = self.spec.check_num_codebooks(num_codebooks)
        for recording in recordings:
            blocks = [recording] if isinstance(recording, Tensor) else list(recording)
            audio_CS = torch.cat([torch.zeros(1, 0), *blocks], dim=1)
            padded_S = torch.nn.functional.pad(audio_CS[0], (0, -audio_CS.shape[1] % 320))
            means_KT = padded_S.reshape(-1, 8, 40).mean(dim=2).T
            codes_KT = ((means_KT.clamp(-1, 1) + 1) * 511.5).round().long()
            yield EncodedAudio(codes_KT[:count], None, audio_CS.shape[1])

    def decode(self, encoded: EncodedAudio) -> Tensor:
        return next(self.decode_stream(encoded))

    def decode_batch(self, recordings: Iterable[EncodedAudio]) -> Iterator[Tensor]:
        return map(self.decode, recordings)

    def decode_stream(self, encoded: EncodedAudio) -> Iterator[Tensor]:
        steps_S = encoded.codes.T.repeat_interleave(40, dim=1).reshape(1, -1)
        yield (steps_S / 511.5 - 1)[:, : encoded.num_samples]

    def codebook(self, index: int) -> Tensor:
        del index  # all codebooks are alike
        return torch.linspace(-1, 1, 1024)[:, None]
