"""Painters of brows, eyes, nose and mouth, and of glasses."""

from __future__ import annotations

import torch

from eacbook.synthetic.canvas import TURN, Canvas, between, crease, ellipse, only_on
from eacbook.synthetic.shapes import (
    NOSE_TURN,
    brow_distance,
    eye_shape,
    mouth_shape,
    nose_shape,
    nose_x,
)

MOUTH_INSIDE = (0.30, 0.07, 0.09)
TONGUE = (0.80, 0.36, 0.37)
WHITE = (0.98, 0.97, 0.95)
INK = (0.13, 0.08, 0.08)


def draw_eyes(canvas: Canvas) -> None:
    face, eye = canvas.face, eye_shape(canvas.face)
    window = canvas.window(side=0.66, top=-0.36, bottom=0.22)
    x = window.x.abs().sub_(eye.centre)
    y = window.y + x * eye.slant
    arch = (x * (1 / eye.half_width)).square_().neg_().add_(1)
    upper, lower = arch * -eye.above, arch * eye.below
    opening = window.cover(between(y, upper, lower))
    shade = 1 - 0.22 * crease(y - upper, eye.above * 0.8)  # the upper lid's shadow
    window.paint(opening, face.white_colour, shade)

    # A look to the side moves both eyes in the same direction: the offset has the sign of the side.
    side = window.x.sign()
    iris_x, iris_y = x - side * face.gaze_x, y - face.gaze_y + 0.01
    radius = face.eye_height * 0.88
    distance = ellipse(iris_x, iris_y, radius, radius)
    window.paint(window.cover(distance).minimum(opening), face.iris_colour * 0.62)
    window.paint(window.cover(distance - radius * 0.16).minimum(opening), face.iris_colour * 1.15)
    pupil = window.cover(distance - radius * 0.32)
    window.paint(pupil.minimum(opening), INK)
    glint = ellipse(iris_x - side * face.light_x * 0.16, iris_y + radius * 0.4,
                    radius * 0.3, radius * 0.3)  # fmt: skip
    window.paint(window.cover(glint).minimum(opening), WHITE)

    # The lashes; the crease of the lid is above them.
    thickness = (arch + 0.25).clamp_(max=1).mul_(0.017 + 0.4 / window.unit_pixels)
    lashes = window.cover(thickness - (y - upper).abs_())
    window.paint(lashes.mul_(0.9), face.brow_colour.lerp(torch.zeros_like(face.brow_colour), 0.6))
    lid_line = window.cover(0.008 - (y - lower).abs_())
    fold = crease(y - upper.mul_(1.1).sub_(0.045), 0.025)
    lines = lid_line.maximum(fold).mul_(arch.clamp_(0, 1))
    window.paint(lines.mul_(0.52), face.skin_colour * 0.48)


def draw_brows(canvas: Canvas) -> None:
    face = canvas.face
    window = canvas.window(side=0.66, top=-0.72, bottom=-0.08)
    window.paint(window.cover(brow_distance(face, window)).mul_(0.94), face.brow_colour)


def draw_nose(canvas: Canvas) -> None:
    """The nostrils, the tip, and the line of the wings of the nose."""
    face, nose = canvas.face, nose_shape(canvas.face)
    window = canvas.window(side=0.32, top=-0.03, bottom=0.48, slide=TURN + NOSE_TURN)
    x, y = nose_x(window, face).abs_(), window.y - nose.base
    wings = ellipse(x - nose.half_width * 0.72, y + 0.03 + nose.lift, nose.half_width * 0.42, 0.06)
    line = crease(wings, 0.028).mul_(((x - nose.half_width * 0.55) * 14).clamp_(0, 1))
    window.paint(line.mul_(0.55), face.skin_colour * 0.5)
    nostrils = ellipse(
        x - nose.half_width * 0.45, y + nose.lift * 0.6, nose.half_width * 0.27, 0.026
    )
    window.paint(window.cover(nostrils).mul_(0.75), face.skin_colour * 0.32)
    tip = crease(y + x.square() * 3 - 0.028, 0.022).mul_(crease(x, nose.half_width * 0.45))
    window.paint(tip.mul_(0.5), face.skin_colour * 0.45)


def draw_mouth(canvas: Canvas) -> None:
    face, unit, mouth = canvas.face, canvas.face.unit, mouth_shape(canvas.face)
    window = canvas.window(side=0.55, top=0.25, bottom=1.08)
    y = window.y - face.mouth_height + window.x * face.mouth_tilt
    across = (window.x * (1 / mouth.half_width)).square_()
    round_arch = across.square().neg_().add_(1)  # 1 - u^4, nearly an ellipse
    y = y.sub_(across * mouth.corner).sub_(mouth.middle)  # now y = 0 is the line of the mouth
    upper, lower = round_arch * -mouth.gap_above, round_arch * mouth.gap_below
    arch = (1 - across).mul_(1 - 0.25 * crease(window.x, 0.10))  # with the dip of Cupid's bow
    lips = between(y, upper - arch * mouth.upper_lip, lower + round_arch * mouth.lower_lip)
    window.paint(window.cover(lips), face.lip_colour)
    lower_light = crease(y - lower - 0.5 * mouth.lower_lip, 0.45 * mouth.lower_lip + 0.005)
    window.paint(lower_light.mul_(crease(window.x, mouth.half_width * 0.6)).mul_(0.35),
                 face.lip_colour * 1.25)  # fmt: skip

    beside = mouth.half_width * 1.02 - window.x.abs()
    inside = window.cover(between(y, upper, lower).minimum(beside))
    window.paint(inside, MOUTH_INSIDE)
    tongue = ellipse(window.x, y - mouth.gap_below, mouth.half_width * 0.6, 0.02 + 0.1 * unit[26])
    window.paint(window.cover(tongue).minimum(inside), TONGUE)
    teeth_height = 0.055 + 0.03 * unit[12]
    teeth = window.cover(
        (upper + teeth_height - y).minimum(mouth.half_width * 0.8 - window.x.abs())
    )
    window.paint(teeth.minimum(inside).mul_(0.96), WHITE)

    # A line between the lips, so that a mouth with thin lips stays visible.
    thickness = (1.1 - across).clamp_(0, 0.8).mul_(0.014 + 0.25 / window.unit_pixels)
    line = window.cover((thickness - y.abs_()).minimum(beside))
    line.mul_(1 - unit[25].clamp(max=0.5) - 0.3 * unit[26])
    window.paint(line, face.lip_colour * 0.38)


@only_on(lambda face: face["glasses"] > 0)
def draw_glasses(canvas: Canvas) -> None:
    face = canvas.face
    window = canvas.window(side=0.85, top=-0.36, bottom=0.32)
    x = window.x.abs()
    ring = ellipse(x - face.eye_distance - 0.01, window.y + 0.01, 0.265, 0.235)
    window.paint(window.cover(ring).mul_(face.glasses * 0.10), WHITE)
    half_wire = 0.014 + 0.25 / window.unit_pixels
    bridge = torch.minimum(half_wire - (window.y + 0.06).abs_(), face.eye_distance - 0.25 - x)
    beside = (x - face.eye_distance - 0.27).minimum(face.head_width - 0.02 - x)
    arms = torch.minimum(half_wire - (window.y + 0.08).abs_(), beside)
    frame = (half_wire - ring.abs_()).maximum(bridge).maximum(arms)
    window.paint(window.cover(frame).mul_(face.glasses), face.glasses_colour)
