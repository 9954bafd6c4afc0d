"""The ConvolutionExplorer: a filter moves over a face, and pooling makes the result smaller."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets
import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional

from eacbook.book.widgets.explorer import WHOLE, Explorer
from eacbook.data.faces import FaceData
from eacbook.plots import palette
from eacbook.plots.fonts import font_for
from eacbook.plots.pictures import DESCRIPTION, face_picture, png

FILTERS = {
    "dark left, bright right": ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
    "dark above, bright below": ((-1, -2, -1), (0, 0, 0), (1, 2, 1)),
    "bright spot": ((-1, -1, -1), (-1, 8, -1), (-1, -1, -1)),
    "sum of the window": ((1, 1, 1), (1, 1, 1), (1, 1, 1)),
}
"""Filters of 3 x 3 weights; a network learns its own."""

POOLS = (1, 2, 4, 8)
POSITIVE, NEGATIVE = palette.AMBER, palette.PURPLE
SIDE, GAP, NUMBERS, TEXT = 240, 24, 280, 17


def brightness(image: Tensor) -> Tensor:
    """The mean of the colours of a picture, uint8 ``[C,H,W]``, as float ``[H,W]`` from 0 to 10.

    It is rounded to tenths, so that a reader can add the numbers that the explorer shows.
    """
    return (image.double().mean(0) / 25.5).round(decimals=1)


def convolve(values: Tensor, weights: Sequence[Sequence[float]]) -> Tensor:
    """The weighted sum of the 3 x 3 window around each place, ``[H,W]`` to ``[H,W]``.

    At the edges the nearest values are repeated.
    """
    kernel = torch.tensor(weights, dtype=values.dtype)[None, None]
    padded = functional.pad(values[None, None], (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(padded, kernel)[0, 0]


def largest_of_squares(values: Tensor, side: int) -> Tensor:
    """Max pooling: the largest value of every square of ``side`` x ``side`` places."""
    return functional.max_pool2d(values[None, None], side)[0, 0]


def convolution_view(image: Tensor, name: str, row: int, column: int, pool: int) -> bytes:
    """PNG: the face with a window, the arithmetic at this window, the filtered and the pooled map.

    Args:
        image: uint8 ``[C,H,W]``.
        name: a filter of :data:`FILTERS`.
        row, column: the place of the middle of the window.
        pool: the side of the squares of the max pooling.
    """
    values = brightness(image)
    padded = functional.pad(values[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    window = padded[row : row + 3, column : column + 3]
    weights = torch.tensor(FILTERS[name], dtype=values.dtype)
    filtered = convolve(values, FILTERS[name])
    pooled = largest_of_squares(filtered, pool)

    top = TEXT + 10
    width = 3 * SIDE + NUMBERS + 3 * GAP
    sheet = Image.new("RGBA", (width, top + SIDE), palette.rgba(palette.INK, 0))
    draw = ImageDraw.Draw(sheet)
    places = [0, SIDE + GAP, SIDE + NUMBERS + 2 * GAP, 2 * SIDE + NUMBERS + 3 * GAP]
    grey = values.mul(25.5).round().to(torch.uint8)[None]
    sheet.paste(face_picture(grey, SIDE), (places[0], top))
    sheet.alpha_composite(signed_picture(filtered, SIDE), (places[2], top))
    sheet.alpha_composite(signed_picture(pooled, SIDE), (places[3], top))
    step = SIDE / len(values)
    for left, before, after in ((places[0], 1, 2), (places[2], 0, 1)):
        corner = left + (column - before) * step, top + (row - before) * step
        end = left + (column + after) * step, top + (row + after) * step
        draw.rectangle((*corner, *end), None, palette.VERMILION, 3)

    titles = ("face in grey", "window x weights", "result at every place", "after pooling")
    for x, title in zip(places, titles, strict=True):
        draw.text((x, 0), title, palette.INK, font_for(title, TEXT))
    _write_products(draw, places[1], top, window, weights, filtered[row, column].item())
    sheet.info[DESCRIPTION] = (
        f"A face in grey with a window of 3 x 3 pixels at row {row}, column {column}. The filter "
        f"{name} gives {filtered[row, column]:.1f} there. Beside it the result at every place, and "
        f"after pooling with {pool} x {pool}."
    )
    return png(sheet, compress_level=1)


def _write_products(
    draw: ImageDraw.ImageDraw,
    left: float,
    top: float,
    window: Tensor,
    weights: Tensor,
    total: float,
) -> None:
    """Nine products and their sum."""
    for row in range(3):
        for column in range(3):
            x, y = left + 42 + column * 98, top + 24 + row * 54
            text = f"{window[row, column]:.1f} x {weights[row, column]:g}"
            draw.text((x, y), text, palette.INK, font_for(text, TEXT), "mm")
    colour = POSITIVE if total >= 0 else NEGATIVE
    text = f"sum: {total:.1f}"
    draw.text((left + 140, top + 204), text, colour, font_for(text, 24), "mm")


def signed_picture(values: Tensor, side: int) -> Image.Image:
    """A map ``[h,w]`` as squares: positive places in one colour, negative ones in another.

    The strongest place is opaque, and 0 is transparent.
    """
    strength = (values / values.abs().max().clamp(min=1e-12)).numpy()
    colours = np.where(
        strength[..., None] >= 0, *(palette.rgba(c, 1) for c in (POSITIVE, NEGATIVE))
    )
    colours[..., 3] = np.round(255 * np.abs(strength))
    picture = Image.fromarray(colours.astype(np.uint8), "RGBA")
    return picture.resize((side, side), Image.Resampling.NEAREST)


class ConvolutionExplorer(Explorer):
    """Choose a filter, move the window, and pool: what does a convolution see in a face?

    Args:
        faces: the first training face of every class is offered.

    Attributes:
        face, filter: the face and the weights.
        row, column: the middle of the window.
        pool: the side of the squares of which only the largest value remains.
    """

    def __init__(self, faces: FaceData):
        self.images, names = [], []
        for label, name in enumerate(faces.classes):
            rows = (faces.train.labels == label).nonzero()
            if len(rows):
                self.images.append(faces.train.images[rows[0, 0]])
                names.append(name)
        self.face = ipywidgets.Dropdown(
            options=[(name, place) for place, name in enumerate(names)],
            description="face", style=WHOLE,
        )  # fmt: skip
        self.filter = ipywidgets.Dropdown(options=list(FILTERS), description="filter", style=WHOLE)
        last = faces.image_size - 1
        self.row = ipywidgets.IntSlider(last * 11 // 24, 0, last, description="row")
        self.column = ipywidgets.IntSlider(last // 3, 0, last, description="column")
        self.pool = ipywidgets.SelectionSlider(
            options=[(f"{side} x {side}", side) for side in POOLS], value=2,
            description="pooling", style=WHOLE,
        )  # fmt: skip
        wrapped = {"flex_flow": "row wrap"}
        super().__init__(
            "convolution-explorer",
            ipywidgets.HBox([self.face, self.filter, self.pool], layout=wrapped),
            ipywidgets.HBox([self.row, self.column], layout=wrapped),
        )
        self.follow(self.face, self.filter, self.row, self.column, self.pool)

    def show(self) -> None:
        place = self.row.value, self.column.value
        image = self.images[self.face.value]
        self.put(convolution_view(image, self.filter.value, *place, self.pool.value))
