"""What a reconstruction is judged by while training.

Dimension key: B batch, C channels, S samples, F frequencies, M mel bands, T frames.
"""

import math

import torch
from torch import Tensor, nn

PREEMPHASIS = 0.9
LOG_FLOOR = 1e-3  # relative to the level of the excerpt
BAND_FLOOR = 5e-2  # likewise
NOISE_FLOOR = 0.01  # relative to the power of the excerpt: a ratio of 20 dB


def mel_filterbank(sample_rate: int, n_fft: int, num_bands: int) -> Tensor:
    """Triangular filters evenly spaced on the mel scale, float [F, M], each summing to one.

    Source: O'Shaughnessy, "Speech Communication" (1987): mel = 2595 log10(1 + f / 700).
    """
    highest = 2595 * math.log10(1 + sample_rate / 2 / 700)
    edges_hz = 700 * (10 ** (torch.linspace(0, highest, num_bands + 2) / 2595) - 1)
    bins_hz = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1)
    rising = (bins_hz[:, None] - edges_hz[:-2]) / (edges_hz[1:-1] - edges_hz[:-2])
    falling = (edges_hz[2:] - bins_hz[:, None]) / (edges_hz[2:] - edges_hz[1:-1])
    filters_FM = torch.minimum(rising, falling).clamp(min=0)
    return filters_FM / filters_FM.sum(dim=0).clamp(min=1e-3)


class MelLoss(nn.Module):
    """Difference of mel spectra over several window lengths.

    Two terms: the mean absolute difference of the logarithms, with the floor set by each excerpt's
    own level; and the mean absolute difference relative to the level of each band, which asks for
    envelopes that rise and fall with those of the original, as intelligibility does.

    Source: "High Fidelity Neural Audio Compression" (2022), section 3.4, after Gritsenko et al.
        (2020), for the several windows and the first term.
    """

    def __init__(self, sample_rate: int, scales: tuple[tuple[int, int], ...]) -> None:
        """Takes (window in samples, mel bands) pairs."""
        super().__init__()
        self.windows = [window for window, _ in scales]
        for window, bands in scales:
            self.register_buffer(f"hann_{window}", torch.hann_window(window), persistent=False)
            filters = mel_filterbank(sample_rate, window, bands)
            self.register_buffer(f"mel_{window}", filters, persistent=False)

    def forward(self, wanted_BS: Tensor, found_BS: Tensor) -> Tensor:
        """The loss, averaged over scales; the first term is in nepers."""
        level_B = wanted_BS.square().mean(dim=1).sqrt().clamp(min=1e-4)
        wanted_BS, found_BS = wanted_BS / level_B[:, None], found_BS / level_B[:, None]
        losses = []
        for window in self.windows:
            wanted_BTM, found_BTM = self._mel(wanted_BS, window), self._mel(found_BS, window)
            logarithms = (found_BTM + LOG_FLOOR).log() - (wanted_BTM + LOG_FLOOR).log()
            band_level_B1M = wanted_BTM.mean(dim=1, keepdim=True) + BAND_FLOOR
            envelopes = (found_BTM - wanted_BTM) / band_level_B1M
            losses.append(logarithms.abs().mean() + envelopes.abs().mean())
        return torch.stack(losses).mean()

    def _mel(self, x_BS: Tensor, window: int) -> Tensor:
        hann, mel_FM = self.get_buffer(f"hann_{window}"), self.get_buffer(f"mel_{window}")
        spectrum_BFT = torch.stft(x_BS, window, window // 4, window=hann, return_complex=True)
        power = torch.view_as_real(spectrum_BFT).square().sum(dim=-1) / hann.square().sum()
        magnitude_BFT = (power + 1e-9).sqrt()
        mel_BTM: Tensor = magnitude_BFT.transpose(1, 2) @ mel_FM
        return mel_BTM


def waveform_loss(wanted_BS: Tensor, found_BS: Tensor) -> Tensor:
    """How far the waveforms are apart, relative to their level; 0 where they are equal.

    Two terms. The mean absolute difference of the pre-emphasized waveforms: pre-emphasis lifts the
    consonants, which carry little energy and most of the meaning. And the logarithm of the noise,
    which is the signal-to-noise ratio in nepers, saturating at `NOISE_FLOOR`.
    """
    error_B = (wanted_BS - found_BS).square().mean(dim=1)
    power_B = wanted_BS.square().mean(dim=1).clamp(min=1e-8)
    noise = (error_B / power_B / NOISE_FLOOR).log1p().mean()
    wanted_BS, found_BS = _emphasized(wanted_BS), _emphasized(found_BS)
    level_B = wanted_BS.abs().mean(dim=1).clamp(min=1e-4)
    return noise + ((wanted_BS - found_BS).abs().mean(dim=1) / level_B).mean()


def signal_to_noise_db(wanted_BS: Tensor, found_BS: Tensor) -> Tensor:
    """Mean signal-to-noise ratio, within -20 and 40 dB; to look at, not to learn from."""
    error_B = (wanted_BS - found_BS).square().sum(dim=1)
    ratio_B = wanted_BS.square().sum(dim=1) / error_B.clamp(min=1e-9)
    return (10 * (ratio_B + 1e-9).log10()).clamp(-20, 40).mean()


def _emphasized(x_BS: Tensor) -> Tensor:
    return x_BS[:, 1:] - PREEMPHASIS * x_BS[:, :-1]
