"""Portraits of people who never lived, drawn in batches by tensor code on any device.

They teach how a network memorises wrong labels, with nothing to download and no photograph of
anyone. A face is a person, an expression made of facial action units, a pose and a light (see
:mod:`eacbook.face_traits`); every line below turns those numbers into paint, back to front. The
edge of a shape is antialiased by its signed distance: coverage = clamp(distance / pixel + 1/2).

Lengths are in face units (half the head's height is 1, x to the viewer's right, y down). Faces lie
along the *last* axis while they are drawn, so that a trait ``[n]`` meets a picture ``[h, w, n]``
without reshaping. Both sides of a face are drawn at once, in ``|x|``, so that an expression is the
same on both: what differs between left and right is person, pose, light and hair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor

from eacbook.face_traits import (
    ACTION_UNITS,
    CLASSES,
    EXPRESSIONS,
    LATERAL_TRAITS,
    PERSON_RANGES,
    sample_traits,
)

__all__ = [
    "ACTION_UNITS", "CLASSES", "EXPRESSIONS", "LATERAL_TRAITS", "REGIONS",
    "DrawnFaces", "draw_face_set", "draw_faces", "render", "render_region_masks",
]  # fmt: skip

REGIONS = ("brows", "eyes", "nose", "mouth")
SMALLEST_SIZE, LARGEST_SIZE = 48, 224

PIXELS_PER_CHUNK = 128 * 64 * 64  # keeps the working set of a chunk near the processor's cache
UNIT_IN_PICTURE = 0.46  # half the head's height, in widths of the picture
HEAD_CENTRE = 0.50  # of the picture's height
TURN = 0.15  # how far the middle of the face slides over the head when it turns fully
NOSE_TURN = 0.05  # and how much further the nose, which stands out, slides
NOISE_POOL = 1 << 18  # camera noise is cut out of one long strip, at a place of the face's own
NARROWEST_HEAD = PERSON_RANGES["head_width"][0]
FINGER_WIDTH = 0.17  # of a hand before the face
MASK_MARGIN = 0.05  # by which a region is larger than what is drawn in it

SHADOW_TINT = (0.80, 1.04, 1.12)  # a shadow on skin is redder than the skin
BLUSH = (0.93, 0.38, 0.36)
MOUTH_INSIDE = (0.30, 0.07, 0.09)
TONGUE = (0.80, 0.36, 0.37)
WHITE = (0.98, 0.97, 0.95)
INK = (0.13, 0.08, 0.08)
GOLD = (0.93, 0.74, 0.32)


@dataclass(frozen=True)
class DrawnFaces:
    """Drawn faces and everything that is known about them; N faces of S x S pixels.

    Attributes:
        images: uint8 ``[N, 3, S, S]``.
        labels: int64 ``[N]``, positions in :data:`CLASSES`.
        action_units: float32 ``[N, A]`` in 0..1, columns in the order of :data:`ACTION_UNITS`.
        intensity: float32 ``[N]`` in 0..1, how strongly the expression is shown.
        identity: int64 ``[N]``, the number of the person.
        traits: the numbers from which the faces are drawn, tensors with N rows on the CPU; see
            :func:`eacbook.face_traits.sample_traits`.
    """

    images: Tensor
    labels: Tensor
    action_units: Tensor
    intensity: Tensor
    identity: Tensor
    traits: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> DrawnFaces:
        """The faces at ``index`` (int64 ``[n]``), in that order."""
        return DrawnFaces(
            self.images[index],
            self.labels[index],
            self.action_units[index],
            self.intensity[index],
            self.identity[index],
            {name: value[index] for name, value in self.traits.items()},
        )

    def region_masks(self, index: Tensor | Sequence[int] | slice | None = None) -> Tensor:
        """Where brows, eyes, nose and mouth are in the pictures, a little generously.

        Args:
            index: the faces, as one would index a tensor; None for all.

        Returns:
            bool ``[n, 4, S, S]`` on the device of the images, regions in the order of
            :data:`REGIONS`. They follow pose and action units; an occluder does not cut them.
        """
        index = slice(None) if index is None else index
        chosen = {name: value[index] for name, value in self.traits.items()}
        return render_region_masks(chosen, self.images.shape[-1], self.images.device)


def draw_face_set(
    count: int,
    *,
    identities: range,
    size: int = 64,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> DrawnFaces:
    """Draw ``count`` faces of the persons ``identities``, the seven classes equally often.

    Args:
        count: number of faces; class counts differ by one at most.
        identities: numbers of the persons; disjoint ranges are different people.
        size: side of the pictures in pixels.
        seed: fixes labels, persons, expressions, poses, light and noise.
        device: where the faces are drawn and the images stay.

    Raises:
        ValueError: if there is nothing to draw, nobody to draw, or the size is out of range.
    """
    if count < 1 or len(identities) < 1:
        raise ValueError(
            f"expected at least one face of at least one person, found count={count} and "
            f"{len(identities)} identities"
        )
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randperm(count, generator=generator) % len(CLASSES)
    chosen = torch.randint(len(identities), (count,), generator=generator)
    persons = torch.tensor(identities)[chosen]
    return draw_faces(labels, persons, size=size, seed=seed, device=device)


def draw_faces(
    labels: Tensor | Sequence[int],
    identities: Tensor | Sequence[int],
    *,
    size: int = 64,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> DrawnFaces:
    """Draw one face per entry; the caller fixes the class and the person.

    The first k faces do not depend on the entries after them, and a person's number means the same
    person in every call and with every seed.

    Args:
        labels: positions in :data:`CLASSES`, ``[N]``.
        identities: numbers of the persons, ``[N]``, 0 or larger.
        size: side of the pictures in pixels, 48 to 224.
        seed: fixes expressions, poses, light and noise.
        device: where the faces are drawn and the images stay. All random numbers come from the CPU,
            so that the device changes no more than the rounding.

    Raises:
        ValueError: if the lengths differ or are 0, or a label, identity or size is out of range.
    """
    labels = torch.as_tensor(labels, dtype=torch.int64, device="cpu")
    identities = torch.as_tensor(identities, dtype=torch.int64, device="cpu")
    if labels.ndim != 1 or labels.shape != identities.shape or len(labels) == 0:
        raise ValueError(
            "expected labels and identities of the same length, at least 1, found shapes "
            f"{tuple(labels.shape)} and {tuple(identities.shape)}"
        )
    if labels.min() < 0 or labels.max() >= len(CLASSES):
        raise ValueError(
            f"expected labels from 0 to {len(CLASSES) - 1}, found {labels.min()} to {labels.max()}"
        )
    if identities.min() < 0:
        raise ValueError(f"expected identities of at least 0, found {identities.min()}")
    traits = sample_traits(labels, identities, seed)
    return DrawnFaces(
        images=render(traits, size, device, seed),
        labels=labels,
        action_units=traits["action_units"],
        intensity=traits["intensity"],
        identity=identities,
        traits=traits,
    )


def render(
    traits: dict[str, Tensor], size: int, device: str | torch.device = "cpu", seed: int = 0
) -> Tensor:
    """Pictures uint8 ``[N, 3, size, size]`` of the faces with these traits; ``seed``: the noise."""
    if not SMALLEST_SIZE <= size <= LARGEST_SIZE:
        raise ValueError(f"expected a size of {SMALLEST_SIZE} to {LARGEST_SIZE}, found {size}")
    count = len(traits["intensity"])
    images = torch.empty(count, 3, size, size, dtype=torch.uint8, device=device)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(NOISE_POOL + size * size, generator=generator).to(device)
    # The images are made outside the inference mode, so that they are ordinary tensors.
    with torch.inference_mode():
        for faces in chunks(count, size):
            canvas = Canvas({name: value[faces] for name, value in traits.items()}, size, device)
            for draw in PAINTING_ORDER:
                draw(canvas)
            add_camera_noise(canvas, noise)
            levels = canvas.colour.mul_(255).add_(0.5).clamp_(0, 255).byte()
            images[faces] = levels.permute(3, 0, 1, 2)
    return images


def render_region_masks(
    traits: dict[str, Tensor], size: int, device: str | torch.device = "cpu"
) -> Tensor:
    """Regions bool ``[N, 4, size, size]`` of the faces with these traits."""
    count = len(traits["intensity"])
    masks = torch.zeros(count, len(REGIONS), size, size, dtype=torch.bool, device=device)
    with torch.inference_mode():
        for faces in chunks(count, size):
            canvas = Canvas({name: value[faces] for name, value in traits.items()}, size, device)
            window = canvas.window(side=2.0, top=-2.0, bottom=2.0)
            distances = [distance(canvas.face, window) for distance in REGION_DISTANCES]
            masks[faces] = (torch.stack(distances) > -MASK_MARGIN).permute(3, 0, 1, 2)
    return masks


def chunks(count: int, size: int) -> list[slice]:
    """Slices that cut ``count`` pictures into equal shares of memory."""
    step = max(1, PIXELS_PER_CHUNK // size**2)
    return [slice(start, start + step) for start in range(0, count, step)]


# ------------------------------------------------------------------------------------ the canvas


class Canvas:
    """A chunk of n pictures while they are painted.

    Attributes:
        face: the traits as attributes, ``[n]`` or, for colours, ``[3, n]``; ``face.unit[number]``
            ``[n]`` is an action unit.
        colour: the paint, float32 ``[3, S, S, n]`` in 0..1.
        relief: light and shade on the skin, ``[S, S, n]``, 0 where it has its own colour.
        upright: coordinates ``(x, y)`` of body and background, which do not tilt.
        head: the same for the tilted head.
        skin: the same for what slides over the head as it turns.
    """

    def __init__(self, traits: dict[str, Tensor], size: int, device: str | torch.device):
        face = {name: value.t().contiguous().to(device) for name, value in traits.items()}
        face["unit"] = dict(zip(ACTION_UNITS, face["action_units"], strict=True))
        self.face = SimpleNamespace(**face)
        self.size = size
        self.pose = SimpleNamespace(  # on the CPU, where the windows are computed
            **{name: traits[name] for name in ("roll", "yaw", "shift_x", "shift_y", "scale")}
        )
        self.colour = torch.empty(3, size, size, face["roll"].shape[0], device=device)
        self.unit_pixels = UNIT_IN_PICTURE * size * self.face.scale

        place = (torch.arange(size, device=device) + 0.5)[:, None] / size
        width_in_units = 1 / (UNIT_IN_PICTURE * self.face.scale)
        x = ((place - 0.5 - self.face.shift_x) * width_in_units)[None]
        y = ((place - HEAD_CENTRE - self.face.shift_y) * width_in_units)[:, None]
        self.upright = (x, y)
        cosine, sine = self.face.roll.cos(), self.face.roll.sin()
        head_x, head_y = x * cosine + y * sine, y * cosine - x * sine
        self.head = (head_x, head_y)
        # A turned face is a bulging sheet that slides over the head: most in the middle, not at
        # the rim, so that the far half is foreshortened. The person's own asymmetry bends it too.
        bend = self.face.yaw * (TURN / self.face.head_width**2) + self.face.lateral_warp
        skin_x = head_x.square().mul_(bend).add_(head_x).sub_(self.face.yaw * TURN)
        self.skin = (skin_x, head_y)
        self.relief = head_x * (self.face.light_x / 0.8) + (head_y * self.face.light_y)

    def window(
        self, side: float, top: float, bottom: float, surface: str = "skin", slide: float = TURN
    ) -> Window:
        """The pixels that the box |x| <= side, top <= y <= bottom of any face can touch."""
        pose = self.pose
        unit = UNIT_IN_PICTURE * self.size * pose.scale
        cosine, sine = (pose.roll.cos(), pose.roll.sin()) if surface != "upright" else (1.0, 0.0)
        # A turn moves the middle of the box by yaw * slide, and its rim by less.
        slide_of_rim = slide * max(0.0, 1 - (side / NARROWEST_HEAD) ** 2)
        middle_x, middle_y = pose.yaw * (slide + slide_of_rim) / 2, (top + bottom) / 2
        half_width = side + 0.04 + pose.yaw.abs() * (slide - slide_of_rim) / 2
        half_height = (bottom - top) / 2
        spans = []
        for centre, along, extent in (
            (HEAD_CENTRE + pose.shift_y, middle_x * sine + middle_y * cosine,
             half_width * abs(sine) + half_height * cosine),
            (0.5 + pose.shift_x, middle_x * cosine - middle_y * sine,
             half_width * cosine + half_height * abs(sine)),
        ):  # fmt: skip
            centre = centre * self.size + unit * along
            first = int((centre - unit * extent).min())
            last = int((centre + unit * extent).max()) + 1
            spans.append(slice(max(first, 0), max(min(last, self.size), 0)))
        rows, columns = spans
        x, y = getattr(self, surface)
        if surface == "upright":
            x, y = x[:, columns], y[rows]
        else:
            x, y = x[rows, columns], y[rows, columns]
        return Window(
            x, y, self.unit_pixels, self.colour[:, rows, columns], self.relief[rows, columns]
        )


class Window(NamedTuple):
    """A part of the canvas: coordinates ``[h, w, n]``, pixels to a face unit ``[n]``, and paint."""

    x: Tensor
    y: Tensor
    unit_pixels: Tensor
    colour: Tensor
    relief: Tensor

    def cover(self, distance: Tensor) -> Tensor:
        """Coverage 0..1 of the pixels at a signed distance (face units, positive inside)."""
        return (distance * self.unit_pixels).add_(0.5).clamp_(0, 1)

    def paint(self, coverage: Tensor, colour: Tensor | tuple[float, ...]) -> None:
        """Lay a colour, ``[3, n]`` or red, green and blue, over the paint."""
        if isinstance(colour, tuple):
            colour = torch.tensor(colour, device=coverage.device)[:, None]
        if colour.ndim == 2:
            colour = colour[:, None, None]
        self.colour.lerp_(colour, coverage)


# ------------------------------------------------------------------------------ a few primitives


def ellipse(x: Tensor, y: Tensor, half_width, half_height) -> Tensor:
    """Signed distance (to first order, at the rim) to an ellipse around the origin."""
    mean_radius = half_width * half_height / (half_width + half_height)
    inside = (x * (1 / half_width)).square_() + (y * (1 / half_height)).square_()
    return (1 - inside).mul_(mean_radius)


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


# ---------------------------------------------------------- what the action units do to the parts


class BrowShape(NamedTuple):
    """Both brows, in |x|: middle and half length, and heights at inner end, middle, outer end."""

    centre: Tensor
    half_length: Tensor
    inner: Tensor
    middle: Tensor
    outer: Tensor

    def curve(self, along: Tensor) -> Tensor:
        """The parabola through the three heights; ``along`` runs from -1, inner, to 1, outer."""
        slope, bend = (self.outer - self.inner) / 2, (self.outer + self.inner) / 2 - self.middle
        return (along * bend).add_(slope).mul_(along).add_(self.middle)


def brow_shape(face: SimpleNamespace) -> BrowShape:
    """Units 1 and 2 raise inner and outer end, 4 lowers and draws together, 9 lowers a little."""
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
    """Both eyes, in |x|: centre, half width, and how far the lids open up- and downwards."""

    centre: Tensor
    half_width: Tensor
    above: Tensor
    below: Tensor
    slant: Tensor


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


def nose_shape(face: SimpleNamespace) -> NoseShape:
    """Unit 9 makes the nose shorter and its wings wider and higher; 10 does so a little."""
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


def mouth_shape(face: SimpleNamespace) -> MouthShape:
    """Units 10 to 26: lips and jaw."""
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
    """``1 - r^2`` where r is 1 on the outline of the head: a squarish oval that narrows to the jaw.

    The jaw drop (26) makes the lower half longer.
    """
    lower = y.clamp(min=0)
    width = (lower * (-face.jaw_taper)).add_(1).mul_(face.head_width)
    across = (x / width).square_()
    length = face.chin_length + 0.11 * face.unit[26] - 0.02 * face.unit[17]
    # Squircle: x^2 + y^2 - s x^2 y^2 = 1, in the lower half alone.
    along = (lower / length).square_()
    corner = (across * along).mul_(face.jaw_squareness)
    along.add_(y.clamp(max=0).square_())
    return corner.sub_(across).sub_(along).add_(1)


# -------------------------------------------------------------------------- painting, back to front


def draw_background(canvas: Canvas) -> None:
    face, (x, y) = canvas.face, canvas.upright
    gradient = (x * face.background_x + y * face.background_y + 0.5).clamp_(0, 1)
    top, bottom = face.background_top[:, None, None], face.background_bottom[:, None, None]
    torch.addcmul(top, gradient, (bottom - top) * 0.75, out=canvas.colour)


def draw_body(canvas: Canvas) -> None:
    """Neck and shoulders, upright under the tilted head."""
    face = canvas.face
    window = canvas.window(side=1.6, top=0.5, bottom=1.8, surface="upright", slide=0.0)
    neck_half_width = 0.40 + 0.3 * (face.head_width - 0.71)
    widening = (window.y - 1.0).square() * 0.25
    neck = (window.x.abs() - widening).sub_(neck_half_width).neg_()
    shade = 0.70 - 0.25 * (1.12 - window.y).clamp(0, 0.5)
    window.paint(window.cover(neck), face.skin_colour[:, None, None] * shade)
    shoulders = ellipse(window.x, window.y - 2.05, 1.35, 0.92)
    collar = ellipse(window.x, window.y - 1.05, neck_half_width + 0.06, 0.27)
    light = window.x * face.light_x * 0.6 + (1.1 - 0.15 * window.y)
    cloth = torch.minimum(shoulders, -collar)
    window.paint(window.cover(cloth), face.cloth_colour[:, None, None] * light)


def draw_hair_back(canvas: Canvas) -> None:
    """What is seen of the hair behind head and neck, and the bun on top."""
    face = canvas.face
    window = canvas.window(side=1.35, top=-1.6, bottom=1.5, surface="head", slide=0.0)
    rim = 0.5 - 0.5 * hair_outline(window, face, face.hair_length)
    rim += face.hair_curl * strands(window, face)
    coverage = window.cover(rim)
    coverage *= (face.hair_volume > 0).float()
    bun = window.cover(ellipse(window.x, window.y + 1.12, face.hair_bun, face.hair_bun))
    coverage = torch.maximum(coverage, bun.mul_((face.hair_bun > 0).float()))
    light = (0.92 - 0.16 * window.y.clamp(0, 1)).add_(window.x * (face.light_x * 0.6))
    window.paint(coverage, face.hair_colour[:, None, None] * light)


def hair_outline(window: Window, face: SimpleNamespace, length: Tensor) -> Tensor:
    """``r^2`` where r is 1 on the rim of the hair: half an oval above, another, longer, below."""
    above = window.y.clamp(max=0).mul_(1 / (1 + face.hair_volume))
    below = window.y.clamp(min=0).mul_(1 / length)
    across = window.x * (1 / (face.head_width + face.hair_volume))
    return across.square_().add_(above.add_(below).square_())


def strands(window: Window, face: SimpleNamespace) -> Tensor:
    """Light and dark in the hair, -1..1, the same on both sides: strands, or bumps of curls."""
    curliness = (face.hair_curl * 20).clamp(max=1)
    along_x = (window.x * (face.curl_scale * (2.2 - 1.2 * curliness))).cos_()
    return along_x.mul_((window.y * (face.curl_scale * curliness)).cos_())


def draw_ears(canvas: Canvas) -> None:
    face = canvas.face
    window = canvas.window(side=1.05, top=-0.3, bottom=0.45, surface="head", slide=0.0)
    # Ears lie behind the axis of the head: they slide the other way when it turns.
    x = (window.x + face.yaw * 0.06).abs().sub_(face.head_width * 0.97)
    y = window.y - 0.05
    window.paint(window.cover(ellipse(x, y, face.ear_size * 0.75, face.ear_size * 1.3)),
                 face.skin_colour * 0.93)  # fmt: skip
    window.paint(glow(x - 0.02, y, face.ear_size * 0.5, face.ear_size) * 0.5,
                 face.skin_colour * 0.62)  # fmt: skip
    ring = ellipse(x - 0.02, y - face.ear_size * 1.3 - 0.02, 0.045, 0.045)
    window.paint(window.cover(ring).mul_(face.earring), GOLD)


def shade_forehead(canvas: Canvas) -> None:
    """Furrows: across the forehead where brows rise (1, 2), upright between knit brows (4)."""
    face, unit = canvas.face, canvas.face.unit
    window = canvas.window(side=0.5, top=-0.85, bottom=-0.1)
    across = (window.y + 0.64).mul_(2 * torch.pi / 0.13).cos_().clamp_(min=-0.25)
    across.mul_(glow(window.x, window.y + 0.62, 0.25 + 0.23 * unit[2], 0.18))
    window.relief.sub_(across.mul_(0.22 * torch.maximum(unit[1], unit[2]) + 0.15 * face.wrinkles))
    bowed = (window.y + 0.28 - 0.06 * unit[4]).square_().mul_(1.5).add_(0.05)
    furrow = crease(window.x.abs().sub_(bowed), 0.032)
    furrow.mul_(crease(window.y + 0.28 - 0.06 * unit[4], 0.15))
    window.relief.sub_(furrow.mul_(0.32 * unit[4]))


def shade_eyes(canvas: Canvas) -> None:
    """Sockets under the brows, and what raised cheeks (6) do: pouches and crow's feet."""
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
    """Round cheeks that rise and catch the light (6, 12), and the fold from nose to mouth."""
    face, unit = canvas.face, canvas.face.unit
    window = canvas.window(side=0.8, top=-0.05, bottom=0.98)
    x = window.x.abs()
    lift = 0.09 * unit[6] + 0.07 * unit[12]
    ball = glow(x - 0.42, window.y - 0.30 + lift, 0.27, 0.23)
    window.relief.add_(ball.mul_(0.05 + 0.11 * unit[6] + 0.07 * unit[12]))
    hollow = glow(x - 0.58, window.y - 0.52, 0.22, 0.3)
    window.relief.sub_(hollow.mul_(0.06))
    # The fold starts at the wing of the nose and passes outside the corner of the mouth.
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
    """The bridge and its shadow away from the light, the round tip, and wrinkles (9)."""
    face, unit, nose = canvas.face, canvas.face.unit, nose_shape(canvas.face)
    window = canvas.window(side=0.42, top=-0.4, bottom=0.52, slide=TURN + NOSE_TURN)
    x = nose_x(window, face)
    window.relief.add_(glow(x, window.y + 0.02, 0.075, 0.32).mul_(0.10))
    side = glow(x + face.light_x * 0.55, window.y - nose.base + 0.13, 0.16, 0.28)
    window.relief.sub_(side.mul_(face.light_x.abs() * 0.7))
    window.relief.add_(glow(x, window.y - nose.base + 0.06, 0.085, 0.085).mul_(0.14))
    window.relief.sub_(glow(x, window.y - nose.base - 0.06, nose.half_width + 0.06, 0.09) * 0.22)
    slanted = x.abs().mul_(0.6).add_(window.y)
    wrinkles = (slanted * (2 * torch.pi / 0.13)).cos_().clamp_(min=0)
    wrinkles.mul_(glow(x, slanted, 0.16, 0.16))
    window.relief.sub_(wrinkles.mul_(0.50 * unit[9]))


def nose_x(window: Window, face: SimpleNamespace) -> Tensor:
    """x for the nose, which slides further than the face and may be a little bent."""
    return window.x - (window.y * face.nose_bend).add_(face.yaw * NOSE_TURN)


def shade_chin(canvas: Canvas) -> None:
    """The hollow under the lip, and the chin boss that unit 17 pushes up and dimples."""
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
    """The skin with everything that was shaded on it, rosy cheeks, freckles and a mole."""
    face, unit = canvas.face, canvas.face.unit
    window = canvas.window(side=0.9, top=-1.05, bottom=1.2, surface="head", slide=0.0)
    rim = head_rim(window.x, window.y, face)
    # Skin turns away from the viewer towards the rim and gets darker.
    relief = window.relief.sub_((1 - rim).square_().clamp_(max=1).mul_(0.13))
    tint = torch.tensor(SHADOW_TINT, device=relief.device)[:, None] * face.skin_colour
    skin = torch.addcmul(face.skin_colour[:, None, None], relief, tint[:, None, None])
    window.paint(window.cover(rim.mul_(face.head_width / 2)), skin)

    cheeks = canvas.window(side=0.75, top=-0.1, bottom=0.75)
    x = cheeks.x.abs().sub_(0.44)
    blush = glow(x, cheeks.y - 0.27 + 0.08 * unit[6], 0.25, 0.22).mul_(0.20 + 0.10 * unit[12])
    cheeks.paint(blush, face.skin_colour.lerp(canvas.colour.new_tensor(BLUSH)[:, None], 0.5))
    dots = (x * 45 + cheeks.y * 18).cos_().mul_((cheeks.y * 47 - x * 16).cos_())
    dots.sub_(0.55).mul_(3).clamp_(0, 1).mul_(crease(x, 0.26)).mul_(crease(cheeks.y - 0.2, 0.17))
    cheeks.paint(dots.mul_(face.freckles * 0.55), face.skin_colour * 0.62)
    mole = ellipse(cheeks.x - face.mole_x, cheeks.y - face.mole_y, 0.026, 0.026)
    cheeks.paint(cheeks.cover(mole).mul_(face.mole), face.skin_colour * 0.4)


def draw_beard(canvas: Canvas) -> None:
    """Hair on jaw and chin, from a shadow to a full beard."""
    face, mouth = canvas.face, mouth_shape(canvas.face)
    window = canvas.window(side=0.95, top=-0.35, bottom=1.25, surface="head", slide=0.08)
    thick = 1 - 0.035 * face.beard
    jaw = head_rim(window.x * thick, window.y * thick, face).mul_(face.head_width / 2)
    top = face.mouth_height - 0.02 - window.x.square().mul_(0.95)
    # It leaves room for the lips.
    half_gap = mouth.gap_below / 2
    x, y = window.x - face.yaw * TURN, window.y - face.mouth_height - half_gap
    room = ellipse(x, y, mouth.half_width + 0.02, half_gap + mouth.lower_lip + 0.05)
    softly = torch.minimum(window.y - top, room.neg_()).mul_(12).add_(0.3).clamp_(0, 1)
    window.paint(window.cover(jaw).mul_(softly).mul_(face.beard), face.brow_colour)


def draw_hair(canvas: Canvas) -> None:
    """The hair on top of the head: everything outside an opening for the face."""
    face = canvas.face
    window = canvas.window(side=1.3, top=-1.5, bottom=1.4, surface="head", slide=0.0)
    outer = hair_outline(window, face, face.hair_sides)
    wave = strands(window, face)
    rim = (1 - outer).mul_(0.5).add_(wave * face.hair_curl)
    # The opening is a rounded arch whose crown leans away from the parting.
    parting = face.parting * face.hair_parted
    arch_x = (window.x - 0.22 * parting).mul_(1 / (face.head_width - 0.01)).square_()
    arch_x = arch_x.lerp(arch_x.square(), face.hair_flatness)
    arch_y = (window.y - 0.1 + 0.12 * parting * window.x).clamp_(max=0)
    arch_y = arch_y.mul_(1 / (0.1 - face.hair_hairline)).square_()
    opening = arch_x.add_(arch_y).neg_().add_(1).mul_(0.4)
    coverage = window.cover(torch.minimum(rim, -opening))
    coverage *= (face.hair_volume > 0).float()
    shine = crease(outer.sub_(0.72), 0.3).mul_(0.25).sub_(window.y.clamp(0, 1).mul_(0.12))
    shine.add_(window.x * (face.light_x * 1.0)).add_(wave.mul_(0.035 + face.hair_curl * 1.5)).add_(
        0.98
    )
    window.paint(coverage, face.hair_colour[:, None, None] * shine)


def draw_eyes(canvas: Canvas) -> None:
    face, eye = canvas.face, eye_shape(canvas.face)
    window = canvas.window(side=0.66, top=-0.36, bottom=0.22)
    x = window.x.abs().sub_(eye.centre)
    y = window.y + x * eye.slant
    arch = (x * (1 / eye.half_width)).square_().neg_().add_(1)
    upper, lower = arch * -eye.above, arch * eye.below
    opening = window.cover(between(y, upper, lower))
    shade = 1 - 0.22 * crease(y - upper, eye.above * 0.8)  # the upper lid's shadow
    window.paint(opening, face.white_colour[:, None, None] * shade)

    # Looking aside moves both eyes the same way: the offset has the sign of the side.
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

    # Lashes thicken outwards; the crease of the lid follows them at a distance.
    thickness = (arch + 0.25).clamp_(max=1).mul_(0.017 + 0.4 / window.unit_pixels)
    lashes = window.cover(thickness - (y - upper).abs_())
    window.paint(lashes.mul_(0.9), face.brow_colour.lerp(torch.zeros_like(face.brow_colour), 0.6))
    lid_line = window.cover(0.008 - (y - lower).abs_()).mul_(arch.clamp(0, 1))
    window.paint(lid_line.mul_(0.55), face.skin_colour * 0.45)
    fold = crease(y - upper.mul_(1.1).sub_(0.045), 0.025).mul_(arch.clamp_(0, 1))
    window.paint(fold.mul_(0.5), face.skin_colour * 0.5)


def draw_brows(canvas: Canvas) -> None:
    face = canvas.face
    window = canvas.window(side=0.66, top=-0.72, bottom=-0.08)
    window.paint(window.cover(brow_distance(face, window)).mul_(0.94), face.brow_colour)


def brow_distance(face: SimpleNamespace, window: Window) -> Tensor:
    """Signed distance to the brows: strokes that taper to the temple."""
    brow = brow_shape(face)
    along = window.x.abs().sub_(brow.centre).mul_(1 / brow.half_length)
    off = (window.y + window.x * face.brow_tilt).sub_(brow.curve(along)).abs_()
    thickness = (along.clamp(-1.5, 1.5) * -0.35).add_(1).mul_(1 - along.square().square_())
    return thickness.mul_(face.brow_thickness + 0.2 / window.unit_pixels).sub_(off)


def draw_nose(canvas: Canvas) -> None:
    """Nostrils and the line of the wings."""
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
    y = y.sub_(across * mouth.corner).sub_(mouth.middle)  # from here on the mouth's line is y = 0
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

    # The line between the lips keeps the mouth visible when they are thin.
    thickness = (1.1 - across).clamp_(0, 0.8).mul_(0.014 + 0.25 / window.unit_pixels)
    line = window.cover((thickness - y.abs_()).minimum(beside))
    line.mul_(1 - unit[25].clamp(max=0.5) - 0.3 * unit[26])
    window.paint(line, face.lip_colour * 0.38)


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


def draw_moustache(canvas: Canvas) -> None:
    """Over the upper lip, and it follows the lip."""
    face, mouth = canvas.face, mouth_shape(canvas.face)
    window = canvas.window(side=0.5, top=0.15, bottom=0.75)
    across = (window.x * (1 / (mouth.half_width * 1.02))).square_()
    lip = face.mouth_height + mouth.middle - mouth.gap_above - mouth.upper_lip * 0.9
    y = window.y - lip + window.x * face.mouth_tilt - across * (mouth.corner + 0.06)
    hair = between(y, (across - 1).mul_(0.085), across.mul_(-0.025).add_(0.005))
    hair = hair.minimum(mouth.half_width - window.x.abs())
    window.paint(window.cover(hair).mul_(face.moustache), face.brow_colour)


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


def draw_occluder(canvas: Canvas) -> None:
    """Now and then something lies before the face: a strap of cloth, or the fingers of a hand."""
    rows = canvas.face.occluded.nonzero()[:, 0]
    if len(rows) == 0:
        return
    face = SimpleNamespace(
        **{name: value[..., rows] for name, value in vars(canvas.face).items() if name != "unit"}
    )
    x, y = (axis[..., rows] for axis in canvas.head)
    x, y = x - face.occluder_x, y - face.occluder_y
    sine, cosine = face.occluder_slant.sin(), face.occluder_slant.cos()
    across, along = x * cosine + y * sine, x * sine - y * cosine
    strap = (across / face.occluder_width).abs()
    # Four fingers, the middle ones longer, with round tips.
    finger = (across / FINGER_WIDTH).floor().clamp(-2, 1).add_(0.5)
    beside = across - finger * FINGER_WIDTH
    beyond = (along + 0.06 * finger.square()).clamp(min=0)
    fingers = (beside.square() + beyond.square()).sqrt() * (2 / FINGER_WIDTH)
    is_hand = face.occluder_hand > 0
    radius = torch.where(is_hand, fingers, strap)
    width = torch.where(is_hand, FINGER_WIDTH / 2, face.occluder_width)
    coverage = ((1 - radius) * width * canvas.unit_pixels[rows]).add_(0.5).clamp_(0, 1)
    light = 1.05 - 0.35 * radius.square().clamp_(max=1)
    colour = face.occluder_colour[:, None, None] * light
    canvas.colour[..., rows] = canvas.colour[..., rows].lerp_(colour, coverage)


def add_camera_noise(canvas: Canvas, strip: Tensor) -> None:
    """Grain in the brightness, cut out of ``strip`` at a place of each face's own."""
    face, pixels = canvas.face, canvas.size**2
    starts = (face.noise_place * (len(strip) - pixels)).long()
    grain = strip.unfold(0, pixels, 1)[starts].t().reshape(canvas.size, canvas.size, -1)
    canvas.colour.add_(grain * face.noise)


PAINTING_ORDER = (
    draw_background, draw_hair_back, draw_body, draw_ears,
    shade_forehead, shade_eyes, shade_cheeks, shade_nose, shade_chin,
    draw_head, draw_beard, draw_hair,
    draw_eyes, draw_nose, draw_mouth, draw_moustache, draw_brows, draw_glasses, draw_occluder,
)  # fmt: skip
REGION_DISTANCES = (brow_distance, eye_distance, nose_distance, mouth_distance)
