"""EnCodec behind the codec interface: recordings of any length, in memory that does not grow.

Dimension key: B batch, C channels, S samples, K codebooks, T frames, D latent width.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from codec.base import PRECISIONS, CodecSpec, EncodedAudio, Waveform
from codec.encodec.checkpoint import read_checkpoint
from codec.encodec.config import EncodecConfig
from codec.encodec.decoding import DecodingOrder
from codec.encodec.encoding import EncodingOrder
from codec.encodec.engine import Engine
from codec.encodec.grid_memory import check_grid_fits, gpu_budget
from codec.encodec.halves import GridShape, Halves, decoder_halves, encoder_halves
from codec.encodec.model import EncodecModel
from codec.errors import AudioShapeError, CodecConfigError
from codec.exact import exact_kernels

# The grids' shapes. Kernels round differently for another shape, so these are part of what a codec
# is, like its weights: whoever changes one changes the fingerprint. The slots of a GPU may have to
# follow its memory, and the fingerprint is the same on a CPU: a run that asks for a number of its
# own has it among the options of its codec.
TILE_FRAMES = 75
_UNIT_FRAMES = 25
_CPU_SLOTS = 4
GPU_SLOTS = 256


class EncodecCodec:
    """A `Codec` made of an `EncodecModel`.

    A causal model without chunks runs over recordings in tiles of `TILE_FRAMES` frames with exact
    state. A model with chunks encodes each at its true length. Any other sees a recording whole,
    and one at a time.
    """

    def __init__(
        self,
        model: EncodecModel,
        name: str,
        fingerprint: str,
        *,
        threads: int | None = None,
        precision: str = "float32",
        gpu_slots: int | None = None,
    ) -> None:
        """Wraps a model, whose weights are not changed from then on.

        Args:
            model: in eval mode, on the device to use.
            name: what users call the codec.
            fingerprint: of the checkpoint.
            threads: of a CPU, that work on recordings side by side; None: as many as torch uses.
            precision: "float32", or "bfloat16" for convolutions and LSTM. The search for the
                nearest entry is float32 always.
            gpu_slots: recordings that a GPU works on at once; None: `GPU_SLOTS`.

        Raises:
            CodecConfigError: there is no such precision, or not for this model, or the memory of
                the GPU does not hold its grid.
        """
        config = model.config
        self._model = model
        self._device = next(model.parameters()).device
        self._threads = (threads or torch.get_num_threads()) if self._device.type == "cpu" else 1
        self._has_tiles = (
            config.use_causal_conv
            and config.trim_right_ratio == 1.0
            and config.chunk_length is None
            and not config.normalize
            and config.norm_type == "weight_norm"
            and config.pad_mode != "circular"
        )
        has_chunks = config.chunk_length is not None and config.pad_mode != "circular"
        self._is_batched = self._has_tiles or has_chunks
        if precision not in PRECISIONS:
            raise CodecConfigError(
                f"precision {precision!r}: choose one of {', '.join(PRECISIONS)}"
            )
        if precision != "float32" and not self._is_batched:
            raise CodecConfigError(f"{name} sees recordings whole, which is done in float32 only")
        on_gpu = self._device.type != "cpu"
        frames = -(-(config.chunk_length or 0) // config.hop_length) or TILE_FRAMES
        gpu_slots = GPU_SLOTS if gpu_slots is None else gpu_slots
        if gpu_slots < 1:
            raise CodecConfigError(f"gpu_slots must be at least 1, got {gpu_slots}")
        slots = gpu_slots if on_gpu else _CPU_SLOTS
        self._shape = GridShape(slots, frames, _UNIT_FRAMES, together=on_gpu)
        self._dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        if on_gpu and self._is_batched:
            check_grid_fits(config, self._shape, self._dtype.itemsize, gpu_budget(self._device))
        self.spec = _spec(config, name, fingerprint, len(model.quantizer), precision)

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
        threads: int | None = None,
        precision: str = "float32",
        gpu_slots: int | None = None,
    ) -> "EncodecCodec":
        """The codec of a checkpoint; what is not None replaces the checkpoint's own value.

        `threads`, `precision` and `gpu_slots` are those of the constructor.

        Raises:
            UnknownCodecError: there is no such file, folder or repository.
            CheckpointError: the weights are damaged or of another model.
            CodecConfigError: the values make no sense together.
        """
        checkpoint = read_checkpoint(source)
        config = checkpoint.config.overridden(chunk_seconds, overlap, normalize)
        checkpoint = replace(checkpoint, config=config)
        model = EncodecModel.from_checkpoint(checkpoint).to(device)
        fingerprint = checkpoint.fingerprint
        return cls(
            model, name, fingerprint, threads=threads, precision=precision, gpu_slots=gpu_slots
        )

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
        checked = (map(self._checked, _blocks(recording)) for recording in recordings)
        if not self._is_batched:
            return (self._encode_whole(blocks, count) for blocks in checked)
        tile_samples = TILE_FRAMES * self.spec.hop_samples if self._has_tiles else None
        order = EncodingOrder(self.spec, count, tile_samples)
        return order.run(self._engine(self._encoder_halves(count)), checked)

    def decode(self, encoded: EncodedAudio) -> Tensor:
        """The waveform, float32 [C, num_samples].

        Raises:
            AudioShapeError: codes or scales do not fit `num_samples` or the codec.
        """
        return next(self.decode_batch([encoded]))

    def decode_batch(self, recordings: Iterable[EncodedAudio]) -> Iterator[Tensor]:
        """The waveforms of many recordings, in the order they came.

        Raises:
            AudioShapeError: codes or scales do not fit `num_samples` or the codec.
        """
        checked = map(self._check_encoded, recordings)
        if not self._is_batched:
            return map(self._decode_whole, checked)
        return self._decoding_order().waveforms(self._engine(self._decoder_halves), checked)

    def decode_stream(self, encoded: EncodedAudio) -> Iterator[Tensor]:
        """The waveform of one recording in blocks [C, S], as they are decoded.

        Raises:
            AudioShapeError: codes or scales do not fit `num_samples` or the codec.
        """
        self._check_encoded(encoded)
        if not self._is_batched:
            return iter([self._decode_whole(encoded)])
        return self._decoding_order().blocks(self._engine(self._decoder_halves), encoded)

    def codebook(self, index: int) -> Tensor:
        """Entries of codebook `index`, counted from 0: float32 [codebook_size, D].

        Raises:
            IndexError: the codec has fewer codebooks.
        """
        if not 0 <= index < self.spec.num_codebooks:
            raise IndexError(f"codebook {index}: {self.spec.name} has {self.spec.num_codebooks}")
        return self._model.quantizer[index].embed.detach().clone()

    @cached_property
    def _encoder_halves(self) -> Callable[[int], Halves]:
        return encoder_halves(self._model, self._shape, self._dtype)

    @cached_property
    def _decoder_halves(self) -> Halves:
        return decoder_halves(self._model, self._shape, self._dtype)

    def _engine(self, halves: Halves) -> Engine:
        return Engine(halves, self._has_tiles, self._threads)

    def _decoding_order(self) -> DecodingOrder:
        return DecodingOrder(self.spec, TILE_FRAMES if self._has_tiles else None)

    @torch.no_grad()
    def _encode_whole(self, blocks: Iterable[Tensor], num_codebooks: int) -> EncodedAudio:
        x_CS = torch.cat([torch.zeros(self.spec.channels, 0), *blocks], dim=-1)
        codes_KT = torch.zeros(num_codebooks, 0, dtype=torch.int64)
        scales = torch.zeros(0)
        if x_CS.shape[1]:
            with exact_kernels(self._device):
                x_BCS = x_CS[None].to(self._device)
                codes_BKT, scale_B1 = self._model.encode_chunk(x_BCS, num_codebooks)
            codes_KT = codes_BKT[0].cpu()
            scales = scales if scale_B1 is None else scale_B1[0].cpu()
        return EncodedAudio(codes_KT, scales if self.spec.normalizes else None, x_CS.shape[1])

    @torch.no_grad()
    def _decode_whole(self, encoded: EncodedAudio) -> Tensor:
        if encoded.num_samples == 0:
            return torch.zeros(self.spec.channels, 0)
        with exact_kernels(self._device):
            codes_BKT = encoded.codes[None].to(self._device)
            scales = encoded.scales
            scale_B1 = None if scales is None else scales.to(self._device).view(1, 1)
            audio_BCS = self._model.decode_chunk(codes_BKT, scale_B1)
        return audio_BCS[0, :, : encoded.num_samples].cpu()

    def _checked(self, block: Tensor) -> Tensor:
        shape = tuple(block.shape)
        if block.ndim != 2 or shape[0] != self.spec.channels or not block.is_floating_point():
            raise AudioShapeError(
                f"got {block.dtype} audio of shape {shape}; {self.spec.name} takes float "
                f"[{self.spec.channels}, samples] at {self.spec.sample_rate} Hz"
            )
        return block.float()

    def _check_encoded(self, encoded: EncodedAudio) -> EncodedAudio:
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
        return encoded


def _blocks(recording: Waveform) -> Iterable[Tensor]:
    return [recording] if isinstance(recording, Tensor) else recording


def _spec(
    config: EncodecConfig, name: str, fingerprint: str, num_codebooks: int, precision: str
) -> CodecSpec:
    shape = f"grid {_CPU_SLOTS} x {TILE_FRAMES} by {_UNIT_FRAMES}"
    engine = hashlib.sha256(f"{fingerprint} {shape} {precision}".encode()).hexdigest()
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
        fingerprint=engine,
        precision=precision,
    )
