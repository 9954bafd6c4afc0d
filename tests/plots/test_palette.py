"""The colours can be seen on white and dark pages, and told apart without full colour vision."""

import inspect
import json
import re
from itertools import combinations

import numpy as np
import pytest
import torch

from eacbook.book.widgets import attention, features
from eacbook.plots import charts, palette, pictures
from eacbook.plots.figures import TEMPLATE, loss_film

WHITE, JUPYTERLAB_DARK, COLAB_DARK = "#FFFFFF", "#111111", "#1F1F1F"
PAGES = WHITE, JUPYTERLAB_DARK, COLAB_DARK

# Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color vision
# deficiency", IEEE TVCG 15(6), 2009: severity 1.0, for linear red, green and blue.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}

# Ottosson, "A perceptual color space for image processing", 2020.
CONES = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
]
OKLAB = [
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
]


def linear(colour):
    """Linear red, green and blue of ``#RRGGBB``."""
    value = np.array(tuple(bytes.fromhex(colour[1:]))) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """WCAG 2: from 1, the same, to 21, black on white."""
    dark, bright = sorted(linear(colour) @ [0.2126, 0.7152, 0.0722] for colour in (one, other))
    return (bright + 0.05) / (dark + 0.05)


def distance(one, other, sight="normal"):
    """In OKLab, as somebody with this sight sees the colours; 1 lies between black and white."""
    seen = [np.clip(SIGHT[sight] @ linear(colour), 0, 1) for colour in (one, other)]
    return np.linalg.norm(np.subtract(*(OKLAB @ np.cbrt(CONES @ value) for value in seen)))


def test_measures_know_black_and_white():
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    for sight in SIGHT:
        assert distance("#000000", "#FFFFFF", sight) == pytest.approx(1, abs=1e-3)
    assert distance("#D00000", "#5A5A00", "protanopia") < distance("#D00000", "#5A5A00") / 2


@pytest.mark.parametrize("page", PAGES)
def test_every_colour_stands_out_from_every_page(page):
    colours = {*palette.EXPRESSIONS.values(), *palette.METHODS.values()}
    assert min(contrast(colour, page) for colour in colours) >= 3
    assert min(contrast(colour, page) for colour in (palette.RIGHT, palette.WRONG)) >= 3.75


@pytest.mark.parametrize("sight", SIGHT)
def test_everybody_can_tell_the_expressions_apart(sight):
    assert len(palette.EXPRESSIONS) == 8
    pairs = combinations(palette.EXPRESSIONS.values(), 2)
    assert min(distance(one, other, sight) for one, other in pairs) >= 0.08


@pytest.mark.parametrize("sight", SIGHT)
def test_nobody_takes_right_for_wrong(sight):
    assert distance(palette.RIGHT, palette.WRONG, sight) >= 0.22


@pytest.mark.parametrize("sight", SIGHT)
def test_nobody_takes_the_baseline_for_eac_or_a_method_for_right_or_wrong(sight):
    assert distance(palette.METHODS["baseline"], palette.METHODS["eac"], sight) >= 0.13
    colours = [*palette.METHODS.values(), palette.RIGHT, palette.WRONG]
    assert min(distance(one, other, sight) for one, other in combinations(colours, 2)) >= 0.08


def test_text_can_be_read_on_every_page():
    """No colour reaches 4.5:1 on white and on dark pages; most pages are white."""
    assert contrast(palette.INK, WHITE) >= 4.5
    assert min(contrast(palette.INK, page) for page in PAGES) >= 3.6


@pytest.mark.parametrize("module", [pictures, charts, attention, features])
def test_pictures_write_in_ink_alone(module):
    """No hue has 4.5:1 on white. Text on a coloured cell is white with a dark outline."""
    calls = re.findall(r"\.text\((.*?font.*?)\)\n", inspect.getsource(module), flags=re.S)
    assert calls
    for call in calls:
        mask = ", 255, font" in call  # ink is pasted through it
        outlined = '"#FFFFFF"' in call and 'stroke_fill="#333333"' in call
        assert "palette.INK" in call or outlined or mask, call
    assert contrast("#FFFFFF", "#333333") >= 4.5


@pytest.mark.parametrize(
    "figure", [TEMPLATE, loss_film({"eac": torch.rand(2, 40)}, torch.arange(40) < 9)]
)
def test_figures_write_in_ink_alone(figure):
    text = json.loads(
        figure.to_json() if hasattr(figure, "to_json") else json.dumps(figure.to_plotly_json())
    )
    colours = re.findall(r'"font": \{[^}]*"color": "([^"]+)"', json.dumps(text))
    assert set(colours) == {palette.INK}


@pytest.mark.parametrize("kind", [palette.DASHES, palette.SYMBOLS])
def test_every_method_has_a_line_and_a_marker_of_its_own(kind):
    assert kind.keys() == palette.METHODS.keys() and len(set(kind.values())) == len(kind)
    assert set(palette.DASHES.values()) <= palette.PATTERNS.keys()
    assert palette.method_dashes(["eac weight 3", "mine"])["eac weight 3"] == palette.DASHES["eac"]


def test_no_two_runs_share_a_colour():
    names = ["baseline", "eac", "mine", "weight 0", "weight 3", ""]
    colours = palette.method_colours(names)
    assert list(colours) == names and len(set(colours.values())) == len(names)
    assert colours["eac"] == palette.method_colours(["eac"])["eac"] == palette.METHODS["eac"]


def test_no_two_classes_share_a_colour():
    names = ["calm", "surprise", "b", "c", "anger", "d", "e", "f"]
    colours = palette.class_colours(names)
    assert list(colours) == names and len(set(colours.values())) == len(names)
    assert colours["anger"] == palette.EXPRESSIONS["anger"]
    assert palette.class_colours(reversed(palette.EXPRESSIONS)) == palette.EXPRESSIONS
