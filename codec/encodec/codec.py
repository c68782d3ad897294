"""EnCodec behind the codec interface: recordings of any length, in memory that does not grow.

Dimension key: B batch, C channels, S samples, K codebooks, T frames, D latent width.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from codec.base import CodecSpec, EncodedAudio, Waveform
from codec.encodec.checkpoint import read_checkpoint
from codec.encodec.chunking import cut, overlap_add
from codec.encodec.config import EncodecConfig
from codec.encodec.conv import TileState
from codec.encodec.model import EncodecModel
from codec.errors import AudioShapeError, CodecConfigError
from codec.exact import exact_kernels

# One shape for ever: kernels give other last bits for other shapes, and codes are argmins.
TILE_FRAMES = 75


class EncodecCodec:
    """A `Codec` made of an `EncodecModel`.

    A causal model without chunks runs over a recording in tiles of `TILE_FRAMES` frames with exact
    state. A model with chunks encodes each at its true length. Any other sees a recording whole.
    """

    def __init__(self, model: EncodecModel, name: str, fingerprint: str) -> None:
        """Wraps a model.

        Args:
            model: in eval mode, on the device to use.
            name: what users call the codec.
            fingerprint: of the checkpoint.
        """
        config = model.config
        self._model = model
        self._device = next(model.parameters()).device
        self._tiles = (
            config.use_causal_conv
            and config.trim_right_ratio == 1.0
            and config.chunk_length is None
            and not config.normalize
            and config.norm_type == "weight_norm"
        )
        self.spec = _spec(config, name, fingerprint, len(model.quantizer))

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        name: str,
        device: str | torch.device = "cpu",
        *,
        chunk_seconds: float | None = None,
        overlap: float | None = None,
        normalize: bool | None = None,
    ) -> "EncodecCodec":
        """The codec of a checkpoint; what is not None replaces the checkpoint's own value.

        Raises:
            UnknownCodecError: there is no such file, folder or repository.
            CheckpointError: the weights are damaged or of another model.
            CodecConfigError: the values make no sense together.
        """
        checkpoint = read_checkpoint(source)
        config = _overridden(checkpoint.config, chunk_seconds, overlap, normalize)
        checkpoint = replace(checkpoint, config=config)
        model = EncodecModel.from_checkpoint(checkpoint).to(device)
        return cls(model, name, checkpoint.fingerprint)

    def encode(self, waveform: Tensor, num_codebooks: int | None = None) -> EncodedAudio:
        """Codes of one recording, float [C, S].

        Raises:
            AudioShapeError: another number of channels, or no float tensor of two dimensions.
            UnsupportedBandwidthError: the codec has fewer codebooks.
        """
        return next(self.encode_stream([waveform], num_codebooks))

    def encode_stream(
        self, recordings: Iterable[Waveform], num_codebooks: int | None = None
    ) -> Iterator[EncodedAudio]:
        """Codes of many recordings, in the order they came; each one [C, S] or blocks of that.

        Raises:
            AudioShapeError: another number of channels, or no float tensor of two dimensions.
            UnsupportedBandwidthError: the codec has fewer codebooks.
        """
        count = self.spec.check_num_codebooks(num_codebooks)
        for recording in recordings:
            blocks = [recording] if isinstance(recording, Tensor) else recording
            yield self._encode_recording(map(self._checked, blocks), count)

    def decode(self, encoded: EncodedAudio) -> Tensor:
        """The waveform, float32 [C, num_samples].

        Raises:
            AudioShapeError: codes or scales do not fit `num_samples` or the codec.
        """
        blocks = list(self.decode_stream(encoded))
        return torch.cat([torch.zeros(self.spec.channels, 0), *blocks], dim=-1)

    def decode_stream(self, encoded: EncodedAudio) -> Iterator[Tensor]:
        """The same waveform in blocks [C, S].

        Raises:
            AudioShapeError: codes or scales do not fit `num_samples` or the codec.
        """
        self._check_encoded(encoded)
        left = encoded.num_samples
        for block_BCS in self._decoded_blocks(encoded):
            yield block_BCS[0, :, :left].cpu()
            left -= min(left, block_BCS.shape[-1])

    def codebook(self, index: int) -> Tensor:
        """Entries of codebook `index`, counted from 0: float32 [codebook_size, D].

        Raises:
            IndexError: the codec has fewer codebooks.
        """
        if not 0 <= index < self.spec.num_codebooks:
            raise IndexError(f"codebook {index}: {self.spec.name} has {self.spec.num_codebooks}")
        return self._model.quantizer[index].embed.detach().clone()

    def _encode_recording(self, blocks: Iterator[Tensor], num_codebooks: int) -> EncodedAudio:
        num_samples = 0

        def counted() -> Iterator[Tensor]:
            nonlocal num_samples
            for block in blocks:
                num_samples += block.shape[-1]
                yield block

        codes: list[Tensor] = [torch.zeros(num_codebooks, 0, dtype=torch.int64)]
        scales: list[Tensor] = []
        if self._tiles:
            state = TileState()
            length = TILE_FRAMES * self.spec.hop_samples
            for tile_CS, is_last in cut(counted(), length, length):
                state = replace(state, is_last=is_last)
                codes.append(self._encode_tile(tile_CS, state, num_codebooks))
                state = state.next_tile(is_last=False)
        else:
            for chunk_CS in self._chunks(counted()):
                codes_KT, scale = self._encode_chunk(chunk_CS, num_codebooks)
                codes.append(codes_KT)
                scales += [] if scale is None else [scale]
        stacked = torch.cat(scales) if scales else torch.zeros(0)
        scaled = stacked if self.spec.normalizes else None
        return EncodedAudio(torch.cat(codes, dim=-1), scaled, num_samples)

    def _chunks(self, blocks: Iterator[Tensor]) -> Iterator[Tensor]:
        if self.spec.chunk_samples is not None and self.spec.stride_samples is not None:
            for chunk_CS, _ in cut(blocks, self.spec.chunk_samples, self.spec.stride_samples):
                yield chunk_CS
            return
        whole_CS = torch.cat([torch.zeros(self.spec.channels, 0), *blocks], dim=-1)
        if whole_CS.shape[-1]:
            yield whole_CS

    @torch.no_grad()
    def _encode_tile(self, tile_CS: Tensor, state: TileState, num_codebooks: int) -> Tensor:
        with exact_kernels(self._device):
            z_BDT = self._model.encoder(tile_CS[None].to(self._device), state)
            return self._model.quantizer.encode(z_BDT, num_codebooks)[0].cpu()

    @torch.no_grad()
    def _encode_chunk(self, chunk_CS: Tensor, num_codebooks: int) -> tuple[Tensor, Tensor | None]:
        with exact_kernels(self._device):
            x_BCS = chunk_CS[None].to(self._device)
            codes_BKT, scale_B1 = self._model.encode_chunk(x_BCS, num_codebooks)
        return codes_BKT[0].cpu(), None if scale_B1 is None else scale_B1[0].float().cpu()

    def _decoded_blocks(self, encoded: EncodedAudio) -> Iterator[Tensor]:
        if self._tiles:
            state = TileState()
            for codes_KT, is_last in cut([encoded.codes], TILE_FRAMES, TILE_FRAMES):
                state = replace(state, is_last=is_last)
                yield self._decode_tile(codes_KT, state)
                state = state.next_tile(is_last=False)
            return
        stride = self.spec.stride_samples or max(1, encoded.num_samples)
        yield from overlap_add(self._decoded_chunks(encoded), stride)

    def _decoded_chunks(self, encoded: EncodedAudio) -> Iterator[Tensor]:
        start = 0
        for index, frames in enumerate(self.spec.chunk_frames(encoded.num_samples)):
            scale = None if encoded.scales is None else encoded.scales[index]
            yield self._decode_chunk(encoded.codes[:, start : start + frames], scale)
            start += frames

    @torch.no_grad()
    def _decode_tile(self, codes_KT: Tensor, state: TileState) -> Tensor:
        with exact_kernels(self._device):
            z_BDT = self._model.quantizer.decode(codes_KT[None].to(self._device))
            audio: Tensor = self._model.decoder(z_BDT, state)
            return audio

    @torch.no_grad()
    def _decode_chunk(self, codes_KT: Tensor, scale: Tensor | None) -> Tensor:
        with exact_kernels(self._device):
            scale_B1 = None if scale is None else scale.to(self._device).view(1, 1)
            return self._model.decode_chunk(codes_KT[None].to(self._device), scale_B1)

    def _checked(self, block: Tensor) -> Tensor:
        shape = tuple(block.shape)
        if block.ndim != 2 or shape[0] != self.spec.channels or not block.is_floating_point():
            raise AudioShapeError(
                f"got {block.dtype} audio of shape {shape}; {self.spec.name} takes float "
                f"[{self.spec.channels}, samples] at {self.spec.sample_rate} Hz"
            )
        return block.float()

    def _check_encoded(self, encoded: EncodedAudio) -> None:
        codebooks, frames = encoded.codes.shape
        self.spec.check_num_codebooks(codebooks)
        wanted = self.spec.num_frames(encoded.num_samples)
        if frames != wanted:
            raise AudioShapeError(
                f"got {frames} frames; {encoded.num_samples} samples of {self.spec.name} "
                f"make {wanted}"
            )
        found = None if encoded.scales is None else tuple(encoded.scales.shape)
        chunks = len(self.spec.chunk_lengths(encoded.num_samples))
        if found != ((chunks,) if self.spec.normalizes else None):
            needed = f"{chunks} scales" if self.spec.normalizes else "no scales"
            raise AudioShapeError(f"got scales of shape {found}; this recording needs {needed}")
        if frames and not 0 <= int(encoded.codes.min()) <= int(encoded.codes.max()) < (
            self.spec.codebook_size
        ):
            raise AudioShapeError(
                f"codes run from {int(encoded.codes.min())} to {int(encoded.codes.max())}; "
                f"{self.spec.name} has codes 0 to {self.spec.codebook_size - 1}"
            )


def _overridden(
    config: EncodecConfig,
    chunk_seconds: float | None,
    overlap: float | None,
    normalize: bool | None,
) -> EncodecConfig:
    if chunk_seconds is not None:
        config = replace(config, chunk_length_s=chunk_seconds)
    if overlap is not None:
        if config.chunk_length_s is None:
            raise CodecConfigError("an overlap needs chunks: give the length of a chunk too")
        config = replace(config, overlap=overlap)
    return config if normalize is None else replace(config, normalize=normalize)


def _spec(config: EncodecConfig, name: str, fingerprint: str, num_codebooks: int) -> CodecSpec:
    tiled = hashlib.sha256(f"{fingerprint} tile {TILE_FRAMES}".encode()).hexdigest()
    return CodecSpec(
        name=name,
        sample_rate=config.sampling_rate,
        channels=config.audio_channels,
        hop_samples=config.hop_length,
        num_codebooks=num_codebooks,
        codebook_size=config.codebook_size,
        bandwidths_kbps=config.target_bandwidths,
        chunk_samples=config.chunk_length,
        stride_samples=config.chunk_stride,
        normalizes=config.normalize,
        causal=config.use_causal_conv,
        fingerprint=tiled,
    )
