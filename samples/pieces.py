"""The music among the samples, written as notes and rendered with `samples.instruments`.

A line of music is text: `B4:1.5 A4:0.5 -:1` is one and a half beats of B, half a beat of A and a
rest of one beat.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samples import instruments
from samples.instruments import Mono, pitch_hz

Stereo = NDArray[np.float64]  # [samples, 2]

BEATS_PER_BAR = 4
BEAT_SECONDS = 60 / 92


@dataclass(frozen=True)
class Chord:
    """A bar of harmony: the root for the bass, the tones for strings and fingers."""

    root: str
    tones: tuple[str, ...]  # low to high, five of them


E_MINOR = Chord("E2", ("E3", "B3", "E4", "F#4", "G4"))
C_MAJOR = Chord("C2", ("C3", "G3", "E4", "G4", "B4"))
G_MAJOR = Chord("G2", ("G3", "D4", "G4", "B4", "D5"))
D_OVER_F = Chord("F#2", ("D3", "A3", "D4", "F#4", "A4"))
A_MINOR = Chord("A2", ("A3", "E4", "G4", "C5", "E5"))
B_MINOR = Chord("B2", ("B3", "F#4", "A4", "D5", "F#5"))
D_MAJOR = Chord("D2", ("D3", "A3", "D4", "F#4", "A4"))

HARMONY = (
    *(E_MINOR, C_MAJOR, G_MAJOR, D_OVER_F),  # fingers alone, then strings
    *(E_MINOR, C_MAJOR, G_MAJOR, D_OVER_F),  # first verse
    *(A_MINOR, B_MINOR, C_MAJOR, D_MAJOR),  # bridge
    *(E_MINOR, C_MAJOR, D_MAJOR, G_MAJOR),  # home
)
FINGERS = (0, 2, 1, 3, 4, 3, 2, 1)  # which tone of the chord on each eighth of the bar
STRINGS_FROM_BAR, BAND_FROM_BAR, HATS_FROM_BAR = 2, 4, 6

TUNE = """
    -:16
    B4:1.5 A4:0.5 G4:1 E4:1    G4:1.5 A4:0.5 B4:2       D5:1.5 B4:0.5 A4:1 G4:1     A4:3 -:1
    C5:1.5 B4:0.5 A4:1 E5:1    D5:1.5 B4:0.5 F#5:2      E5:1.5 D5:0.5 B4:1 G4:1     A4:1 B4:1 D5:2
    B4:1.5 A4:0.5 G4:1 E4:1    G4:1.5 A4:0.5 B4:1 E5:1  D5:1 C5:0.5 B4:0.5 A4:1 F#4:1     G4:4
"""
ETUDE = """
    D3:0.5 A3:0.5 D4:0.5 F#4:0.5 A4:0.5 F#4:0.5   B2:0.5 F#3:0.5 B3:0.5 D4:0.5 F#4:0.5 D4:0.5
    G2:0.5 D3:0.5 B3:0.5 D4:0.5 G4:0.5 D4:0.5     A2:0.5 E3:0.5 A3:0.5 C#4:0.5 G4:0.5 E4:0.5
    D3:0.5 A3:0.5 F#4:0.5 A4:0.5 D5:3
"""


def evening_train() -> Stereo:
    """A song for strings, flute, bass and brushes: 16 bars, 48 kHz, stereo, [samples, 2]."""
    sample_rate = 48_000
    song_seconds = len(HARMONY) * BEATS_PER_BAR * BEAT_SECONDS
    mix = np.zeros((round((song_seconds + 2.5) * sample_rate), 2))
    for bar, chord in enumerate(HARMONY):
        _play_bar(mix, bar, chord, sample_rate)
    for seed, (start, beats, name) in enumerate(_notes(TUNE)):
        note = instruments.flute(pitch_hz(name), beats * BEAT_SECONDS, sample_rate, seed)
        _place(mix, note, start * BEAT_SECONDS, sample_rate, gain=0.20, pan=0.15)
    return _master(mix + 0.22 * _hall(mix, sample_rate))


def plucked_etude() -> Mono:
    """A short study for one plucked instrument: 44.1 kHz, mono, [samples]."""
    sample_rate, beat_seconds = 44_100, 0.56
    notes = list(_notes(ETUDE))
    end = notes[-1][0] + notes[-1][1]
    mix = np.zeros((round(end * beat_seconds * sample_rate), 2))
    for seed, (start, beats, name) in enumerate(notes):
        ring = min(max(beats, 2.5), end - start) * beat_seconds
        note = instruments.pluck(pitch_hz(name), ring, sample_rate, seed)
        _place(mix, note, start * beat_seconds, sample_rate, gain=0.5, pan=0.0)
    return _master(mix)[:, 0]


def one_second() -> Mono:
    """A chord of exactly one second at 24 kHz, [24000]."""
    sample_rate = 24_000
    mix = np.zeros((sample_rate, 2))
    for seed, name in enumerate(("D3", "A3", "D4", "F#4")):
        start = 0.03 * seed
        note = instruments.pluck(pitch_hz(name), 1.0 - start, sample_rate, seed)
        _place(mix, note, start, sample_rate, gain=0.5, pan=0.0)
    return _master(mix)[:, 0]


def knock() -> Mono:
    """A fifth of a second of wood at 16 kHz, [3200]."""
    sound = instruments.knock(sample_rate=16_000, seconds=0.2)
    return np.asarray(0.8 * sound / np.max(np.abs(sound)))


def _play_bar(mix: Stereo, bar: int, chord: Chord, sample_rate: int) -> None:
    """Adds everything but the tune to one bar of the song."""
    start = bar * BEATS_PER_BAR * BEAT_SECONDS
    eighth = BEAT_SECONDS / 2
    for step, tone in enumerate(FINGERS):
        note = instruments.pluck(pitch_hz(chord.tones[tone]), 1.6, sample_rate, bar * 8 + step)
        _place(mix, note, start + step * eighth, sample_rate, gain=0.34, pan=-0.35)
    if bar >= STRINGS_FROM_BAR:
        for index, name in enumerate(chord.tones):
            note = instruments.pad(pitch_hz(name), BEATS_PER_BAR * BEAT_SECONDS + 0.3, sample_rate)
            _place(mix, note, start, sample_rate, gain=0.030, pan=0.4 * index - 0.8)
    if bar >= BAND_FROM_BAR:
        _play_band(mix, bar, chord, sample_rate)


def _play_band(mix: Stereo, bar: int, chord: Chord, sample_rate: int) -> None:
    """Adds bass and percussion to one bar."""
    start = bar * BEATS_PER_BAR * BEAT_SECONDS
    root = pitch_hz(chord.root)
    for beat, beats, ratio in ((0.0, 1.5, 1.0), (1.5, 0.5, 1.0), (2.0, 1.5, 1.5), (3.5, 0.5, 1.0)):
        note = instruments.bass(root * ratio, beats * BEAT_SECONDS, sample_rate)
        _place(mix, note, start + beat * BEAT_SECONDS, sample_rate, gain=0.42, pan=0.0)
    for beat in (0.0, 2.5):
        drum = instruments.kick(sample_rate)
        _place(mix, drum, start + beat * BEAT_SECONDS, sample_rate, gain=0.55, pan=0.0)
    for beat in (1.0, 3.0):
        drum = instruments.brush(sample_rate, seed=bar * 4 + int(beat))
        _place(mix, drum, start + beat * BEAT_SECONDS, sample_rate, gain=0.13, pan=0.2)
    if bar >= HATS_FROM_BAR:
        for step in range(8):
            sound = instruments.hat(sample_rate, seed=bar * 8 + step)
            gain = 0.10 if step % 2 else 0.06
            _place(mix, sound, start + step * BEAT_SECONDS / 2, sample_rate, gain, pan=0.55)


def _notes(line: str) -> Iterator[tuple[float, float, str]]:
    """Start in beats, length in beats and name of every note of a line; rests are left out."""
    start = 0.0
    for word in line.split():
        name, _, beats = word.partition(":")
        if name != "-":
            yield start, float(beats), name
        start += float(beats)


def _place(
    mix: Stereo, note: Mono, start_seconds: float, sample_rate: int, gain: float, pan: float
) -> None:
    """Adds a note to the mix; pan runs from -1 (left) to 1 (right) at constant power."""
    start = round(start_seconds * sample_rate)
    note = gain * note[: len(mix) - start]
    angle = (pan + 1) * np.pi / 4
    mix[start : start + len(note), 0] += np.cos(angle) * note
    mix[start : start + len(note), 1] += np.sin(angle) * note


def _hall(mix: Stereo, sample_rate: int) -> Stereo:
    """What a room gives back: the mix convolved with a decaying noise, another for each ear."""
    time = instruments.clock(1.4, sample_rate)
    wet = np.zeros_like(mix)
    num_fft = 1 << (len(mix) + len(time) - 1).bit_length()
    for ear in range(2):
        echo = instruments.noise(len(time), seed=900 + ear) * np.exp(-4.5 * time)
        echo /= np.sqrt(np.sum(echo**2))
        spectrum = np.fft.rfft(mix[:, ear], num_fft) * np.fft.rfft(echo, num_fft)
        wet[:, ear] = np.fft.irfft(spectrum, num_fft)[: len(mix)]
    return wet


def _master(mix: Stereo) -> Stereo:
    """Bends the loudest peaks softly and brings the highest to 0.75 of full scale."""
    bent = np.tanh(1.6 * mix / np.max(np.abs(mix)))
    return np.asarray(0.75 * bent / np.max(np.abs(bent)))
