"""The quantizer with the interface of espnet.

Dimension key: B batch, D latent width, T frames, K codebooks, E entries.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from codec.errors import CodecConfigError, UnsupportedBandwidthError
from codec.quantization.checks import check_codes, check_latent
from codec.quantization.learning_stack import LearningStack

_ROUNDING = 1e-9  # relative: 6 kbps at 0.75 a codebook are 8 codebooks, whatever the last bit says


class QuantizedResult(NamedTuple):
    """What quantization made of a latent; also a plain tuple of four."""

    quantized: Tensor  # [B, D, T]; gradients pass to the input as if nothing had been quantized
    codes: Tensor  # int64 [K, B, T]
    bandwidth: Tensor  # kbps of the codebooks used, a scalar: the whole batch uses the same ones
    penalty: Tensor | None = None  # mean squared distance of what codebooks got from their entries


class ResidualVectorQuantizer(LearningStack):
    """A stack of codebooks that learn from what they quantize.

    The interface is that of `espnet2.gan_codec.shared.quantizer.residual_vq`. In training mode
    `forward` moves the entries by running averages and replaces those that die. With torch's
    distributed processes running, all of them see all vectors and have the same codebooks, and each
    must call `forward` as often as the others.

    What differs from espnet, and why:

    - k-means waits until there are `kmeans_frames_per_entry` frames for each entry, over as many
      batches as that takes. Until then `forward` gives its input back unquantized, with codes of no
      codebook, a bandwidth of 0 and a penalty of 0.
    - An entry is judged once one of average use has had 100 vectors, and is dead if in the time in
      which that one has 20 it had fewer than `threshold_ema_dead_code`. So the default of 2 is a
      tenth of an even share. espnet compares the number with uses in one batch, where in a batch of
      fewer frames than twice the entries nearly all of them would be dead.
    - A bandwidth that is too small for one codebook is an error.

    Source: "SoundStream" (Zeghidour et al., 2021), algorithm 1 and section III.C.
    """

    def __init__(
        self,
        dimension: int = 256,
        codebook_dim: int = 512,
        n_q: int = 8,
        bins: int = 1024,
        decay: float = 0.99,
        kmeans_init: bool = True,
        kmeans_iters: int = 50,
        threshold_ema_dead_code: float = 2,
        quantizer_dropout: bool = False,
        *,
        dropout_share: float = 0.5,
        kmeans_frames_per_entry: int = 16,
        seed: int = 0,
    ) -> None:
        """Makes a quantizer; all settings but the sizes may be changed later.

        Args:
            dimension: width D of the latent.
            codebook_dim: width of the entries; if it is another, each codebook gets a linear
                projection before it and one after.
            n_q: number of codebooks, K.
            bins: entries of each, E.
            decay: of the running averages, a batch.
            kmeans_init: begin with k-means; otherwise with random entries.
            kmeans_iters: rounds of k-means.
            threshold_ema_dead_code: uses below which an entry is dead, of 20 due; 0 replaces none.
            quantizer_dropout: train with fewer codebooks now and then, so that any number works.
            dropout_share: of the batches that get a random number of codebooks, if dropping out.
            kmeans_frames_per_entry: what k-means waits for.
            seed: of all that is random here.

        Raises:
            CodecConfigError: a value is out of its range.
        """
        _check_settings(dimension, codebook_dim, n_q, bins, decay)
        super().__init__(dimension, codebook_dim, n_q, bins)
        self.codebook_dim = codebook_dim
        self.n_q = n_q
        self.decay = decay
        self.kmeans_init = kmeans_init
        self.kmeans_iters = kmeans_iters
        self.threshold_ema_dead_code = threshold_ema_dead_code
        self.quantizer_dropout = quantizer_dropout
        self.dropout_share = dropout_share
        self.kmeans_frames_per_entry = kmeans_frames_per_entry
        self.seed = seed
        if kmeans_init:
            self.restart()

    def forward(
        self, x: Tensor, sample_rate: float, bandwidth: float | None = None
    ) -> QuantizedResult:
        """Quantizes a latent, and learns from it in training mode.

        Args:
            x: float [B, D, T].
            sample_rate: frames a second; see `get_bandwidth_per_quantizer`.
            bandwidth: kbps; None uses all codebooks.

        Raises:
            AudioShapeError: x has another shape.
            NonFiniteError: x holds NaN or infinity.
            UnsupportedBandwidthError: the bandwidth has no room for a codebook.
            CodebookError: in eval mode, the codebooks have not been fitted.
        """
        num_codebooks = self.get_num_quantizers_for_bandwidth(sample_rate, bandwidth)
        check_latent(x, self.dimension)
        with torch.autocast(x.device.type, enabled=False):
            if self.training and not self.is_fitted:
                self.gather(x.float())
                if not self.is_fitted:
                    return QuantizedResult(x, *_nothing(x))
            self.check_fitted()
            if self.training and self.quantizer_dropout:
                num_codebooks = self.drop_out(num_codebooks)
            quantized, codes, penalty = self.quantize(x.float(), num_codebooks)
        kbps = num_codebooks * self.get_bandwidth_per_quantizer(sample_rate)
        return QuantizedResult(
            quantized.to(x.dtype), codes, torch.tensor(kbps, device=x.device), penalty
        )

    @torch.no_grad()
    def encode(
        self,
        x: Tensor,
        sample_rate: float,
        bandwidth: float | None = None,
        st: int | None = None,
    ) -> Tensor:
        """Codes of a latent, int64 [K, B, T], without learning from it.

        Args:
            x: float [B, D, T].
            sample_rate: frames a second.
            bandwidth: kbps; None uses all codebooks.
            st: the first codebook to use, counted from 0; x is then what those before it left over.

        Raises:
            AudioShapeError: x has another shape.
            NonFiniteError: x holds NaN or infinity.
            UnsupportedBandwidthError: the bandwidth has no room for a codebook, or none from `st`.
            CodebookError: the codebooks have not been fitted.
        """
        num_codebooks = self.get_num_quantizers_for_bandwidth(sample_rate, bandwidth)
        first = st or 0
        if not 0 <= first < num_codebooks:
            raise UnsupportedBandwidthError(
                f"st is {first}; with {num_codebooks} codebooks it must be 0 to {num_codebooks - 1}"
            )
        check_latent(x, self.dimension)
        self.check_fitted()
        with torch.autocast(x.device.type, enabled=False):
            return self.search(x.float(), num_codebooks, first).transpose(0, 1)

    def decode(self, codes: Tensor) -> Tensor:
        """The latent [B, D, T] that codes [K, B, T] stand for; K may be fewer than the codebooks.

        Raises:
            AudioShapeError: codes of another shape or type, or outside the codebooks.
            CodebookError: the codebooks have not been fitted.
        """
        check_codes(codes, len(self), self.bins)
        self.check_fitted()
        return self.lookup(codes.transpose(0, 1))

    def get_bandwidth_per_quantizer(self, sample_rate: float) -> float:
        """Kilobits a second of one codebook: log2(bins) bits for each vector it quantizes.

        `sample_rate` is the rate of what is quantized, the frames of a latent: 75 for a codec of
        24 kHz with a hop of 320, which makes 0.75 kbps with 1024 entries. The documentation of
        espnet gives the same formula, log2(bins) * sample_rate / 1000, but says 128.0 in its
        example for 1024 entries at 16000, and 2 codebooks for 64 kbps at 44100. By the formula,
        which is followed here, these are 160.0 and none: one codebook takes 441 kbps there.

        Raises:
            CodecConfigError: the rate is not positive.
        """
        if not sample_rate > 0:
            raise CodecConfigError(f"sample_rate is {sample_rate}; it must be above 0")
        return math.log2(self.bins) * sample_rate / 1000

    def get_num_quantizers_for_bandwidth(
        self, sample_rate: float, bandwidth: float | None = None
    ) -> int:
        """Codebooks that a bandwidth in kbps has room for; all of them where it is None or 0.

        Raises:
            UnsupportedBandwidthError: it has no room for one, or is no bandwidth.
        """
        kbps_each = self.get_bandwidth_per_quantizer(sample_rate)
        if bandwidth is None or bandwidth == 0:
            return len(self)
        if not bandwidth * (1 + _ROUNDING) >= kbps_each:
            raise UnsupportedBandwidthError(
                f"a bandwidth of {bandwidth:g} kbps has no room for a codebook of {self.bins} "
                f"entries at {sample_rate:g} frames a second, which takes {kbps_each:g} kbps"
            )
        return int(min(len(self), bandwidth * (1 + _ROUNDING) // kbps_each))


def _nothing(x_BDT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Codes of no codebook, no bandwidth, no penalty."""
    codes_KBT = torch.zeros(0, x_BDT.shape[0], x_BDT.shape[2], dtype=torch.int64)
    zero = x_BDT.new_zeros((), dtype=torch.float32)
    return codes_KBT.to(x_BDT.device), zero, zero.clone()


def _check_settings(dimension: int, codebook_dim: int, n_q: int, bins: int, decay: float) -> None:
    sizes = {"dimension": dimension, "codebook_dim": codebook_dim, "n_q": n_q}
    for name, value in sizes.items():
        if value < 1:
            raise CodecConfigError(f"{name} is {value}; it must be at least 1")
    if bins < 2:
        raise CodecConfigError(f"bins is {bins}; a codebook has at least 2 entries")
    if not 0 <= decay < 1:
        raise CodecConfigError(f"decay is {decay}; it must be at least 0 and below 1")
