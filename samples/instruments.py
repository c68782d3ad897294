"""Instruments made of nothing but numpy: each returns one mono note, a float array [samples].

Noise comes from integer arithmetic and not from a random generator of some library, so the same
seed gives the same samples with every version of numpy.
"""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Mono = NDArray[np.float64]

# A string loses the high partials first: this much of each neighbouring sample leaks in per turn.
STRING_LEAK = 0.06


def pitch_hz(name: str) -> float:
    """Frequency of a note such as `A4` or `F#3`, equal temperament, A4 = 440 Hz."""
    semitones_from_a = {"C": -9, "D": -7, "E": -5, "F": -4, "G": -2, "A": 0, "B": 2}
    semitone = semitones_from_a[name[0]] + name.count("#") + 12 * (int(name[-1]) - 4)
    return 440.0 * math.pow(2, semitone / 12)


def noise(num_samples: int, seed: int) -> Mono:
    """White noise in [-1, 1).

    Source: the SplitMix64 finalizer (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
    Generators, OOPSLA 2014), applied to a counter.
    """
    with np.errstate(over="ignore"):
        z = np.arange(1, num_samples + 1, dtype=np.uint64) + np.uint64(seed * 1_000_003)
        z *= np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z >> np.uint64(40), dtype=np.float64) / 2**23 - 1.0


def pluck(frequency_hz: float, seconds: float, sample_rate: int, seed: int) -> Mono:
    """A plucked string: noise that runs round a delay line and is smoothed at every turn.

    Args:
        frequency_hz: Pitch; at most a tenth of the sample rate.
        seconds: Length of the note.
        sample_rate: Hz.
        seed: Another seed is another stroke of the finger.

    Source: K. Karplus and A. Strong, Digital Synthesis of Plucked-String and Drum Timbres,
    Computer Music Journal 7(2), 1983; the fraction of the period by linear interpolation.
    """
    period = sample_rate / frequency_hz
    whole = int(period)
    fraction = period - whole
    smooth = np.array([STRING_LEAK, 1 - 2 * STRING_LEAK, STRING_LEAK])
    taps = np.convolve([1 - fraction, fraction], smooth)  # at delays whole - 1 ... whole + 2
    loss = 0.001 ** (period / sample_rate / (0.6 + 500 / frequency_hz))  # -60 dB after so long

    num_samples = int(seconds * sample_rate)
    lead = whole + 2  # silence before the string is touched
    string = np.zeros(lead + max(num_samples, whole))
    burst = noise(whole, seed)
    burst -= np.mean(burst)  # a string at rest hangs straight
    string[lead : lead + whole] = (burst + np.roll(burst, 1) + np.roll(burst, 2)) / 3
    for start in range(lead + whole, len(string), whole - 1):
        stop = min(start + whole - 1, len(string))
        for tap, weight in enumerate(taps, start=whole - 1):
            string[start:stop] += loss * weight * string[start - tap : stop - tap]
    return string[lead : lead + num_samples] * fade(num_samples, sample_rate)


def bass(frequency_hz: float, seconds: float, sample_rate: int) -> Mono:
    """A round bass: four harmonics, the higher the sooner gone."""
    time = clock(seconds, sample_rate)
    harmonics = (
        np.sin(2 * np.pi * n * frequency_hz * time) * np.exp(-(0.8 + 1.4 * n) * time) / n**1.4
        for n in range(1, 5)
    )
    return total(harmonics) * fade(len(time), sample_rate)


def pad(frequency_hz: float, seconds: float, sample_rate: int) -> Mono:
    """Strings in the background: two slightly mistuned voices that swell and fall."""
    time = clock(seconds, sample_rate)
    swell = np.sin(np.pi * np.minimum(time / seconds, 1.0)) ** 0.7
    voices = (
        np.sin(2 * np.pi * n * frequency_hz * mistuned * time + n) / n**1.8
        for mistuned in (0.9985, 1.0015)
        for n in range(1, 9)
    )
    return total(voices) * swell


def flute(frequency_hz: float, seconds: float, sample_rate: int, seed: int) -> Mono:
    """A breathy flute whose vibrato begins after the note does."""
    time = clock(seconds, sample_rate)
    vibrato = 0.004 * np.sin(2 * np.pi * 5.2 * time) * np.minimum(time / 0.4, 1.0)
    phase = 2 * np.pi * np.cumsum(frequency_hz * (1 + vibrato)) / sample_rate
    tone = np.sin(phase) + 0.25 * np.sin(2 * phase) + 0.12 * np.sin(3 * phase)
    breath = 0.03 * np.convolve(noise(len(time), seed), np.ones(8) / 8, mode="same")
    attack = np.minimum(time / 0.05, 1.0)
    return (tone + breath) * attack * fade(len(time), sample_rate, fade_seconds=0.08)


def kick(sample_rate: int) -> Mono:
    """A bass drum: a sine that falls from 150 to 48 Hz."""
    time = clock(0.35, sample_rate)
    phase = 2 * np.pi * np.cumsum(48 + 102 * np.exp(-30 * time)) / sample_rate
    return np.sin(phase) * np.exp(-11 * time) * fade(len(time), sample_rate)


def brush(sample_rate: int, seed: int) -> Mono:
    """A brush on a snare drum: a burst of noise over a short tone."""
    time = clock(0.22, sample_rate)
    skin = 0.4 * np.sin(2 * np.pi * 190 * time) * np.exp(-35 * time)
    return (noise(len(time), seed) * np.exp(-20 * time) + skin) * fade(len(time), sample_rate)


def hat(sample_rate: int, seed: int) -> Mono:
    """A closed hi-hat: noise without its low end, gone in a twentieth of a second."""
    time = clock(0.06, sample_rate)
    return np.diff(noise(len(time) + 2, seed), n=2) * np.exp(-70 * time) / 4


def knock(sample_rate: int, seconds: float) -> Mono:
    """A knuckle on a wooden box: three inharmonic modes."""
    time = clock(seconds, sample_rate)
    modes = ((410, 30, 1.0), (985, 55, 0.6), (1720, 90, 0.35))
    sounds = (
        gain * np.sin(2 * np.pi * hz * time) * np.exp(-rate * time) for hz, rate, gain in modes
    )
    return total(sounds) * fade(len(time), sample_rate)


def clock(seconds: float, sample_rate: int) -> Mono:
    """The time of every sample of a note, in seconds."""
    return np.arange(round(seconds * sample_rate)) / sample_rate


def total(sounds: Iterable[Mono]) -> Mono:
    """Sounds of one length, all at once."""
    return np.asarray(np.sum(list(sounds), axis=0), dtype=np.float64)


def fade(num_samples: int, sample_rate: int, fade_seconds: float = 0.02) -> Mono:
    """An envelope of ones whose end falls to zero, so that no note ends with a click."""
    left = np.arange(num_samples, 0, -1) / (fade_seconds * sample_rate)
    return np.minimum(left, 1.0)
