"""Painters of the skin: first light and shade in the canvas's relief, then the head.

Action units also change the skin between the parts of a face: furrows, pouches, folds and dimples.
These are painted here.
"""

from __future__ import annotations

from eacbook.synthetic.canvas import TURN, Canvas, crease, ellipse, glow, only_on, ripple
from eacbook.synthetic.shapes import NOSE_TURN, head_rim, mouth_shape, nose_shape, nose_x

SHADOW_TINT = (0.80, 1.04, 1.12)  # a shadow on skin is redder than the skin
BLUSH = (0.93, 0.38, 0.36)
GOLD = (0.93, 0.74, 0.32)
EAR_TURN = 0.06  # ears are behind the axis of the head: they move in the other direction in a turn


def draw_ears(canvas: Canvas) -> None:
    face = canvas.face
    window = canvas.window(side=1.05, top=-0.3, bottom=0.45, surface="head", slide=0.0)
    x = (window.x + face.yaw * EAR_TURN).abs().sub_(face.head_width * 0.97)
    y = window.y - 0.05
    window.paint(window.cover(ellipse(x, y, face.ear_size * 0.75, face.ear_size * 1.3)),
                 face.skin_colour * 0.93)  # fmt: skip
    window.paint(glow(x - 0.02, y, face.ear_size * 0.5, face.ear_size) * 0.5,
                 face.skin_colour * 0.62)  # fmt: skip


@only_on(lambda face: face["earring"] > 0)
def draw_earrings(canvas: Canvas) -> None:
    face = canvas.face
    window = canvas.window(side=1.05, top=0.15, bottom=0.42, surface="head", slide=0.0)
    x = (window.x + face.yaw * EAR_TURN).abs().sub_(face.head_width * 0.97 + 0.02)
    ring = ellipse(x, window.y - 0.07 - face.ear_size * 1.3, 0.045, 0.045)
    window.paint(window.cover(ring).mul_(face.earring), GOLD)


def shade_forehead(canvas: Canvas) -> None:
    """Furrows: across the forehead for raised brows (1, 2), upright between lowered brows (4)."""
    face, unit = canvas.face, canvas.face.unit
    window = canvas.window(side=0.5, top=-0.85, bottom=-0.1)
    across = ripple((window.y + 0.64).mul_(1 / 0.13)).clamp_(min=-0.25)
    across.mul_(glow(window.x, window.y + 0.62, 0.25 + 0.23 * unit[2], 0.18))
    window.relief.sub_(across.mul_(0.22 * unit[1].maximum(unit[2]) + 0.15 * face.wrinkles))
    bowed = (window.y + 0.28 - 0.06 * unit[4]).square_().mul_(1.5).add_(0.05)
    furrow = crease(window.x.abs().sub_(bowed), 0.032)
    furrow.mul_(crease(window.y + 0.28 - 0.06 * unit[4], 0.15))
    window.relief.sub_(furrow.mul_(0.32 * unit[4]))


def shade_eyes(canvas: Canvas) -> None:
    """Eye sockets under the brows, and pouches and crow's feet from raised cheeks (6)."""
    face, unit = canvas.face, canvas.face.unit
    window = canvas.window(side=0.76, top=-0.42, bottom=0.3)
    x = window.x.abs().sub_(face.eye_distance)
    window.relief.sub_(glow(x, window.y + 0.2, 0.30, 0.21).mul_(0.13 + 0.08 * unit[4]))
    pouch = crease(window.y - 0.10 + (x * x) * 1.2 + 0.03 * unit[6], 0.04)
    pouch.mul_(crease(x, 0.24))
    window.relief.sub_(pouch.mul_(0.05 + 0.26 * unit[6] + 0.10 * unit[7] + 0.3 * face.wrinkles))
    outside = x.sub_(face.eye_width + 0.05)
    fan = (window.y + 0.03).abs_().sub_((outside * 0.55).add_(0.025))
    feet = crease(fan, 0.022).mul_(crease(outside - 0.06, 0.085))
    window.relief.sub_(feet.mul_(0.30 * unit[6] + 0.25 * face.wrinkles))


def shade_cheeks(canvas: Canvas) -> None:
    """Round cheeks, higher and lighter with units 6 and 12, and the fold from nose to mouth."""
    face, unit = canvas.face, canvas.face.unit
    window = canvas.window(side=0.8, top=-0.05, bottom=0.98)
    x = window.x.abs()
    lift = 0.09 * unit[6] + 0.07 * unit[12]
    ball = glow(x - 0.42, window.y - 0.30 + lift, 0.27, 0.23)
    window.relief.add_(ball.mul_(0.05 + 0.11 * unit[6] + 0.07 * unit[12]))
    hollow = glow(x - 0.58, window.y - 0.52, 0.22, 0.3)
    window.relief.sub_(hollow.mul_(0.06))
    # The fold begins at the wing of the nose and ends outside the corner of the mouth.
    nose, mouth = nose_shape(face), mouth_shape(face)
    start, end = nose.base - 0.05 - nose.lift, face.mouth_height + mouth.corner + 0.08
    along = (window.y - start).div_(end - start)
    first, last = nose.half_width + 0.05, mouth.half_width + 0.10
    along.clamp_(-0.2, 1.1)
    bulge = (1 - along).mul_(along).mul_(0.14)
    course = (along * (last - first)).add_(first).add_(bulge)
    fold = crease(x.sub_(course), 0.045).mul_(crease(along.sub_(0.45), 0.6).square_())
    depth = 0.03 + 0.24 * unit[10] + 0.14 * unit[9] + 0.17 * unit[12] + 0.30 * face.wrinkles
    window.relief.sub_(fold.mul_(depth))


def shade_nose(canvas: Canvas) -> None:
    """The bridge of the nose and its shadow, the round tip, and wrinkles (9)."""
    face, unit, nose = canvas.face, canvas.face.unit, nose_shape(canvas.face)
    window = canvas.window(side=0.42, top=-0.4, bottom=0.52, slide=TURN + NOSE_TURN)
    x = nose_x(window, face)
    window.relief.add_(glow(x, window.y + 0.02, 0.075, 0.32).mul_(0.10))
    side = glow(x + face.light_x * 0.55, window.y - nose.base + 0.13, 0.16, 0.28)
    window.relief.sub_(side.mul_(face.light_x.abs() * 0.7))
    window.relief.add_(glow(x, window.y - nose.base + 0.06, 0.085, 0.085).mul_(0.14))
    window.relief.sub_(glow(x, window.y - nose.base - 0.06, nose.half_width + 0.06, 0.09) * 0.22)
    slanted = x.abs().mul_(0.6).add_(window.y)
    wrinkles = ripple(slanted * (1 / 0.13)).clamp_(min=0)
    wrinkles.mul_(glow(x, slanted, 0.16, 0.16))
    window.relief.sub_(wrinkles.mul_(0.62 * unit[9]))


def shade_chin(canvas: Canvas) -> None:
    """The hollow under the lip, and the round chin. Unit 17 raises the chin and adds a dimple."""
    face, unit, mouth = canvas.face, canvas.face.unit, mouth_shape(canvas.face)
    window = canvas.window(side=0.42, top=0.42, bottom=1.25)
    lip = face.mouth_height + mouth.middle + mouth.gap_below + mouth.lower_lip
    hollow = glow(window.x, window.y - lip - 0.05, 0.2, 0.06)
    window.relief.sub_(hollow.mul_(0.14 + 0.2 * unit[17] + 0.2 * unit[24]))
    boss = 0.82 - 0.04 * unit[17] + 0.11 * unit[26]
    window.relief.add_(glow(window.x, window.y - boss, 0.17, 0.13) * (0.05 + 0.14 * unit[17]))
    arc = window.x.square().mul_(2.2).add_(window.y).sub_(boss - 0.115)
    window.relief.sub_(crease(arc, 0.035).mul_(crease(window.x, 0.2)) * (0.4 * unit[17]))


def draw_head(canvas: Canvas) -> None:
    """The skin of the head with its light and shade, and red cheeks."""
    face, unit = canvas.face, canvas.face.unit
    window = canvas.window(side=0.9, top=-1.05, bottom=1.2, surface="head", slide=0.0)
    rim = head_rim(window.x, window.y, face)
    # Skin turns away from the viewer towards the rim and gets darker.
    relief = window.relief.sub_((1 - rim).square_().clamp_(max=1).mul_(0.13))
    coverage = window.cover(rim.mul_(face.head_width / 2))
    for paint, skin, tint in zip(window.colour, face.skin_colour, SHADOW_TINT, strict=True):
        paint.lerp_((relief * tint).add_(1).mul_(skin), coverage)

    cheeks = canvas.window(side=0.75, top=-0.1, bottom=0.75)
    x = cheeks.x.abs().sub_(0.44)
    blush = glow(x, cheeks.y - 0.27 + 0.08 * unit[6], 0.25, 0.22).mul_(0.20 + 0.10 * unit[12])
    cheeks.paint(blush, face.skin_colour.lerp(canvas.colour.new_tensor(BLUSH)[:, None], 0.5))


@only_on(lambda face: face["freckles"] > 0)
def draw_freckles(canvas: Canvas) -> None:
    face = canvas.face
    window = canvas.window(side=0.71, top=0.02, bottom=0.38)
    x, y = window.x.abs().sub_(0.44), window.y
    dots = ripple(x * 7.2 + y * 2.9).mul_(ripple(y * 7.5 - x * 2.5))
    dots.sub_(0.45).mul_(3).clamp_(0, 1).mul_(crease(x, 0.26)).mul_(crease(y - 0.2, 0.17))
    window.paint(dots.mul_(face.freckles * 0.55), face.skin_colour * 0.62)


@only_on(lambda face: face["mole"] > 0)
def draw_mole(canvas: Canvas) -> None:
    face = canvas.face
    window = canvas.window(side=0.53, top=0.05, bottom=0.75)
    mole = ellipse(window.x - face.mole_x, window.y - face.mole_y, 0.026, 0.026)
    window.paint(window.cover(mole).mul_(face.mole), face.skin_colour * 0.4)
