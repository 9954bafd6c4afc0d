"""Painters of hair: behind the head, on top of it, on the jaw, the chin and the upper lip."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor

from eacbook.synthetic.canvas import TURN, Canvas, Window, between, crease, ellipse, only_on, ripple
from eacbook.synthetic.shapes import head_rim, mouth_shape

LONGEST_SHORT_HAIR = 0.5  # shorter hair is not visible behind the head


@only_on(lambda face: (face["hair_length"] > LONGEST_SHORT_HAIR) & (face["hair_volume"] > 0))
def draw_hair_back(canvas: Canvas) -> None:
    """The part of long hair that is visible behind head and neck."""
    face = canvas.face
    window = hair_window(canvas, "hair_length")
    rim = hair_outline(window, face, face.hair_length).mul_(-0.5).add_(0.5)
    rim.addcmul_(strands(window, face), face.hair_curl)
    is_long = (face.hair_length > LONGEST_SHORT_HAIR) & (face.hair_volume > 0)
    coverage = window.cover(rim).mul_(is_long.float())
    light = (window.y.clamp(0, 1) * -0.16).add_(0.92).addcmul_(window.x, face.light_x * 0.6)
    window.paint(coverage, face.hair_colour, light)


@only_on(lambda face: face["hair_bun"] > 0)
def draw_bun(canvas: Canvas) -> None:
    face = canvas.face
    window = canvas.window(side=0.3, top=-1.42, bottom=-0.8, surface="head", slide=0.0)
    bun = window.cover(ellipse(window.x, window.y + 1.12, face.hair_bun, face.hair_bun))
    light = (window.x * (face.light_x * 0.6)).add_(0.92)
    window.paint(bun.mul_((face.hair_bun > 0).float()), face.hair_colour, light)


@only_on(lambda face: face["hair_volume"] > 0)
def draw_hair(canvas: Canvas) -> None:
    """The hair on top of the head: everything outside an opening for the face."""
    face = canvas.face
    window = hair_window(canvas, "hair_sides")
    outer = hair_outline(window, face, face.hair_sides)
    wave = strands(window, face)
    rim = (outer * -0.5).add_(0.5).addcmul_(wave, face.hair_curl)
    # The opening is a rounded arch whose crown leans away from the parting.
    parting = face.parting * face.hair_parted
    arch_x = (window.x - 0.22 * parting).mul_(1 / (face.head_width - 0.01)).square_()
    arch_x.mul_((arch_x - 1).mul_(face.hair_flatness).add_(1))
    arch_y = (window.y - 0.1).addcmul_(window.x, 0.12 * parting).clamp_(max=0)
    arch_y = arch_y.mul_(1 / (0.1 - face.hair_hairline)).square_()
    outside_of_opening = arch_x.add_(arch_y).sub_(1).mul_(0.4)
    coverage = window.cover(torch.minimum(rim, outside_of_opening, out=rim))
    coverage.mul_((face.hair_volume > 0).float())
    light = crease(outer.sub_(0.72), 0.3).mul_(0.25).add_(0.98)
    light.add_(window.y.clamp(0, 1), alpha=-0.12).addcmul_(window.x, face.light_x)
    light.addcmul_(wave, 0.035 + face.hair_curl * 1.5)
    window.paint(coverage, face.hair_colour, light)


def hair_window(canvas: Canvas, reach: str) -> Window:
    """The window of the hair of these faces. It goes down to the value of the trait ``reach``."""
    traits = canvas.numbers
    swell = 1.03 + traits["hair_curl"].max()
    return canvas.window(
        side=float((traits["head_width"] + traits["hair_volume"]).max() * swell),
        top=-float((1 + traits["hair_volume"]).max() * swell),
        bottom=float(traits[reach].max() * swell) + 0.05,
        surface="head",
        slide=0.0,
    )


def hair_outline(window: Window, face: SimpleNamespace, length: Tensor) -> Tensor:
    """``r^2``, where r is 1 on the rim of the hair: half an oval above, and a longer one below."""
    above = window.y.clamp(max=0).mul_(1 / (1 + face.hair_volume))
    below = window.y.clamp(min=0).mul_(1 / length)
    across = window.x * (1 / (face.head_width + face.hair_volume))
    return across.square_().add_(above.add_(below).square_())


def strands(window: Window, face: SimpleNamespace) -> Tensor:
    """Light and dark in the hair, -1..1, the same on both sides: strands or curls."""
    curliness = (face.hair_curl * 20).clamp(max=1)
    waves = face.curl_scale / (2 * torch.pi)
    along_x = ripple(window.x * (waves * (2.2 - 1.2 * curliness)))
    return along_x.mul_(ripple(window.y * (waves * curliness)))


@only_on(lambda face: face["beard"] > 0)
def draw_beard(canvas: Canvas) -> None:
    """A short or a full beard on jaw and chin."""
    face, mouth = canvas.face, mouth_shape(canvas.face)
    window = canvas.window(side=0.95, top=-0.35, bottom=1.25, surface="head", slide=0.08)
    thick = 1 - 0.035 * face.beard
    jaw = head_rim(window.x * thick, window.y * thick, face).mul_(face.head_width / 2)
    top = face.mouth_height + 0.02 - window.x.square().mul_(0.6)
    # There is no beard on the lips.
    half_gap = mouth.gap_below / 2
    x, y = window.x - face.yaw * TURN, window.y - face.mouth_height - half_gap
    room = ellipse(x, y, mouth.half_width + 0.02, half_gap + mouth.lower_lip + 0.05)
    softly = torch.minimum(window.y - top, room.neg_()).mul_(9).add_(0.3).clamp_(0, 1)
    window.paint(window.cover(jaw).mul_(softly).mul_(face.beard), face.brow_colour)


@only_on(lambda face: face["moustache"] > 0)
def draw_moustache(canvas: Canvas) -> None:
    """A moustache above the upper lip; it moves with the lip."""
    face, mouth = canvas.face, mouth_shape(canvas.face)
    window = canvas.window(side=0.5, top=0.15, bottom=0.75)
    across = (window.x * (1 / (mouth.half_width * 1.02))).square_()
    lip = face.mouth_height + mouth.middle - mouth.gap_above - mouth.upper_lip * 0.9
    y = window.y - lip + window.x * face.mouth_tilt - across * (mouth.corner + 0.06)
    hair = between(y, (across - 1).mul_(0.085), across.mul_(-0.025).add_(0.005))
    hair = hair.minimum(mouth.half_width - window.x.abs())
    window.paint(window.cover(hair).mul_(face.moustache), face.brow_colour)
