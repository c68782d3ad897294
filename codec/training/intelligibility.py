"""Short-time intelligibility as a loss: how well the envelopes of the bands of speech correlate.

Dimension key: B batch, S samples, F frequencies, J bands, T segments, N spectra of a segment.
"""

import torch
from torch import Tensor, nn

NUM_BANDS = 15
LOWEST_HZ = 150.0
WINDOW_SECONDS = 0.0256
SEGMENT_SPECTRA = 30  # 0.38 s
SEGMENT_STEP = 3  # spectra
FLOOR = 1e-3  # relative to the level of an excerpt: 60 dB below it
QUIET = 1e-2  # segments with less of the power of an excerpt count for less


class IntelligibilityLoss(nn.Module):
    """One minus the mean correlation of third-octave envelopes over segments of 0.38 s.

    0 where all envelopes rise and fall together, 1 where they have nothing to do with each other.
    Segments count by their level, as silent ones say nothing.

    Source: "An Algorithm for Intelligibility Prediction of Time-Frequency Weighted Noisy Speech"
        (Taal et al., 2011), section II, without the clipping and the removal of silent frames.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.window = int(WINDOW_SECONDS * sample_rate) // 2 * 2
        self.hop = self.window // 2
        self.n_fft = 2 ** (self.window - 1).bit_length()
        self.register_buffer("hann", torch.hann_window(self.window), persistent=False)
        bands_FJ = third_octave_bands(sample_rate, self.n_fft)
        self.register_buffer("bands_FJ", bands_FJ, persistent=False)

    @property
    def least_samples(self) -> int:
        """Samples of a segment; excerpts need as many."""
        return (SEGMENT_SPECTRA - 1) * self.hop

    def forward(self, wanted_BS: Tensor, found_BS: Tensor) -> Tensor:
        """The loss of a batch of excerpts."""
        power_B = wanted_BS.square().mean(dim=1).clamp(min=1e-8)
        wanted_BJTN = self._segments(wanted_BS, power_B)
        found_BJTN = self._segments(found_BS, power_B)
        weight_B1T = (wanted_BJTN.square().sum(1, keepdim=True).mean(-1) / QUIET).clamp(max=1.0)
        wanted_BJTN = wanted_BJTN - wanted_BJTN.mean(dim=-1, keepdim=True)
        found_BJTN = found_BJTN - found_BJTN.mean(dim=-1, keepdim=True)
        dot_BJT = (wanted_BJTN * found_BJTN).sum(dim=-1)
        norms_BJT = wanted_BJTN.square().sum(-1) * found_BJTN.square().sum(-1)
        correlation_BJT = dot_BJT / (norms_BJT + 1e-12).sqrt()
        correlation_B1T = correlation_BJT.mean(dim=1, keepdim=True)
        mean: Tensor = (correlation_B1T * weight_B1T).sum() / weight_B1T.sum().clamp(min=1e-6)
        return 1 - mean

    def _segments(self, x_BS: Tensor, power_B: Tensor) -> Tensor:
        spectrum_BFT = torch.stft(
            x_BS, self.n_fft, self.hop, self.window, self.get_buffer("hann"), return_complex=True
        )
        power_BFT = torch.view_as_real(spectrum_BFT).square().sum(dim=-1)
        power_BJT = (power_BFT.transpose(1, 2) @ self.get_buffer("bands_FJ")).transpose(1, 2)
        scale_B = power_B * self.get_buffer("hann").square().sum() * self.n_fft / 2
        relative_BJT: Tensor = power_BJT / scale_B[:, None, None]
        return (relative_BJT + FLOOR**2).sqrt().unfold(-1, SEGMENT_SPECTRA, SEGMENT_STEP)


def third_octave_bands(sample_rate: int, n_fft: int) -> Tensor:
    """Which frequencies belong to which band: 0 or 1, float [F, J]."""
    frequencies_F = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1)
    centres_J = LOWEST_HZ * 2 ** (torch.arange(NUM_BANDS) / 3)
    low_J, high_J = centres_J * 2 ** (-1 / 6), centres_J * 2 ** (1 / 6)
    return ((frequencies_F[:, None] >= low_J) & (frequencies_F[:, None] < high_J)).float()
