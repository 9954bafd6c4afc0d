"""The views of a batch, made for the whole batch at once on its own device.

A view is: camera noise on half of the originals, resize, ImageNet normalisation, then random erasing
(Zhong et al., AAAI 2020) drawn image by image from exactly the distribution of torchvision's
``RandomErasing``. The mirrored view is erased separately and never gets camera noise (EAC, Zhang et
al., ECCV 2022, and its published code).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's, for every data set, as in the papers."""

CAMERA_NOISE_VARIANCE = 30.0
"""Of the Gaussian camera noise, on the scale of 0 to 255."""

ERASING_ATTEMPTS = 10
"""How often a rectangle that does not fit is drawn again before the image stays whole."""


def normalise(images: Tensor, size: int | None = None) -> Tensor:
    """uint8 or float ``[B,C,H,W]`` on 0-255 to normalised float32 ``[B,3,size,size]``.

    Args:
        images: C is 3, or 1 for grey images, which are repeated.
        size: pixels; None keeps the stored size. Resizing is bilinear and antialiased.
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
    mean, std = (
        torch.tensor(values, device=images.device).mul(255).view(1, 3, 1, 1)
        for values in (MEAN, STD)
    )
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def camera_noise(images: Tensor, generator: torch.Generator, probability: float = 0.5) -> Tensor:
    """Gaussian noise on 0-255 for a random half of the images, rounded down and clipped.

    Args:
        images: uint8 ``[B,C,H,W]``.
        generator: on the device of the images.
    """
    draws = torch.rand(len(images), generator=generator, device=images.device)
    chosen = (draws < probability).nonzero().squeeze(1)
    noise = torch.randn((len(chosen), *images.shape[1:]), generator=generator, device=images.device)
    noisy = images[chosen] + noise * math.sqrt(CAMERA_NOISE_VARIANCE)
    result = images.clone()
    result[chosen] = noisy.clamp(0, 255).to(torch.uint8)
    return result


@dataclass(frozen=True)
class RandomErasing:
    """Erase one random rectangle of each image, drawn as torchvision draws it, without a loop.

    Attributes:
        probability: share of the images that lose a rectangle.
        scale: bounds of the rectangle's area, as shares of the image.
        ratio: bounds of its height over width, drawn log-uniformly.
    """

    probability: float = 0.5
    scale: tuple[float, float] = (0.02, 0.25)
    ratio: tuple[float, float] = (0.3, 3.3)

    def rectangles(self, count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
        """int64 ``[count,4]``: top, left, height, width; height and width 0 where nothing goes."""
        device = generator.device
        shape = (count, ERASING_ATTEMPTS)
        area = torch.empty(shape, device=device).uniform_(*self.scale, generator=generator)
        low, high = (math.log(bound) for bound in self.ratio)
        aspect = torch.empty(shape, device=device).uniform_(low, high, generator=generator).exp()
        pixels = area * (height * width)
        heights = (pixels * aspect).sqrt().round().long()
        widths = (pixels / aspect).sqrt().round().long()
        fits = (heights < height) & (widths < width)
        first = fits.int().argmax(1, keepdim=True)
        chosen = torch.rand((count, 1), device=device, generator=generator) < self.probability
        erased = chosen & fits.any(1, keepdim=True)
        h = torch.where(erased, heights.gather(1, first), 0)
        w = torch.where(erased, widths.gather(1, first), 0)
        corner = torch.rand((count, 2), device=device, generator=generator)
        top = (corner[:, :1] * (height - h + 1)).long().clamp(max=height)
        left = (corner[:, 1:] * (width - w + 1)).long().clamp(max=width)
        return torch.cat([top, left, h, w], dim=1)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Normalised ``[B,3,H,W]`` with a rectangle of zeros (the mean colour) in some images."""
        height, width = images.shape[-2:]
        top, left, h, w = self.rectangles(len(images), height, width, generator).unbind(1)
        rows = torch.arange(height, device=images.device)
        columns = torch.arange(width, device=images.device)
        in_rows = (rows >= top[:, None]) & (rows < (top + h)[:, None])
        in_columns = (columns >= left[:, None]) & (columns < (left + w)[:, None])
        inside = in_rows[:, None, :, None] & in_columns[:, None, None, :]
        return images.masked_fill(inside, 0.0)


def mirror(images: Tensor) -> Tensor:
    """Flip ``[...,W]`` along its width."""
    return images.flip(-1)


class Batch:
    """A batch on the device and the views that a method may ask for.

    Every view draws from a generator of its own, so that two methods which use different views still
    see the same stream: the original of baseline and EAC is erased alike.

    Attributes:
        images: uint8 ``[B,C,H,W]``.
        labels: int64 ``[B]``, to train on: the given ones, unless the method changed them before.
        index: int64 ``[B]``, rows of the training set, on the CPU.
        epoch: which epoch it is, counted from 0.
    """

    STREAMS = ("camera", "original", "mirrored", "flip", "pairs")

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        index: Tensor,
        generators: dict[str, torch.Generator],
        size: int | None = None,
        epoch: int = 0,
    ):
        self.images, self.labels, self.index, self.epoch = images, labels, index, epoch
        self._generators, self._size = generators, size

    def original(self, erasing: RandomErasing | None) -> Tensor:
        """The first view ``[B,3,H,W]``: camera noise on half of the images, then erasing."""
        noisy = camera_noise(self.images, self._generators["camera"])
        return self._erase(normalise(noisy, self._size), erasing, "original")

    def mirrored(self, erasing: RandomErasing | None) -> Tensor:
        """The second view ``[B,3,H,W]``: the mirror image, erased by itself, without noise."""
        view = normalise(mirror(self.images), self._size)
        return self._erase(view, erasing, "mirrored")

    def flipped(self, erasing: RandomErasing | None) -> Tensor:
        """The first view, a random half of its images mirrored: for the methods with one view."""
        view = self.original(erasing)
        draws = torch.rand(len(view), generator=self._generators["flip"], device=view.device)
        return torch.where((draws < 0.5)[:, None, None, None], mirror(view), view)

    def permutation(self) -> Tensor:
        """A random order of the batch, int64 ``[B]``: with whom each face is paired."""
        generator = self._generators["pairs"]
        return torch.randperm(len(self.labels), generator=generator, device=generator.device)

    def _erase(self, view: Tensor, erasing: RandomErasing | None, stream: str) -> Tensor:
        return view if erasing is None else erasing(view, self._generators[stream])
