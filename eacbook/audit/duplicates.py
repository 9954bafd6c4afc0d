"""Copies with contradicting labels, or in several splits: equal pixels, or nearly equal pictures.

Thumbnails find copies that were scaled or saved again. They miss a copy that is mirrored or moved by a
pixel. EAC's features are nearly the same for a picture and its mirror image, so they find most of these.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from eacbook.audit.report import DuplicatePair, How
from eacbook.audit.scores import nearest
from eacbook.audit.source import AuditSet
from eacbook.data.images import Images

SIDE = 16
"""Pixels of a side of the grey thumbnails that are compared."""

NEAR = 0.004
"""Copies that were scaled and saved as JPEG of quality 30 are nearer than this (99 % of them). The
nearest of 2,000 drawn faces, and of 1,797 written digits, are farther from each other (0.0047)."""

NEAR_BY_FEATURES = 0.05
"""The same for two pictures that are each other's nearest by features; one may be mirrored. Of 300 drawn
faces this finds 91 % of the mirrored copies, and 62 % of those moved by a pixel (by thumbnails alone:
none). Of 1,500 different faces, 4 pairs are nearer; without the features there would be hundreds."""

NEIGHBOURS = 5
"""So many nearest thumbnails of each picture are looked at."""

BATCH_SIZE = 256

Kind = Literal["labels differ", "across splits", "labels differ, across splits"]


def find_duplicates(found: AuditSet, closest: Tensor) -> tuple[DuplicatePair, ...]:
    """Pairs of copies that should not be as they are, the nearest first.

    Two pictures are exact copies if all their pixels are equal. They are near copies if their grey
    thumbnails are nearly proportional: 1 minus the correlation is their distance. If each is the other's
    nearest by features, a larger distance is allowed, also to the mirror image. In a group of equal
    pictures every one is compared with the first.

    Args:
        found: the set.
        closest: int64 ``[N]``, the nearest row of each row, by features.
    """
    digests, thumbnails = look(found.pictures.images)
    pairs: dict[tuple[int, int], tuple[float, How]] = {}
    groups = defaultdict(list)
    for row, digest in enumerate(digests):
        groups[digest].append(row)
    for first, *copies in groups.values():
        pairs |= {(first, row): (0.0, "equal pixels") for row in copies}
    # One of each group of equal pictures stands for all of them.
    kept = torch.tensor(sorted(rows[0] for rows in groups.values()))
    for one, other, distance in _near(thumbnails, kept):
        pairs[one, other] = (distance, "thumbnails")
    for one, other, distance in _near_by_features(thumbnails, closest):
        pairs.setdefault((one, other), (distance, "features"))
    flawed = [
        DuplicatePair(one, other, distance, how, kind)
        for (one, other), (distance, how) in pairs.items()
        if (kind := _kind(found, one, other))
    ]
    return tuple(sorted(flawed, key=lambda pair: (pair.distance, pair.one, pair.other)))


def look(images: Images) -> tuple[list[bytes], Tensor]:
    """A digest of the pixels of every image, and its thumbnail, float32 ``[N,256]``.

    A thumbnail has the mean 0 and the length 1; that of a picture of one colour is 0.
    """
    digests, thumbnails = [], []
    firsts = range(0, len(images), BATCH_SIZE)
    for first in tqdm(firsts, "copies", unit=" batches", disable=None, leave=False):
        part = images[first : first + BATCH_SIZE].cpu()
        digests += [
            hashlib.blake2b(image.contiguous().numpy().tobytes(), digest_size=16).digest()
            for image in part
        ]
        grey = part.float().mean(1, keepdim=True)
        small = functional.interpolate(
            grey, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False
        ).flatten(1)
        small = small - small.mean(1, keepdim=True)
        # Less contrast than one grey level is rounding, not a picture.
        flat = small.square().mean(1, keepdim=True) < 1
        thumbnails.append(functional.normalize(small, dim=1).masked_fill(flat, 0))
    return digests, torch.cat(thumbnails)


def _near(thumbnails: Tensor, rows: Tensor) -> list[tuple[int, int, float]]:
    """Pairs ``(row, larger row, distance)`` of near copies among some rows."""
    rows = rows[thumbnails[rows].any(1)]
    count = min(NEIGHBOURS, len(rows) - 1)
    if count < 1:
        return []
    vectors = thumbnails[rows]
    others = nearest(vectors, torch.arange(len(rows)), count)
    near = {}
    for one, of_one in enumerate(others):
        distances = (1 - vectors[of_one].double() @ vectors[one].double()).clamp(min=0)
        for other, distance in zip(of_one.tolist(), distances.tolist(), strict=True):
            if distance < NEAR:
                low, high = sorted((int(rows[one]), int(rows[other])))
                near[low, high] = distance
    return [(low, high, distance) for (low, high), distance in sorted(near.items())]


def _near_by_features(thumbnails: Tensor, closest: Tensor) -> list[tuple[int, int, float]]:
    """Pairs ``(row, larger row, distance)`` of each other's nearest rows, one perhaps mirrored."""
    rows = torch.arange(len(closest))
    one = rows[(closest[closest] == rows) & (rows < closest)]
    one = one[thumbnails[one].any(1) & thumbnails[closest[one]].any(1)]
    other = thumbnails[closest[one]].double()
    mirrored = other.view(-1, SIDE, SIDE).flip(-1).flatten(1)
    alike = [(thumbnails[one].double() * image).sum(1) for image in (other, mirrored)]
    distances = (1 - torch.maximum(*alike)).clamp(min=0)
    near = distances < NEAR_BY_FEATURES
    found = (values[near].tolist() for values in (one, closest[one], distances))
    return list(zip(*found, strict=True))


def _kind(found: AuditSet, one: int, other: int) -> Kind | None:
    differ = found.given[one] != found.given[other]
    across = found.splits[one] != found.splits[other]
    if differ and across:
        return "labels differ, across splits"
    if differ:
        return "labels differ"
    return "across splits" if across else None
