"""Small charts for explorers, drawn with Pillow as transparent pictures.

An explorer draws again within a few milliseconds. Its picture must also appear in a saved notebook.
Plotly in a widget cannot do this in Colab. Figures in cells of their own are made with plotly, see
:mod:`eacbook.plots.figures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from eacbook.plots import palette
from eacbook.plots.fonts import drawable, font_for

TEXT = 17
LEFT, RIGHT, TOP, BOTTOM = 86, 16, 34, 54
"""Pixels around the axes, for their numbers and titles."""

SMOOTH = 2
"""Lines are drawn larger by this factor and then made smaller. This smooths them."""


@dataclass(frozen=True)
class Axis:
    """An axis: its title with the unit, its range, and its numbers, or the texts in their place."""

    title: str
    low: float
    high: float
    ticks: Sequence[float] | np.ndarray
    form: str = "{:g}"
    texts: Sequence[str] = ()

    def numbers(self) -> list[tuple[float, str]]:
        """The ticks with what stands beside them."""
        return list(zip(self.ticks, self.texts or map(self.form.format, self.ticks), strict=True))

    def place(self, value, length: float):
        """Pixels from the low end of the axis, for a number or an array."""
        return (value - self.low) / (self.high - self.low) * length


@dataclass(frozen=True)
class Chart:
    """Axes on a transparent background; lines are drawn into them. :meth:`drawn` makes one."""

    x: Axis
    y: Axis
    picture: Image.Image

    @classmethod
    def drawn(cls, width: int, height: int, x: Axis, y: Axis, title: str = "") -> Chart:
        """Empty axes.

        Args:
            width, height: pixels of the picture.
            x, y: the axes.
            title: the text above the axes.
        """
        chart = cls(x, y, Image.new("RGBA", (width, height), palette.rgba(palette.INK, 0)))
        chart._draw_axes(title)
        return chart

    @property
    def width(self) -> int:
        """Pixels of the x axis."""
        return self.picture.width - LEFT - RIGHT

    @property
    def height(self) -> int:
        """Pixels of the y axis."""
        return self.picture.height - TOP - BOTTOM

    def _draw_axes(self, title: str) -> None:
        x, y = self.x, self.y
        draw = ImageDraw.Draw(self.picture)
        draw.text((LEFT, 4), title, palette.INK, font_for(title, TEXT))
        font = font_for("0", TEXT)
        for tick, text in y.numbers():
            _, row = self.at(x.low, tick)
            draw.line((LEFT, row, LEFT + self.width, row), palette.rgba(palette.INK, 0.27))
            draw.text((LEFT - 8, row), text, palette.INK, font, "rm")
        foot = TOP + self.height
        draw.line((LEFT, foot, LEFT + self.width, foot), palette.INK)
        for tick, text in x.numbers():
            column, _ = self.at(tick, y.low)
            draw.line((column, foot, column, foot + 4), palette.INK)
            draw.text((column, foot + 6), text, palette.INK, font, "ma")
        place = LEFT + self.width / 2, self.picture.height - 4
        draw.text(place, x.title, palette.INK, font_for(x.title, TEXT), "md")
        self._upright(y.title)

    def at(self, x, y):
        """Pixels of a point. A point outside the range is at the edge."""
        column = LEFT + np.clip(self.x.place(x, self.width), 0, self.width)
        return column, TOP + self.height - np.clip(self.y.place(y, self.height), 0, self.height)

    def line(
        self, x: np.ndarray, y: np.ndarray, colour: str, width: float = 3, dash: str = "solid"
    ) -> None:
        """Draw a smooth line through points, with a dash of :data:`eacbook.plots.palette.PATTERNS`."""
        large = Image.new(
            "RGBA", [SMOOTH * side for side in self.picture.size], palette.rgba(colour, 0)
        )
        points = SMOOTH * np.stack(self.at(x, y), 1)
        draw = ImageDraw.Draw(large)
        for stroke in _strokes(points, SMOOTH * np.array(palette.PATTERNS[dash])):
            draw.line([tuple(p) for p in stroke], colour, round(SMOOTH * width), joint="curve")
        self.picture.alpha_composite(large.resize(self.picture.size, Image.Resampling.BOX))

    def steps(self, edges: np.ndarray, heights: np.ndarray, colour: str) -> None:
        """Draw a histogram, ``[n+1]`` edges and ``[n]`` heights: an outline and a translucent area.

        Two translucent colours make a third one where they overlap, so there is an outline, too.
        """
        ground = Image.new("RGBA", self.picture.size, palette.rgba(colour, 0))
        draw = ImageDraw.Draw(ground)
        columns, rows = self.at(np.repeat(edges, 2)[1:-1], np.repeat(heights, 2))
        foot = TOP + self.height
        outline = [tuple(point) for point in zip(columns, rows, strict=True)]
        corners = [(columns[0], foot), *outline, (columns[-1], foot)]
        draw.polygon(corners, palette.rgba(colour, 0.4))
        draw.line(corners, colour, 3)
        for left, height in zip(edges, heights, strict=False):
            if height > self.y.high:  # it is cut, so its height is written as a number
                column, top = self.at(left, self.y.high)
                font = font_for("0", TEXT)
                draw.text((column + 16, top + 2), self.y.form.format(height), palette.INK, font)
        self.picture.alpha_composite(ground)

    def mark(self, x: float, label: str = "") -> None:
        """Draw a vertical line at the value of a slider."""
        column, top = self.at(x, self.y.high)
        draw = ImageDraw.Draw(self.picture)
        draw.line((column, top, column, TOP + self.height), palette.INK, 2)
        if label:
            side = "la" if column < LEFT + self.width / 2 else "ra"
            shift = 6 if side == "la" else -6
            font = font_for(label, TEXT)
            draw.text((column + shift, top), label, palette.INK, font, side)

    def point(self, x: float, y: float, colour: str, radius: int = 6) -> None:
        """Draw a dot at the value of a slider."""
        column, row = (float(value) for value in self.at(x, y))
        box = (column - radius, row - radius, column + radius, row + radius)
        ImageDraw.Draw(self.picture).ellipse(box, colour, palette.INK)

    def legend(self, colours: dict[str, str], dashes: dict[str, str] | None = None) -> None:
        """Draw the names with their colours, or with their lines, in the upper right corner."""
        draw = ImageDraw.Draw(self.picture)
        x: float = LEFT + self.width
        names = drawable(colours, "run")
        for name, (run, colour) in reversed(list(zip(names, colours.items(), strict=True))):
            font = font_for(name, TEXT)
            x -= font.getlength(name)
            draw.text((x, 4), name, palette.INK, font)
            if dashes:
                x -= 46
                line = np.array([[x, 14.0], [x + 38, 14.0]])
                for stroke in _strokes(line, np.array(palette.PATTERNS[dashes[run]])):
                    draw.line([tuple(p) for p in stroke], colour, 3)
            else:
                x -= 24
                draw.rectangle((x, 4 + 3, x + 14, 4 + 16), colour)
            x -= 18

    def _upright(self, text: str) -> None:
        font = font_for(text, TEXT)
        size = round(font.getlength(text)) + 4, TEXT + 8
        label = Image.new("RGBA", size, palette.rgba(palette.INK, 0))
        ImageDraw.Draw(label).text((2, 2), text, palette.INK, font)
        label = label.rotate(90, expand=True)
        self.picture.alpha_composite(label, (4, max(0, TOP + (self.height - label.height) // 2)))


def _strokes(points: np.ndarray, pattern: np.ndarray) -> list[np.ndarray]:
    """The strokes of a line through points ``[n,2]``; the pattern is strokes and gaps in pixels."""
    if not len(pattern):
        return [points]
    way = np.concatenate([[0], np.hypot(*np.diff(points, axis=0).T).cumsum()])
    ends = np.concatenate([[0], np.tile(pattern, int(way[-1] / pattern.sum()) + 1).cumsum()])
    strokes = []
    for start, end in zip(ends[::2], ends[1::2], strict=False):
        inner = (way > start) & (way < min(end, way[-1]))
        at = np.concatenate([[start], way[inner], [min(end, way[-1])]])
        if start < way[-1]:
            strokes.append(np.stack([np.interp(at, way, axis) for axis in points.T], 1))
    return strokes
