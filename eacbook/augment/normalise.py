"""Prepare pictures for a network: resize, normalise and mirror them."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

MEAN = (0.485, 0.456, 0.406)

STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet; used for every data set, as in the papers."""


def normalise(images: Tensor, size: int | None = None) -> Tensor:
    """Normalise images on 0-255 (whole numbers or floats): ``[B,C,H,W]`` to float32 ``[B,3,size,size]``.

    Args:
        images: C is 3, or 1 for grey images, which are repeated.
        size: height and width in pixels; None keeps the stored size. Resizing is bilinear and
            antialiased.
    """
    images = images.float()
    if size is not None and images.shape[-2:] != (size, size):
        images = functional.interpolate(
            images,
            (size, size),
            mode="bilinear",
            antialias=size < images.shape[-1],
            align_corners=False,
        )
    offset, scale = _normalisation(*images.shape[-2:], images.device)
    normalised = torch.addcmul(offset, images, scale)
    return normalised.contiguous(memory_format=torch.channels_last)


@lru_cache(maxsize=8)
def _normalisation(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The offset to add and the factor to multiply, ``[1,3,H,W]`` each.

    They are as large as an image, because a CPU is slow if it must repeat three numbers for every pixel.
    They are cached, because a GPU would wait for them each time.
    """
    mean, std = torch.tensor(MEAN, dtype=torch.float64), torch.tensor(STD, dtype=torch.float64)
    both = (-mean / std).float(), (1 / (255 * std)).float()
    offset, scale = (
        values.to(device)
        .view(1, 3, 1, 1)
        .expand(1, 3, height, width)
        .contiguous(memory_format=torch.channels_last)
        for values in both
    )
    return offset, scale


def mirror(images: Tensor) -> Tensor:
    """Mirror images ``[...,W]``: exchange left and right."""
    return images.flip(-1)
