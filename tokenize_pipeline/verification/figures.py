"""Spectrograms for the report as PNG, drawn without a plotting library.

Dimension key: C channels, F frequency bins, M mel bands, T frames, H height, W width.
"""

import base64
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tokenize_pipeline.metrics import mel_bands, power_spectra

SPECTROGRAM_HEIGHT = 112  # mel bands, one a pixel
SPECTROGRAM_WIDTH = 440  # frames at most, one a pixel
SPECTROGRAM_RANGE_DB = 72.0
DIFFERENCE_RANGE_DB = 30.0  # louder or quieter by more is shown as that

_WINDOW_SECONDS = 0.04
_TRANSFORM_FACTOR = 4  # zero padding, so that every narrow band at the bottom holds a bin
# Night blue to pale yellow; brightness grows evenly, so it also reads without colour.
_COLOURS = ("#0d0b1f", "#2c1657", "#6a1f73", "#ab3168", "#e2574e", "#f8935a", "#fdd088", "#fdf6d2")
# Quieter is blue, louder is orange, equal is nearly black: told apart by any eye.
_DIFFERENCE_COLOURS = ("#a8dcff", "#3d8fd1", "#173a5e", "#12111a", "#6b3410", "#e07b1f", "#ffe0a8")


@dataclass(frozen=True)
class Spectrograms:
    """PNG images of two signals, and of how they differ.

    Time runs to the right, mel-spaced frequency from 0 Hz upwards to half the rate.
    """

    original: bytes
    decoded: bytes  # as bright as the original where it is as loud
    difference: bytes  # where the decoded signal is louder, and where it is quieter


def spectrograms(original_CS: Tensor, decoded_CS: Tensor, sample_rate: int) -> Spectrograms:
    """Pictures of two signals of one shape."""
    powers = [_band_power(audio_CS, sample_rate) for audio_CS in (original_CS, decoded_CS)]
    loudest = max(1e-10, *(float(power_MT.max()) for power_MT in powers))
    levels = [_levels(power_MT / loudest) for power_MT in powers]
    first, second = (_picture(level / SPECTROGRAM_RANGE_DB + 1, _COLOURS) for level in levels)
    louder_MT = (levels[1] - levels[0]) / (2 * DIFFERENCE_RANGE_DB) + 0.5
    return Spectrograms(first, second, _picture(louder_MT, _DIFFERENCE_COLOURS))


def data_uri(media_type: str, data: bytes) -> str:
    """`data` as a URI that needs no network."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def png(pixels_HW: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """An image of up to 256 colours.

    Args:
        pixels_HW: an entry of the palette for each pixel, top row first.
        palette: [colours, 3], red, green and blue.

    Source: PNG specification (ISO/IEC 15948), sections 5 and 11.
    """
    height, width = pixels_HW.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    no_filter = np.zeros((height, 1), dtype=np.uint8)
    rows = np.hstack([no_filter, pixels_HW]).tobytes()
    chunks = [
        (b"IHDR", header),
        (b"PLTE", palette.tobytes()),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, data) for kind, data in chunks)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _band_power(audio_CS: Tensor, sample_rate: int) -> Tensor:
    """Power in mel bands [M, T] of the mean of the channels."""
    window = round(_WINDOW_SECONDS * sample_rate)
    transform = window * _TRANSFORM_FACTOR
    mono_CS = audio_CS.float().mean(dim=0, keepdim=True)
    hop = max(window // 8, -(-mono_CS.shape[1] // SPECTROGRAM_WIDTH))
    power_FT = power_spectra(mono_CS, transform, hop, window)[0]
    return (power_FT.T @ mel_bands(sample_rate, transform // 2 + 1, SPECTROGRAM_HEIGHT)).T


def _levels(relative_power_MT: Tensor) -> Tensor:
    """In dB below the loudest, no lower than the range."""
    floor = 10 ** (-SPECTROGRAM_RANGE_DB / 10)
    return 10 * relative_power_MT.clamp(min=floor).log10()


def _picture(shade_MT: Tensor, colours: tuple[str, ...]) -> bytes:
    """Shades of 0 to 1 in a scale of colours, low frequencies at the bottom."""
    pixels = (shade_MT.clamp(0, 1) * 255).round().byte().flip(0).numpy()
    return png(pixels, _palette(colours))


@lru_cache(maxsize=2)
def _palette(colours: tuple[str, ...]) -> NDArray[np.uint8]:
    stops = np.array([list(bytes.fromhex(colour[1:])) for colour in colours], dtype=np.float64)
    places = np.linspace(0, len(stops) - 1, 256)
    columns = [np.interp(places, np.arange(len(stops)), stops[:, channel]) for channel in range(3)]
    palette: NDArray[np.uint8] = np.stack(columns, axis=1).round().astype(np.uint8)
    return palette
