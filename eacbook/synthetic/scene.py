"""Painters of the background, the body, and sometimes an occluder in front of the face."""

from __future__ import annotations

import torch

from eacbook.synthetic.canvas import Canvas, ellipse, only_on

FINGER_WIDTH = 0.17  # of a hand in front of the face


def draw_background(canvas: Canvas) -> None:
    face, (x, y) = canvas.face, canvas.surfaces["upright"]
    gradient = (x * face.background_x + y * face.background_y + 0.5).clamp_(0, 1)
    change = (face.background_bottom - face.background_top) * 0.75
    for paint, top, slope in zip(canvas.colour, face.background_top, change, strict=True):
        torch.mul(gradient, slope, out=paint).add_(top)


def draw_body(canvas: Canvas) -> None:
    """Neck and shoulders, upright under the tilted head."""
    face = canvas.face
    window = canvas.window(side=1.6, top=0.5, bottom=1.8, surface="upright", slide=0.0)
    neck_half_width = 0.40 + 0.3 * (face.head_width - 0.71)
    widening = (window.y - 1.0).square() * 0.25
    neck = (window.x.abs() - widening).sub_(neck_half_width).neg_()
    shade = 0.70 - 0.25 * (1.12 - window.y).clamp(0, 0.5)
    window.paint(window.cover(neck), face.skin_colour, shade)
    shoulders = ellipse(window.x, window.y - 2.05, 1.35, 0.92)
    collar = ellipse(window.x, window.y - 1.05, neck_half_width + 0.06, 0.27)
    light = window.x * face.light_x * 0.6 + (1.1 - 0.15 * window.y)
    cloth = torch.minimum(shoulders, -collar)
    window.paint(window.cover(cloth), face.cloth_colour, light)


@only_on(lambda face: face["occluded"] > 0)
def draw_occluder(canvas: Canvas) -> None:
    """An occluder in front of the face, in few pictures: a strap of cloth, or fingers of a hand."""
    face = canvas.face
    window = canvas.window(side=2.0, top=-2.0, bottom=2.0, surface="head", slide=0.0)
    x, y = window.x - face.occluder_x, window.y - face.occluder_y
    sine, cosine = face.occluder_slant.sin(), face.occluder_slant.cos()
    across, along = x * cosine + y * sine, x * sine - y * cosine
    strap = (across / face.occluder_width).square_()
    # Four fingers, the middle ones longer, with round tips.
    finger = (across * (1 / FINGER_WIDTH)).floor_().clamp_(-2, 1).add_(0.5)
    beside = across.sub_(finger * FINGER_WIDTH).square_()
    beyond = finger.square_().mul_(0.06).add_(along).clamp_(min=0).square_()
    fingers = beside.add_(beyond).mul_((2 / FINGER_WIDTH) ** 2)
    is_hand = face.occluder_hand > 0
    inside = torch.where(is_hand, fingers, strap)
    half_width = torch.where(is_hand, FINGER_WIDTH / 2, face.occluder_width)
    light = 1.05 - 0.35 * inside.clamp(max=1)
    coverage = window.cover((1 - inside).mul_(half_width / 2))
    window.paint(coverage.mul_(face.occluded), face.occluder_colour, light)
