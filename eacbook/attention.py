"""Class activation maps of a face and of its mirror image: compute, compare, lay over the picture.

A map of the mirror image, flipped back, should equal the map of the face if the network looks at the
same places; the mean squared difference is EAC's loss term (Zhang et al., ECCV 2022, equation 3), and
older than EAC (Guo et al., CVPR 2019, for multi-label attributes).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from eacbook.augment import mirror, normalise
from eacbook.checks import whole_number
from eacbook.images import Images
from eacbook.networks import evaluation_mode


def flip_consistency(maps: Tensor, maps_of_mirror: Tensor) -> Tensor:
    """Mean squared difference between maps and the flipped maps of the mirror image.

    Args:
        maps: ``[B,K,h,w]``, class activation maps of the faces, without softmax, ReLU or scaling.
        maps_of_mirror: ``[B,K,h,w]``, those of the mirror images.

    Returns:
        Scalar, the mean over B, K, h and w; differentiable with respect to both.
    """
    return functional.mse_loss(maps, mirror(maps_of_mirror))


def relative_difference(maps: Tensor, maps_of_mirror: Tensor) -> Tensor:
    """The flip consistency of every face, in units of the variance of its maps.

    The loss term itself grows with the square of the maps' scale, which differs from network to
    network and from epoch to epoch. Relative to the variance it can be compared: 0 for maps that
    follow the mirror exactly, 2 for unrelated ones.

    Args:
        maps, maps_of_mirror: ``[...,K,h,w]``, as for :func:`flip_consistency`.

    Returns:
        ``[...]``, the mean squared difference over K, h and w divided by the variance of all values
        of both.
    """
    squared = (maps - mirror(maps_of_mirror)).square().mean((-3, -2, -1))
    variance = torch.stack([maps, maps_of_mirror]).var((0, -3, -2, -1), correction=0)
    return squared / variance.clamp(min=1e-12)


def region_share(attention: Tensor, masks: Tensor) -> Tensor:
    """The share of the positive attention that lies inside masks.

    Every place of a map stands for the square of pixels above it, and counts by the part of the
    square that is inside. (What the network sees there reaches beyond that square.)

    Args:
        attention: ``[...,h,w]``; negative values count as none.
        masks: bool ``[...,H,W]``, of the same leading dimensions, or dimensions that broadcast.

    Returns:
        ``[...]`` in 0-1; not a number where no attention is positive.
    """
    rows, columns = (
        _pixels_of_places(places, pixels).to(masks.device)
        for places, pixels in zip(attention.shape[-2:], masks.shape[-2:], strict=True)
    )
    parts = rows @ masks.float() @ columns.T
    positive = attention.to(masks.device).clamp(min=0)
    return (positive * parts).sum((-2, -1)) / positive.sum((-2, -1))


def _pixels_of_places(places: int, pixels: int) -> Tensor:
    """``[places,pixels]``: which share of each place every pixel makes up."""
    return torch.eye(pixels).repeat_interleave(places, 0).view(places, pixels, pixels).mean(1)


BATCH_SIZE = 128


@torch.no_grad()
def attention_maps(
    network: nn.Module, images: Images, size: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Maps of faces and of their mirror images, in evaluation mode.

    Args:
        network: gives ``(logits, maps)``.
        images: uint8 ``[B,C,H,W]`` on any device, or in a file, which is read batch by batch.
        size: pixels at which the network works; None keeps the stored size.

    Returns:
        Logits ``[B,K]`` of the faces, maps ``[B,K,h,w]`` of the faces and ``[B,K,h,w]`` of the mirror
        images (as the network sees them, not flipped back), on the CPU.
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
    return tuple(map(torch.cat, zip(*found, strict=True)))


def heat(maps: Tensor, size: int) -> Tensor:
    """The positive part of maps, enlarged, each divided by its own maximum, for display.

    So maps of different networks can be compared by shape, not by strength.

    Args:
        maps: ``[...,h,w]``.
        size: pixels of the result.

    Returns:
        float ``[...,size,size]`` in 0-1.
    """
    size = whole_number("size", size, 1)
    flat = maps.reshape(-1, 1, *maps.shape[-2:]).float()
    large = functional.interpolate(flat, (size, size), mode="bicubic", align_corners=False)
    large = large.reshape(*maps.shape[:-2], size, size).clamp(min=0)
    return large / large.amax((-2, -1), keepdim=True).clamp(min=1e-8)
