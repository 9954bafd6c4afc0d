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


@torch.no_grad()
def attention_maps(
    network: nn.Module, images: Tensor, size: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Maps of faces and of their mirror images, in evaluation mode.

    Args:
        network: gives ``(logits, maps)``.
        images: uint8 ``[B,C,H,W]``.
        size: pixels at which the network works; None keeps the stored size.

    Returns:
        Logits ``[B,K]`` of the faces, maps ``[B,K,h,w]`` of the faces and ``[B,K,h,w]`` of the mirror
        images (as the network sees them, not flipped back), on the CPU.
    """
    device = next(network.parameters()).device
    images = images.to(device)
    with evaluation_mode(network):
        logits, maps = network(normalise(images, size))
        _, maps_of_mirror = network(normalise(mirror(images), size))
    return logits.cpu(), maps.cpu(), maps_of_mirror.cpu()


def heat(maps: Tensor, size: int) -> Tensor:
    """The positive part of maps, enlarged, each divided by its own maximum, for display.

    So maps of different networks can be compared by shape, not by strength.

    Args:
        maps: ``[...,h,w]``.
        size: pixels of the result.

    Returns:
        float ``[...,size,size]`` in 0-1.
    """
    flat = maps.reshape(-1, 1, *maps.shape[-2:]).float()
    large = functional.interpolate(flat, (size, size), mode="bicubic", align_corners=False)
    large = large.reshape(*maps.shape[:-2], size, size).clamp(min=0)
    return large / large.amax((-2, -1), keepdim=True).clamp(min=1e-8)
