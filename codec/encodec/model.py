"""EnCodec as a torch module, called as the transformers class of the same name.

Dimension key: B batch, C channels, S samples, K codebooks, T frames, N chunks.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, overload

import torch
from torch import Tensor, nn

from codec.encodec.checkpoint import (
    Checkpoint,
    inference_state,
    read_checkpoint,
    save_tensors,
)
from codec.encodec.chunking import overlap_add
from codec.encodec.config import EncodecConfig
from codec.encodec.outputs import EncodecDecoderOutput, EncodecEncoderOutput, EncodecOutput
from codec.encodec.padding import grouped_by_length, true_lengths
from codec.encodec.seanet import EncodecDecoder, EncodecEncoder
from codec.errors import AudioShapeError, UnsupportedBandwidthError
from codec.quantization import ResidualVectorQuantizer

SILENCE_SCALE = 1e-8  # added to a chunk's root mean square, so that silence can be divided by it


def chunk_scale(x_BCS: Tensor) -> Tensor:
    """Root mean square of the mean of the channels, [B, 1, 1]: what a chunk is divided by."""
    mono_B1S = x_BCS.mean(dim=1, keepdim=True)
    return mono_B1S.square().mean(dim=2, keepdim=True).sqrt() + SILENCE_SCALE


class EncodecModel(nn.Module):
    """SEANet encoder and decoder around a residual vector quantizer.

    Weights are held plain: weight normalization is folded in when a state dict is loaded.

    Recordings of a batch are encoded at their true lengths, so padding never changes a code. Where
    transformers and Meta's `encodec` differ for that reason, this agrees with the latter.
    """

    def __init__(self, config: EncodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = EncodecEncoder(config)
        self.decoder = EncodecDecoder(config)
        self.quantizer = ResidualVectorQuantizer(
            config.hidden_size,
            config.hidden_size,
            config.num_quantizers,
            config.codebook_size,
            kmeans_init=False,
        )

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> "EncodecModel":
        """The model of a checkpoint that was read, in eval mode."""
        model = cls(checkpoint.config)
        checkpoint.load_into(model)
        model.quantizer.forget_usage()  # most checkpoints have none, and others in another unit
        return model.eval()

    @classmethod
    def from_pretrained(cls, source: str | Path) -> "EncodecModel":
        """The model in a Hugging Face folder, a hub repository or one of Meta's `.th` files.

        Raises:
            UnknownCodecError: there is no such file, folder or repository.
            CheckpointError: the weights are damaged or of another model.
            CodecConfigError: the configuration makes no sense.
        """
        return cls.from_checkpoint(read_checkpoint(source))

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes config.json and model.safetensors, which `from_pretrained` reads back.

        The averages that codebooks are trained with are left out: inference needs none of them.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.config.to_dict(), indent=2, sort_keys=True)
        (folder / "config.json").write_text(text + "\n", encoding="utf-8")
        save_tensors(inference_state(self), folder / "model.safetensors")

    def codebooks_for(self, bandwidth: float | None) -> int:
        """Codebooks of a bandwidth in kbps; of the smallest one where None.

        Raises:
            UnsupportedBandwidthError: the model has no such bandwidth.
        """
        known = self.config.target_bandwidths
        bandwidth = known[0] if bandwidth is None else bandwidth
        if bandwidth not in known:
            listed = ", ".join(f"{kbps:g}" for kbps in known)
            raise UnsupportedBandwidthError(
                f"this model has no bandwidth of {bandwidth:g} kbps; choose one of {listed}"
            )
        return min(max(1, self.config.num_quantizers_for(bandwidth)), len(self.quantizer))

    def encode_chunk(self, x_BCS: Tensor, num_codebooks: int) -> tuple[Tensor, Tensor | None]:
        """Codes [B, K, T] and scales [B, 1] of chunks of one length, without any padding."""
        scale_B1 = None
        if self.config.normalize:
            scale_B11 = chunk_scale(x_BCS)
            x_BCS, scale_B1 = x_BCS / scale_B11, scale_B11.view(-1, 1)
        return self.quantizer.search(self.encoder(x_BCS), num_codebooks), scale_B1

    def decode_chunk(self, codes_BKT: Tensor, scale_B1: Tensor | None) -> Tensor:
        """Audio [B, C, T * hop] of chunks of one length."""
        audio_BCS: Tensor = self.decoder(self.quantizer.lookup(codes_BKT))
        return audio_BCS if scale_B1 is None else audio_BCS * scale_B1.view(-1, 1, 1)

    @overload
    def encode(
        self,
        input_values: Tensor,
        padding_mask: Tensor | None = None,
        bandwidth: float | None = None,
        return_dict: Literal[True] | None = None,
    ) -> EncodecEncoderOutput: ...

    @overload
    def encode(
        self,
        input_values: Tensor,
        padding_mask: Tensor | None = None,
        bandwidth: float | None = None,
        *,
        return_dict: Literal[False],
    ) -> tuple[Tensor, list[Tensor | None], int]: ...

    def encode(
        self,
        input_values: Tensor,
        padding_mask: Tensor | None = None,
        bandwidth: float | None = None,
        return_dict: bool | None = None,
    ) -> EncodecEncoderOutput | tuple[Tensor, list[Tensor | None], int]:
        """Codes of a batch of recordings.

        Args:
            input_values: float [B, C, S], padded on the right.
            padding_mask: [B, S] or [B, C, S], 1 on audio and 0 on padding; None where nothing is.
            bandwidth: kbps, one of `config.target_bandwidths`; None is the smallest.
            return_dict: False returns a tuple of the same values.

        Raises:
            AudioShapeError: the batch has another shape or number of channels than the model.
            UnsupportedBandwidthError: the model has no such bandwidth.
        """
        num_codebooks = self.codebooks_for(bandwidth)
        self._check_audio(input_values)
        lengths = true_lengths(padding_mask, input_values)
        starts, chunk_length = self._layout(lengths, input_values.shape[-1])
        chunk_frames = self._frames(min(chunk_length, input_values.shape[-1]))
        shape = (len(starts), len(lengths), num_codebooks, chunk_frames)
        codes_NBKT = torch.zeros(shape, dtype=torch.int64, device=input_values.device)
        scales_NB1 = input_values.new_full((len(starts), len(lengths), 1), SILENCE_SCALE)
        for n, start in enumerate(starts):
            chunk_lengths = [min(max(0, length - start), chunk_length) for length in lengths]
            for length, rows in grouped_by_length(chunk_lengths):
                x_BCS = input_values[rows, :, start : start + length]
                codes_BKT, scale_B1 = self.encode_chunk(x_BCS, num_codebooks)
                codes_NBKT[n, rows, :, : codes_BKT.shape[-1]] = codes_BKT
                if scale_B1 is not None:
                    scales_NB1[n, rows] = scale_B1
        last = min(chunk_length, max(lengths) - starts[-1])
        padding = chunk_frames - self._frames(last) if self.config.chunk_length else 0
        scales: list[Tensor | None] = [None] * len(starts)
        if self.config.normalize:
            scales = list(scales_NB1)
        if return_dict is False:
            return codes_NBKT, scales, padding
        return EncodecEncoderOutput(codes_NBKT, scales, padding)

    @overload
    def decode(
        self,
        audio_codes: Tensor,
        audio_scales: Sequence[Tensor | None] | Tensor | None,
        padding_mask: Tensor | None = None,
        return_dict: Literal[True] | None = None,
        last_frame_pad_length: int | None = 0,
    ) -> EncodecDecoderOutput: ...

    @overload
    def decode(
        self,
        audio_codes: Tensor,
        audio_scales: Sequence[Tensor | None] | Tensor | None,
        padding_mask: Tensor | None = None,
        *,
        return_dict: Literal[False],
        last_frame_pad_length: int | None = 0,
    ) -> tuple[Tensor]: ...

    def decode(
        self,
        audio_codes: Tensor,
        audio_scales: Sequence[Tensor | None] | Tensor | None,
        padding_mask: Tensor | None = None,
        return_dict: bool | None = None,
        last_frame_pad_length: int | None = 0,
    ) -> EncodecDecoderOutput | tuple[Tensor]:
        """Audio of a batch of codes.

        Args:
            audio_codes: int64 [N, B, K, T], as `encode` gives them.
            audio_scales: N of [B, 1] or None, as `encode` gives them.
            padding_mask: the mask given to `encode`; each recording is then decoded at its true
                length, the result cut to the mask's, and silent where the mask is 0.
            return_dict: False returns a tuple.
            last_frame_pad_length: frames of padding in the last chunk, as `encode` gives them;
                not needed with a mask.

        Raises:
            AudioShapeError: codes of another shape than the model's, or of several chunks for a
                model without chunks.
        """
        self._check_codes(audio_codes)
        scales = [None] * len(audio_codes) if audio_scales is None else list(audio_scales)
        if padding_mask is None:
            audio = self._decode_rows(audio_codes, scales, None, last_frame_pad_length or 0)
        else:
            lengths = true_lengths(padding_mask, padding_mask)
            audio = self._decode_masked(audio_codes, scales, lengths, padding_mask.shape[-1])
        return (audio,) if return_dict is False else EncodecDecoderOutput(audio)

    def forward(
        self,
        input_values: Tensor,
        padding_mask: Tensor | None = None,
        bandwidth: float | None = None,
        audio_codes: Tensor | None = None,
        audio_scales: Sequence[Tensor | None] | None = None,
        return_dict: bool | None = None,
        last_frame_pad_length: int | None = 0,
    ) -> EncodecOutput | tuple[Tensor, Tensor]:
        """Encodes and decodes, or decodes the codes given; arguments as for both.

        Raises:
            ValueError: only one of `audio_codes` and `audio_scales` was given.
        """
        if (audio_codes is None) != (audio_scales is None):
            raise ValueError("audio_codes and audio_scales go together; only one was given")
        if padding_mask is None:
            shape = (input_values.shape[0], input_values.shape[-1])
            padding_mask = input_values.new_ones(shape, dtype=torch.bool)
        if audio_codes is None:
            encoded = self.encode(input_values, padding_mask, bandwidth)
            audio_codes, audio_scales, last_frame_pad_length = encoded.to_tuple()
        audio = self.decode(
            audio_codes,
            audio_scales,
            padding_mask,
            last_frame_pad_length=last_frame_pad_length,
        ).audio_values
        return (audio_codes, audio) if return_dict is False else EncodecOutput(audio_codes, audio)

    def _layout(self, lengths: Sequence[int], padded: int) -> tuple[range, int]:
        """Starts of the chunks of the longest recording, and the length of a full chunk."""
        chunk_length, stride = self.config.chunk_length, self.config.chunk_stride
        if chunk_length is None or stride is None:
            return range(1), padded
        return range(0, max(lengths), stride), chunk_length

    def _frames(self, num_samples: int) -> int:
        return -(-num_samples // self.config.hop_length)

    def _decode_masked(
        self, codes_NBKT: Tensor, scales: list[Tensor | None], lengths: list[int], padded: int
    ) -> Tensor:
        shape = (codes_NBKT.shape[1], self.config.audio_channels, padded)
        audio_BCS = next(self.parameters()).new_zeros(shape)
        for length, rows in grouped_by_length(lengths):
            rows_scales = [None if scale is None else scale[rows] for scale in scales]
            decoded_BCS = self._decode_rows(codes_NBKT[:, rows], rows_scales, length, 0)
            audio_BCS[rows, :, :length] = decoded_BCS[..., :length]
        return audio_BCS

    def _decode_rows(
        self,
        codes_NBKT: Tensor,
        scales: list[Tensor | None],
        length: int | None,
        last_padding: int,
    ) -> Tensor:
        """Decodes recordings of one length in samples, or of unknown length where None."""
        frames = [codes_NBKT.shape[-1]] * len(codes_NBKT)
        frames[-1] -= last_padding
        if length is not None:
            starts, chunk_length = self._layout([length], length)
            frames = [self._frames(min(chunk_length, length - start)) for start in starts]

        def decoded() -> Iterator[Tensor]:
            for codes_BKT, scale_B1, kept in zip(codes_NBKT, scales, frames, strict=False):
                yield self.decode_chunk(codes_BKT[..., :kept], scale_B1)

        stride = self.config.chunk_stride
        if stride is None:
            return next(decoded())
        return torch.cat(list(overlap_add(decoded(), stride)), dim=-1)

    def _check_audio(self, x: Tensor) -> None:
        if x.ndim != 3 or x.shape[1] != self.config.audio_channels or 0 in x.shape:
            raise AudioShapeError(
                f"input_values has shape {tuple(x.shape)}; this model takes "
                f"[batch, {self.config.audio_channels}, samples], at least one of each"
            )

    def _check_codes(self, codes: Tensor) -> None:
        if codes.ndim != 4 or not 1 <= codes.shape[2] <= len(self.quantizer) or 0 in codes.shape:
            raise AudioShapeError(
                f"audio_codes has shape {tuple(codes.shape)}; wanted [chunks, batch, codebooks, "
                f"frames] with 1 to {len(self.quantizer)} codebooks"
            )
        if self.config.chunk_length is None and len(codes) != 1:
            raise AudioShapeError(f"this model has no chunks, but codes of {len(codes)} were given")
