"""The canvas for synthetic faces: a chunk of pictures, its windows, and functions for shapes.

The faces are along the *last* axis while they are drawn. So a trait ``[n]`` fits a picture
``[h, w, n]`` without reshaping. Lengths are in face units (half the head's height is 1, x to the
viewer's right, y down). The edge of a shape is antialiased by its signed distance:
coverage = clamp(distance / pixel + 1/2). The speed of memory limits the drawing. So each part of the
face is painted in a window that is as small as possible. A part that few faces have is painted on
those faces only.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from eacbook.synthetic.traits import ACTION_UNITS, PERSON_RANGES

UNIT_IN_PICTURE = 0.50  # half the head's height, in widths of the picture
HEAD_CENTRE = 0.49  # its y, in heights of the picture
TURN = 0.15  # how far the middle of the face moves on the head in a full turn
NARROWEST_HEAD = PERSON_RANGES["head_width"][0]


class Canvas:
    """A chunk of n pictures while they are painted.

    Attributes:
        face: the traits as attributes, ``[n]`` or, for colours, ``[3, n]``; ``face.unit[number]``
            ``[n]`` is an action unit.
        numbers: the same traits as NumPy arrays on the CPU. They decide what is painted and where,
            without waiting for the device.
        colour: the painted colours, float32 ``[3, S, S, n]`` in 0..1.
        relief: light and shade on the skin, ``[S, S, n]``, 0 where the skin has its own colour.
        unit_pixels: pixels in a face unit, ``[n]``.
        surfaces: coordinates ``(x, y)`` of three surfaces. ``"upright"`` is for body and
            background, which do not tilt. ``"head"`` tilts. ``"skin"`` moves on the head in a turn.
    """

    def __init__(self, traits: dict[str, Tensor], size: int, device: str | torch.device):
        face = {name: value.t().contiguous().to(device) for name, value in traits.items()}
        face["unit"] = dict(zip(ACTION_UNITS, face["action_units"], strict=True))
        self.face = face = SimpleNamespace(**face)
        self.size = size
        self.numbers = {name: value.numpy() for name, value in traits.items()}
        self.colour = torch.empty(3, size, size, face.roll.shape[0], device=device)
        self.unit_pixels = UNIT_IN_PICTURE * size * face.scale

        place = (torch.arange(size, device=device) + 0.5)[:, None] / size
        width_in_units = 1 / (UNIT_IN_PICTURE * face.scale)
        x = ((place - 0.5 - face.shift_x) * width_in_units)[None]
        y = ((place - HEAD_CENTRE - face.shift_y) * width_in_units)[:, None]
        cosine, sine = face.roll.cos(), face.roll.sin()
        head_x, head_y = x * cosine + y * sine, y * cosine - x * sine
        # A turn moves the face on the head: most in the middle, and not at the rim. So the far
        # half becomes narrower. The person's own asymmetry bends the face, too.
        bend = face.yaw * (TURN / face.head_width**2) + face.lateral_warp
        skin_x = (head_x * bend).add_(1).mul_(head_x).sub_(face.yaw * TURN)
        self.surfaces = {"upright": (x, y), "head": (head_x, head_y), "skin": (skin_x, head_y)}
        self.relief = (head_x * (face.light_x / 0.8)).addcmul_(head_y, face.light_y)

    def span(self, faces: slice) -> Canvas:
        """A view of the canvas for some of its faces. Painting on it changes this canvas."""
        part = copy.copy(self)
        part.face = SpanOfTraits(self.face, faces)
        part.numbers = {name: value[faces] for name, value in self.numbers.items()}
        part.colour, part.relief = self.colour[..., faces], self.relief[..., faces]
        part.unit_pixels = self.unit_pixels[faces]
        part.surfaces = {
            name: (x[..., faces], y[..., faces]) for name, (x, y) in self.surfaces.items()
        }
        return part

    def window(
        self, side: float, top: float, bottom: float, surface: str = "skin", slide: float = TURN
    ) -> Window:
        """The pixels that the box ``|x| <= side, top <= y <= bottom`` can touch in any of the faces."""
        pose = self.numbers
        unit = UNIT_IN_PICTURE * self.size * pose["scale"]
        roll = pose["roll"] if surface != "upright" else np.zeros(1)
        cosine, sine = np.cos(roll), np.sin(roll)
        # A turn moves the middle of the box by yaw * slide, and its rim by less.
        slide_of_rim = slide * max(0.0, 1 - (side / NARROWEST_HEAD) ** 2)
        middle_x, middle_y = pose["yaw"] * ((slide + slide_of_rim) / 2), (top + bottom) / 2
        half_width = side + 0.04 + abs(pose["yaw"]) * ((slide - slide_of_rim) / 2)
        half_height = (bottom - top) / 2
        spans = []
        for centre, along, extent in (
            (HEAD_CENTRE + pose["shift_y"], middle_x * sine + middle_y * cosine,
             half_width * abs(sine) + half_height * cosine),
            (0.5 + pose["shift_x"], middle_x * cosine - middle_y * sine,
             half_width * cosine + half_height * abs(sine)),
        ):  # fmt: skip
            centre = centre * self.size + unit * along
            first = int((centre - unit * extent).min())
            last = int((centre + unit * extent).max()) + 1
            spans.append(slice(max(first, 0), max(min(last, self.size), 0)))
        rows, columns = spans
        x, y = self.surfaces[surface]
        if surface == "upright":
            x, y = x[:, columns], y[rows]
        else:
            x, y = x[rows, columns], y[rows, columns]
        return Window(
            x, y, self.unit_pixels, self.colour[:, rows, columns], self.relief[rows, columns]
        )


class SpanOfTraits:
    """The traits of some faces of a canvas. Each is cut out at its first use."""

    def __init__(self, face: SimpleNamespace, faces: slice):
        self._face, self._faces = face, faces

    def __getattr__(self, name: str) -> Tensor | dict[int, Tensor]:
        value = getattr(self._face, name)
        if name == "unit":
            value = {number: strength[self._faces] for number, strength in value.items()}
        else:
            value = value[..., self._faces]
        setattr(self, name, value)
        return value


def only_on(has: Callable[[dict[str, np.ndarray]], np.ndarray]) -> Callable:
    """Decorate a painter of a part that few faces have, so that it paints on those faces only.

    Args:
        has: a function from the traits of the faces, as NumPy arrays, to bool ``[n]``. The painter
            gets the span from the first to the last such face. Similar faces are neighbours (see
            :func:`eacbook.synthetic.faces.like_beside_like`), so the span has few other faces.
    """

    def decorate(draw: Callable[[Canvas], None]) -> Callable[[Canvas], None]:
        @functools.wraps(draw)
        def draw_on_span(canvas: Canvas) -> None:
            found = np.flatnonzero(has(canvas.numbers))
            if len(found):
                draw(canvas.span(slice(int(found[0]), int(found[-1]) + 1)))

        return draw_on_span

    return decorate


class Window(NamedTuple):
    """A part of the canvas: coordinates ``[h, w, n]``, pixels in a face unit ``[n]``, and colours."""

    x: Tensor
    y: Tensor
    unit_pixels: Tensor
    colour: Tensor
    relief: Tensor

    def cover(self, distance: Tensor) -> Tensor:
        """Coverage 0..1 of the pixels at a signed distance (face units, positive inside)."""
        return (distance * self.unit_pixels).add_(0.5).clamp_(0, 1)

    def paint(
        self,
        coverage: Tensor,
        colour: Tensor | tuple[float, ...],
        light: Tensor | None = None,
    ) -> None:
        """Paint a colour, ``[3, n]`` or red, green and blue, multiplied by ``light``."""
        if isinstance(colour, tuple):
            colour = torch.tensor(colour, device=coverage.device)[:, None]
        colour = colour[:, None, None]
        if light is None:
            self.colour.lerp_(colour, coverage)
        else:
            for paint, channel in zip(
                self.colour, colour, strict=True
            ):  # small enough for the cache
                paint.lerp_(channel * light, coverage)


def ellipse(x: Tensor, y: Tensor, half_width, half_height) -> Tensor:
    """Signed distance to an ellipse around the origin (a first-order approximation at the rim)."""
    mean_radius = half_width * half_height / (half_width + half_height)
    inside = (x * (1 / half_width)).square_() + (y * (1 / half_height)).square_()
    return inside.mul_(-mean_radius).add_(mean_radius)


def glow(x: Tensor, y: Tensor, half_width, half_height) -> Tensor:
    """A soft round spot, 1 in the middle and exactly 0 outside the ellipse."""
    inside = (x * (1 / half_width)).square_() + (y * (1 / half_height)).square_()
    return inside.neg_().add_(1).clamp_(min=0).square_()


def crease(distance: Tensor, half_width) -> Tensor:
    """A soft line where ``distance`` is 0, fading to 0 at ``half_width``."""
    return (distance * (1 / half_width)).square_().neg_().add_(1).clamp_(min=0)


def between(y: Tensor, upper: Tensor, lower: Tensor) -> Tensor:
    """Signed distance (vertical) to the area between two curves, y down."""
    return torch.minimum(y - upper, lower - y)


def ripple(phase: Tensor) -> Tensor:
    """A triangle wave in -1..1 with period 1, and 1 at phase 0. A cosine takes four times as long."""
    return phase.sub_(phase.round()).abs_().mul_(-4).add_(1)
