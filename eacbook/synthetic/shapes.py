"""The shapes of brows, eyes, nose and mouth, and how the action units change them.

Both sides of a face have the same shape, in ``|x|``, so an expression is the same on both sides.
Only person, pose, light and hair differ between left and right. Lengths are in face units (see
:mod:`eacbook.synthetic.canvas`). The action units are those of
:data:`eacbook.synthetic.traits.ACTION_UNITS`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor

from eacbook.synthetic.canvas import Window, between

NOSE_TURN = 0.05  # how much further than the face the nose moves in a full turn


def kept(shape_of: Callable) -> Callable:
    """Decorate the shape of a part, so that it is computed once for each chunk of faces."""

    @functools.wraps(shape_of)
    def look_up(face: SimpleNamespace) -> NamedTuple:
        name = shape_of.__name__
        if name not in vars(face):
            setattr(face, name, shape_of(face))
        return vars(face)[name]

    return look_up


class BrowShape(NamedTuple):
    """Both brows, in ``|x|``: middle, half length, and heights of inner end, middle and outer end."""

    centre: Tensor
    half_length: Tensor
    inner: Tensor
    middle: Tensor
    outer: Tensor

    def curve(self, along: Tensor) -> Tensor:
        """The parabola through the three heights; ``along`` is -1 at the inner end, 1 at the outer."""
        slope, bend = (self.outer - self.inner) / 2, (self.outer + self.inner) / 2 - self.middle
        return (along * bend).add_(slope).mul_(along).add_(self.middle)


@kept
def brow_shape(face: SimpleNamespace) -> BrowShape:
    """Unit 1 raises the inner end, 2 the outer end; 4 lowers and moves inwards; 9 lowers a little."""
    unit = face.unit
    frown = unit[4] + 0.35 * unit[9]
    height = face.brow_height
    return BrowShape(
        centre=face.eye_distance + 0.025 - 0.045 * frown,
        half_length=0.215 - 0.02 * frown,
        inner=height + 0.02 - 0.20 * unit[1] + 0.15 * frown,
        middle=height - face.brow_arch - 0.09 * unit[1] - 0.12 * unit[2] + 0.09 * frown,
        outer=height + 0.04 - 0.19 * unit[2] + 0.02 * frown,
    )


class EyeShape(NamedTuple):
    """Both eyes, in ``|x|``: centre, half width, slant, and opening of the upper and lower lid."""

    centre: Tensor
    half_width: Tensor
    above: Tensor
    below: Tensor
    slant: Tensor


@kept
def eye_shape(face: SimpleNamespace) -> EyeShape:
    """Unit 5 raises the upper lid, 7 narrows the eye, 6 (and 9) push the lower lid up."""
    unit = face.unit
    squint = 1 - 0.42 * unit[7] - 0.22 * unit[6] - 0.08 * unit[9]
    return EyeShape(
        centre=face.eye_distance,
        half_width=face.eye_width * (1 + 0.06 * unit[5]),
        above=face.eye_height * squint * (1 + 0.60 * unit[5] + 0.10 * unit[1]),
        below=face.eye_height * (0.85 - 0.62 * unit[6] - 0.42 * unit[7] - 0.12 * unit[9]),
        slant=face.eye_slant + 0.16 * unit[1] * (1 - unit[2]),
    )


class NoseShape(NamedTuple):
    """Height of the nose's base and half its width; ``lift`` moves the wings."""

    base: Tensor
    half_width: Tensor
    lift: Tensor


@kept
def nose_shape(face: SimpleNamespace) -> NoseShape:
    """Unit 9 makes the nose shorter, and its wings wider and higher. Unit 10 does the same a little."""
    wrinkle = face.unit[9] + 0.25 * face.unit[10]
    return NoseShape(
        base=face.nose_length - 0.05 * wrinkle,
        half_width=face.nose_width * (1 + 0.35 * wrinkle),
        lift=0.06 * wrinkle,
    )


class MouthShape(NamedTuple):
    """The mouth: half width, heights of its line, openings and lips above and below that line."""

    half_width: Tensor
    middle: Tensor
    corner: Tensor
    gap_above: Tensor
    gap_below: Tensor
    upper_lip: Tensor
    lower_lip: Tensor


@kept
def mouth_shape(face: SimpleNamespace) -> MouthShape:
    """The mouth, after the action units of lips and jaw (10 to 26)."""
    unit = face.unit
    press = (1 - 0.45 * unit[23]) * (1 - 0.80 * unit[24]) * (1 - 0.25 * unit[20])
    parted = unit[25] * (1 - 0.8 * unit[24])
    return MouthShape(
        half_width=face.mouth_width
        * (1 + 0.26 * unit[12] + 0.28 * unit[20] + 0.06 * unit[15])
        * (1 - 0.24 * unit[23])
        * (1 + 0.08 * unit[24])
        * (1 - 0.26 * unit[26]),
        middle=0.05 * unit[12] - 0.05 * unit[15] - 0.07 * unit[17] - 0.035 * unit[10],
        corner=-0.14 * unit[12] + 0.13 * unit[15] + 0.05 * unit[20] + 0.02 * unit[10],
        gap_above=0.030 * parted + 0.035 * unit[10] * (1 - unit[17]) + 0.05 * unit[26],
        gap_below=parted * (0.055 + 0.05 * unit[12]) + 0.22 * unit[26],
        upper_lip=face.lip_fullness * 0.85 * press + 0.03 * unit[10],
        lower_lip=face.lip_fullness * press * (1 + 0.25 * unit[17]),
    )


def head_rim(x: Tensor, y: Tensor, face: SimpleNamespace) -> Tensor:
    """``1 - r^2``, where r is 1 on the outline of the head: an oval that is narrower at the jaw.

    The jaw drop (26) makes the lower half longer.
    """
    lower = y.clamp(min=0)
    width = (lower * (-face.jaw_taper)).add_(1).mul_(face.head_width)
    across = (x / width).square_()
    length = face.chin_length + 0.11 * face.unit[26] - 0.02 * face.unit[17]
    # Squircle: x^2 + y^2 - s x^2 y^2 = 1, only in the lower half.
    along = (lower / length).square_()
    corner = (across * along).mul_(face.jaw_squareness)
    along.add_(y.clamp(max=0).square_())
    return corner.sub_(across).sub_(along).add_(1)


def nose_x(window: Window, face: SimpleNamespace) -> Tensor:
    """x for the nose. It moves further than the face in a turn, and it may be a little bent."""
    return window.x - (window.y * face.nose_bend).add_(face.yaw * NOSE_TURN)


def brow_distance(face: SimpleNamespace, window: Window) -> Tensor:
    """Signed distance to the brows: strokes that become thinner to the outside."""
    brow = brow_shape(face)
    along = window.x.abs().sub_(brow.centre).mul_(1 / brow.half_length)
    off = (window.y + window.x * face.brow_tilt).sub_(brow.curve(along)).abs_()
    thickness = (along.clamp(-1.5, 1.5) * -0.35).add_(1).mul_(1 - along.square().square_())
    return thickness.mul_(face.brow_thickness + 0.2 / window.unit_pixels).sub_(off)


def eye_distance(face: SimpleNamespace, window: Window) -> Tensor:
    """Signed distance to the eyes between their lids."""
    eye = eye_shape(face)
    x = window.x.abs() - eye.centre
    y = window.y + x * eye.slant
    arch = 1 - (x / eye.half_width).square()
    return between(y, -arch * (eye.above + 0.04), arch * (eye.below + 0.02)).minimum(
        eye.half_width - x.abs()
    )


def nose_distance(face: SimpleNamespace, window: Window) -> Tensor:
    """Signed distance to the nose: a wedge from the bridge to the wings."""
    nose = nose_shape(face)
    x, y = nose_x(window, face).abs(), window.y
    widening = ((y + 0.15) / (nose.base + 0.15)).clamp(0, 1).square()
    half_width = 0.07 + (nose.half_width * 1.15 - 0.07) * widening
    return (half_width - x).minimum(between(y, torch.tensor(-0.15), nose.base + 0.03))


def mouth_distance(face: SimpleNamespace, window: Window) -> Tensor:
    """Signed distance to the mouth with its lips."""
    mouth = mouth_shape(face)
    y = window.y - face.mouth_height + window.x * face.mouth_tilt - mouth.middle
    across = (window.x / mouth.half_width).square()
    y = y - across * mouth.corner
    arch = 1 - across.square()
    distance = between(y, -arch * (mouth.gap_above + mouth.upper_lip),
                       arch * (mouth.gap_below + mouth.lower_lip))  # fmt: skip
    return distance.minimum(mouth.half_width - window.x.abs())
