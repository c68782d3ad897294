"""A picture of codebooks, drawn without a plotting library.

A panel each. Above, the entries on the two directions in which they differ most, brighter the more
they are used, dead ones in blue; below, how often entries are used, most used ones on the left.

Dimension key: E entries, D width, H height, W width of a picture.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenize_pipeline.codebooks.figures import CodebookFigures
from tokenize_pipeline.verification.figures import png

PANELS_A_ROW = 4
_SIDE = 256  # of the map of entries, pixels
_BARS = 64  # height of the usage below it
_GROUPS = 64  # of entries, a bar each
_MARGIN = 12
_DOT = 3
_INSIDE = 0.99  # of the entries; the few farthest would make the others one dot
_BACKGROUND, _DEAD, _TEXT, _FRAME = 0, 253, 254, 255  # places in the palette; colours lie between
_STOPS = ("#3b1f5b", "#ab3168", "#f8935a", "#fdf6d2")
_COLOURS = range(1, 253)

# Digits as rows of three bits.
_DIGITS = ("75557", "26227", "71747", "71717", "55711", "74717", "74757", "71111", "75757", "75717")
_DIGIT_SCALE = 3


def draw(codebooks: Sequence[CodebookFigures]) -> bytes:
    """A PNG image of one panel a codebook, numbered from 1."""
    panels = [_panel(number + 1, codebook) for number, codebook in enumerate(codebooks)]
    empty = np.zeros_like(panels[0])
    rows = []
    for first in range(0, len(panels), PANELS_A_ROW):
        row = panels[first : first + PANELS_A_ROW]
        columns = min(PANELS_A_ROW, len(panels))
        rows.append(np.hstack([*row, *[empty] * (columns - len(row))]))
    return png(np.vstack(rows), _palette())


def _panel(number: int, codebook: CodebookFigures) -> NDArray[np.uint8]:
    height, width = _SIDE + _BARS + 3 * _MARGIN, _SIDE + 2 * _MARGIN
    panel_HW = np.full((height, width), _BACKGROUND, dtype=np.uint8)
    inside = slice(_MARGIN, _MARGIN + _SIDE)
    _draw_map(panel_HW[inside, inside], codebook)
    _draw_usage(panel_HW[2 * _MARGIN + _SIDE : -_MARGIN, inside], codebook.uses)
    _draw_number(panel_HW[_MARGIN:, _MARGIN:], number)
    panel_HW[_MARGIN - 1, inside] = panel_HW[_MARGIN + _SIDE, inside] = _FRAME
    panel_HW[-_MARGIN, inside] = _FRAME
    return panel_HW


def _draw_map(map_HW: NDArray[np.uint8], codebook: CodebookFigures) -> None:
    places_E2 = _on_two_directions(codebook.entries)
    uses_E = codebook.uses.double().log1p()
    bright_E = uses_E / uses_E.max().clamp(min=1e-9)
    colours_E = (_COLOURS[0] + bright_E * (len(_COLOURS) - 1)).round().byte()
    colours_E[codebook.uses == 0] = _DEAD
    pixels_E2 = ((places_E2 + 1) / 2 * (_SIDE - _DOT)).round().long()
    for entry in uses_E.argsort().tolist():  # the most used ones lie on top
        x, y = pixels_E2[entry].tolist()
        map_HW[y : y + _DOT, x : x + _DOT] = int(colours_E[entry])


def _draw_usage(bars_HW: NDArray[np.uint8], uses_E: Tensor) -> None:
    ordered_E = uses_E.sort(descending=True).values
    groups = [int(group.sum()) for group in ordered_E.tensor_split(min(_GROUPS, len(ordered_E)))]
    for index, uses in enumerate(groups):
        height = round(_BARS * uses / max(1, groups[0]))
        columns = slice(index * _SIDE // len(groups), (index + 1) * _SIDE // len(groups) - 1)
        bars_HW[bars_HW.shape[0] - height :, columns] = _COLOURS[len(_COLOURS) * 2 // 3]


def _draw_number(corner_HW: NDArray[np.uint8], number: int) -> None:
    for place, digit in enumerate(str(number)):
        bits = np.array([[int(row) >> bit & 1 for bit in (2, 1, 0)] for row in _DIGITS[int(digit)]])
        large = np.kron(bits, np.ones((_DIGIT_SCALE, _DIGIT_SCALE), dtype=np.int64)).astype(bool)
        left = place * 4 * _DIGIT_SCALE
        corner_HW[: large.shape[0], left : left + large.shape[1]][large] = _TEXT


def _on_two_directions(entries_ED: Tensor) -> Tensor:
    """Places on the two principal components, within -1 and 1; the farthest lie on the edge."""
    centred_ED = (entries_ED - entries_ED.mean(dim=0)).double()
    _, vectors_DD = torch.linalg.eigh(centred_ED.t() @ centred_ED)
    basis_D2 = vectors_DD[:, -2:].flip(1)
    basis_D2 = basis_D2 * basis_D2[basis_D2.abs().argmax(dim=0), range(basis_D2.shape[1])].sign()
    places = centred_ED @ basis_D2
    if places.shape[1] == 1:
        places = torch.cat([places, torch.zeros_like(places)], dim=1)
    edge = places.abs().quantile(_INSIDE).clamp(min=1e-12)
    scaled: Tensor = (places / edge).clamp(-1, 1)
    return scaled


def _palette() -> NDArray[np.uint8]:
    stops = np.array([list(bytes.fromhex(colour[1:])) for colour in _STOPS], dtype=np.float64)
    palette = np.zeros((256, 3), dtype=np.uint8)
    places = np.linspace(0, len(stops) - 1, len(_COLOURS))
    for channel in range(3):
        levels = np.interp(places, np.arange(len(stops)), stops[:, channel])
        palette[_COLOURS.start : _COLOURS.stop, channel] = levels.round()
    palette[_BACKGROUND], palette[_DEAD] = (13, 11, 31), (76, 201, 240)
    palette[_TEXT], palette[_FRAME] = (255, 255, 255), (70, 70, 90)
    return palette
