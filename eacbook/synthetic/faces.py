"""Synthetic faces of people who never lived, drawn in batches by tensor code on any device.

They show how a network memorises wrong labels, without a download and without a photograph of a
real person. A face has a person, an expression of facial action units, a pose and a light
(:mod:`eacbook.synthetic.traits`). Painters turn these numbers into colours on a canvas
(:mod:`eacbook.synthetic.canvas`), from back to front. This module draws sets of faces and finds
the regions of their parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from eacbook.checks import seed_number, whole_number
from eacbook.devices import choose_device, fits_memory, use_threads
from eacbook.errors import InputError
from eacbook.synthetic import hair, parts, scene, skin
from eacbook.synthetic.canvas import Canvas
from eacbook.synthetic.shapes import brow_distance, eye_distance, mouth_distance, nose_distance
from eacbook.synthetic.traits import (
    ACTION_UNITS,
    CLASSES,
    EXPRESSIONS,
    LATERAL_TRAITS,
    sample_traits,
)

__all__ = [
    "ACTION_UNITS", "CLASSES", "EXPRESSIONS", "LATERAL_TRAITS", "REGIONS",
    "DrawnFaces", "draw_face_set", "draw_faces", "render", "render_region_masks",
]  # fmt: skip

REGIONS = ("brows", "eyes", "nose", "mouth")
REGION_DISTANCES = (brow_distance, eye_distance, nose_distance, mouth_distance)
MASK_MARGIN = 0.05  # a region is larger than its part by this, in face units
SMALLEST_SIZE, LARGEST_SIZE = 48, 224

PIXELS_PER_CHUNK = 64 * 64 * 64  # keeps the working set of a chunk near the processor's cache
NOISE_POOL = 1 << 18  # length of the strip from which camera noise is cut
# The last trait counts most. The widest parts, and those that take longest, come last.
SORTED_BY = (
    "mole", "freckles", "moustache", "beard", "hair_bun", "hair_volume", "hair_length",
    "glasses", "occluded",
)  # fmt: skip

PAINTING_ORDER = (
    scene.draw_background, hair.draw_hair_back, hair.draw_bun, scene.draw_body,
    skin.draw_ears, skin.draw_earrings,
    skin.shade_forehead, skin.shade_eyes, skin.shade_cheeks, skin.shade_nose,
    skin.shade_chin, skin.draw_head, skin.draw_freckles, skin.draw_mole,
    hair.draw_beard, hair.draw_hair,
    parts.draw_eyes, parts.draw_nose, parts.draw_mouth, hair.draw_moustache,
    parts.draw_brows, parts.draw_glasses, scene.draw_occluder,
)  # fmt: skip


@dataclass(frozen=True)
class DrawnFaces:
    """Synthetic faces and everything that is known about them; N faces of S x S pixels.

    Attributes:
        images: uint8 ``[N, 3, S, S]``.
        labels: int64 ``[N]``, positions in :data:`CLASSES`.
        action_units: float32 ``[N, A]`` in 0..1, columns in the order of :data:`ACTION_UNITS`.
        intensity: float32 ``[N]`` in 0..1, how strongly the expression is shown.
        identity: int64 ``[N]``, the number of the person.
        traits: the numbers from which the faces are drawn, tensors with N rows on the CPU; see
            :func:`eacbook.synthetic.traits.sample_traits`.
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
        """The regions of brows, eyes, nose and mouth in the pictures, with a small margin.

        Args:
            index: the faces, as an index of a tensor; None for all.

        Returns:
            bool ``[n, 4, S, S]`` on the device of the images, regions in the order of
            :data:`REGIONS`. They follow pose and action units. An occluder does not change them.
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
        InputError: there is no face or no person to draw, or the size is out of range.
    """
    count, seed = whole_number("count", count, 1), seed_number("seed", seed)
    if len(identities) < 1:
        raise InputError("expected at least one person to draw, found 0 identities")
    device = choose_device(device)
    size = whole_number("size", size, SMALLEST_SIZE, LARGEST_SIZE)
    fits_memory(f"{count:,} faces of {size} x {size} pixels", 3 * size**2 * count, device)
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
    """Draw one face for each entry. The caller chooses the class and the person.

    The first k faces do not depend on the entries after them. A person's number means the same
    person in every call and with every seed.

    Args:
        labels: positions in :data:`CLASSES`, ``[N]``.
        identities: numbers of the persons, ``[N]``, 0 or larger.
        size: side of the pictures in pixels, 48 to 224.
        seed: fixes expressions, poses, light and noise.
        device: where the faces are drawn and the images stay. All random numbers come from the CPU,
            so the device changes only the rounding.

    Raises:
        InputError: the lengths differ or are 0, or a label, identity or size is out of range.
    """
    labels = torch.as_tensor(labels, dtype=torch.int64, device="cpu")
    identities = torch.as_tensor(identities, dtype=torch.int64, device="cpu")
    if labels.ndim != 1 or labels.shape != identities.shape or len(labels) == 0:
        raise InputError(
            "expected labels and identities of the same length, at least 1, found shapes "
            f"{tuple(labels.shape)} and {tuple(identities.shape)}"
        )
    if labels.min() < 0 or labels.max() >= len(CLASSES):
        raise InputError(
            f"expected labels from 0 to {len(CLASSES) - 1}, found {labels.min()} to {labels.max()}"
        )
    if identities.min() < 0:
        raise InputError(f"expected identities of at least 0, found {identities.min()}")
    traits = sample_traits(labels, identities, seed_number("seed", seed))
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
    """Pictures uint8 ``[N, 3, size, size]`` of the faces with these traits; ``seed`` is for noise."""
    size, device = whole_number("size", size, SMALLEST_SIZE, LARGEST_SIZE), choose_device(device)
    images = torch.empty(len(traits["intensity"]), 3, size, size, dtype=torch.uint8, device=device)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(NOISE_POOL + size * size, generator=generator).to(device)
    # The images are made outside the inference mode, so they are ordinary tensors. One thread is
    # nearly as fast as two, and it does not wait when another program uses a core.
    with use_threads(1), torch.inference_mode():
        for faces in chunks(like_beside_like(traits), size):
            canvas = Canvas({name: value[faces] for name, value in traits.items()}, size, device)
            for draw in PAINTING_ORDER:
                draw(canvas)
            images.index_copy_(0, faces.to(images.device), photograph(canvas, noise))
    return images


def photograph(canvas: Canvas, noise: Tensor) -> Tensor:
    """Pictures uint8 ``[n, 3, S, S]`` of a canvas, with camera noise in the brightness.

    The noise of each face is cut out of one long strip ``noise``, at a random place.
    """
    face, pixels = canvas.face, canvas.size**2
    places = (face.noise_place * (len(noise) - pixels)).long()
    grain = noise.unfold(0, pixels, 1)[places].t().contiguous()
    grain = grain.mul_(face.noise * 255).add_(0.5).view(canvas.size, canvas.size, -1)
    levels = torch.add(grain, canvas.colour, alpha=255).clamp_(0, 255)
    return levels.byte().permute(3, 0, 1, 2).contiguous()


def render_region_masks(
    traits: dict[str, Tensor], size: int, device: str | torch.device = "cpu"
) -> Tensor:
    """Regions bool ``[N, 4, size, size]`` of the faces with these traits."""
    count = len(traits["intensity"])
    masks = torch.zeros(count, len(REGIONS), size, size, dtype=torch.bool, device=device)
    with use_threads(1), torch.inference_mode():
        for faces in chunks(torch.arange(count), size):
            canvas = Canvas({name: value[faces] for name, value in traits.items()}, size, device)
            window = canvas.window(side=2.0, top=-2.0, bottom=2.0)
            distances = [distance(canvas.face, window) for distance in REGION_DISTANCES]
            masks[faces.to(device)] = (torch.stack(distances) > -MASK_MARGIN).permute(3, 0, 1, 2)
    return masks


def like_beside_like(traits: dict[str, Tensor]) -> Tensor:
    """An order int64 ``[N]`` in which faces with the same hair, beard or glasses are neighbours.

    In a chunk of such faces, parts that no face has are skipped, and the other windows are smaller.
    """
    order = torch.arange(len(traits["intensity"]))
    for name in SORTED_BY:
        # Rounded up, a trait only says whether a face has it, and the sort keeps the other order.
        order = order[traits[name][order].ceil().argsort(stable=True)]
    return order


def chunks(order: Tensor, size: int) -> tuple[Tensor, ...]:
    """``order`` in pieces whose pictures need about the same memory."""
    return order.split(max(1, PIXELS_PER_CHUNK // size**2))
