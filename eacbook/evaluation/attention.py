"""Class activation maps of a face and of its mirror image: compute and compare them, prepare overlays.

If the network looks at the same places in both, the map of the mirror image, mirrored back, equals the
map of the face. The mean squared difference is EAC's loss term (Zhang et al., ECCV 2022, equation 3).
The idea is older than EAC (Guo et al., CVPR 2019, for multi-label attributes).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from eacbook.augment.normalise import mirror, normalise
from eacbook.checks import whole_number
from eacbook.data.images import Images
from eacbook.models.networks import evaluation_mode


def relative_difference(maps: Tensor, maps_of_mirror: Tensor) -> Tensor:
    """The flip consistency of every face, in units of the variance of its maps.

    The loss term itself grows with the square of the scale of the maps. This scale is different for each
    network and each epoch. Relative to the variance, the values can be compared: 0 for maps that are
    mirrored exactly, 2 for unrelated maps.

    Args:
        maps, maps_of_mirror: ``[...,K,h,w]``, as for :func:`eacbook.methods.eac.flip_consistency`.

    Returns:
        ``[...]``, the mean squared difference over K, h and w, divided by the variance of all values
        of both maps.
    """
    squared = (maps - mirror(maps_of_mirror)).square().mean((-3, -2, -1))
    variance = torch.stack([maps, maps_of_mirror]).var((0, -3, -2, -1), correction=0)
    return squared / variance.clamp(min=1e-12)


def region_share(attention: Tensor, masks: Tensor) -> Tensor:
    """The share of the positive attention that is inside masks.

    Every place of a map stands for a rectangle of pixels. It counts with the part of the rectangle that
    is inside the mask. (The network sees more than this rectangle at the place.)

    Args:
        attention: ``[...,h,w]``; negative values count as 0.
        masks: bool ``[...,H,W]``; the leading dimensions are the same, or they broadcast.

    Returns:
        ``[...]`` in 0-1; NaN if no attention is positive.
    """
    rows, columns = (
        _pixels_of_places(places, pixels).to(masks.device)
        for places, pixels in zip(attention.shape[-2:], masks.shape[-2:], strict=True)
    )
    parts = rows @ masks.float() @ columns.T
    positive = attention.to(masks.device).clamp(min=0)
    return (positive * parts).sum((-2, -1)) / positive.sum((-2, -1))


def _pixels_of_places(places: int, pixels: int) -> Tensor:
    """``[places,pixels]``: the share of every pixel in each place."""
    return torch.eye(pixels).repeat_interleave(places, 0).view(places, pixels, pixels).mean(1)


BATCH_SIZE = 128


@torch.no_grad()
def attention_maps(
    network: nn.Module, images: Images, size: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Maps of faces and of their mirror images, in evaluation mode.

    Args:
        network: returns ``(logits, maps)``.
        images: uint8 ``[B,C,H,W]`` on any device, or in a file, which is read batch by batch.
        size: height and width of the network's input in pixels; None keeps the stored size.

    Returns:
        On the CPU: logits ``[B,K]`` of the faces, maps ``[B,K,h,w]`` of the faces, and maps
        ``[B,K,h,w]`` of the mirror images (as the network sees them, not mirrored back).
    """
    size = size if size is None else whole_number("size", size, 1)
    device = next(network.parameters()).device
    found = []
    with evaluation_mode(network):
        for first in range(0, max(len(images), 1), BATCH_SIZE):
            part = images[first : first + BATCH_SIZE].to(device)
            logits, maps = network(normalise(part, size))
            _, maps_of_mirror = network(normalise(mirror(part), size))
            found.append((logits.cpu(), maps.cpu(), maps_of_mirror.cpu()))
    logits, maps, maps_of_mirror = map(torch.cat, zip(*found, strict=True))
    return logits, maps, maps_of_mirror


def heat(maps: Tensor, size: int) -> Tensor:
    """The positive part of maps for display: enlarged, and each map divided by its own maximum.

    So you can compare the shape of maps of different networks, but not their strength. A map without a
    positive place is 0 everywhere.

    Args:
        maps: ``[...,h,w]``.
        size: height and width of the result in pixels.

    Returns:
        float ``[...,size,size]`` in 0-1.
    """
    size = whole_number("size", size, 1)
    flat = maps.reshape(-1, 1, *maps.shape[-2:]).float()
    large = functional.interpolate(flat, (size, size), mode="bicubic", align_corners=False)
    large = large * (flat.amax((-2, -1), keepdim=True) > 0)  # enlarging may overshoot
    large = large.reshape(*maps.shape[:-2], size, size).clamp(min=0)
    return large / large.amax((-2, -1), keepdim=True).clamp(min=1e-8)
