"""The views of a batch, made for the whole batch at once on its own device.

A view is: camera noise on half of the originals, resize, ImageNet normalisation, then random erasing
(Zhong et al., AAAI 2020) drawn image by image from exactly the distribution of torchvision's
``RandomErasing``. The mirrored view is erased separately and never gets camera noise (EAC, Zhang et
al., ECCV 2022, and its published code).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from eacbook.images import fetch

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet's, for every data set, as in the papers."""

CAMERA_NOISE_VARIANCE = 30.0
"""Of the Gaussian camera noise, on the scale of 0 to 255."""

NOISE_STRIP = 1 << 20
"""Numbers of camera noise that are drawn in an epoch, if images are not very large."""

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
    offset, scale = _normalisation(*images.shape[-2:], images.device)
    normalised = torch.addcmul(offset, images, scale)
    return normalised.contiguous(memory_format=torch.channels_last)


@lru_cache(maxsize=8)
def _normalisation(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """What to add and to multiply, ``[1,3,H,W]`` each.

    As large as an image, because a processor is slow at repeating three numbers for every pixel; and
    kept, because a GPU would wait for them each time.
    """
    mean, std = torch.tensor(MEAN, dtype=torch.float64), torch.tensor(STD, dtype=torch.float64)
    both = (-mean / std).float(), (1 / (255 * std)).float()
    return tuple(
        values.to(device)
        .view(1, 3, 1, 1)
        .expand(1, 3, height, width)
        .contiguous(memory_format=torch.channels_last)
        for values in both
    )


def camera_noise(images: Tensor, runs: Tensor) -> Tensor:
    """Images with Gaussian noise on 0-255, rounded down and clipped.

    Args:
        images: uint8 ``[B,C,H,W]``.
        runs: int16 ``[B,C*H*W]``, of :meth:`Streams.noise_runs`.
    """
    count, channels, height, width = images.shape
    # In the order in which images are stored, so that both run through memory alike.
    noise = runs.view(count, height, width, channels).permute(0, 3, 1, 2)
    return (images + noise).clamp_(0, 255).to(torch.uint8)


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
        count, channels, height, width = images.shape
        top, left, h, w = self.rectangles(count, height, width, generator)[..., None].unbind(1)
        row = torch.arange(height, device=images.device)
        column = torch.arange(width, device=images.device).repeat_interleave(channels)
        in_rows = ((row >= top) & (row < top + h)).to(torch.uint8)
        in_columns = ((column >= left) & (column < left + w)).to(torch.uint8)
        # Channels side by side, as in the images: then both run through memory in one go.
        kept = 1 - in_rows[:, :, None] * in_columns[:, None, :]
        return images * kept.view(count, height, width, channels).permute(0, 3, 1, 2)


def mirror(images: Tensor) -> Tensor:
    """Flip ``[...,W]`` along its width."""
    return images.flip(-1)


def _with_rows(images: Tensor, rows: Tensor, others: Tensor) -> Tensor:
    """``[B,C,H,W]`` in which ``rows`` (int64 ``[n]``) are replaced by ``[n,C,H,W]``."""
    if not len(rows):
        return images
    place = torch.arange(len(images), device=images.device)
    place[rows] = torch.arange(len(images), len(images) + len(rows), device=images.device)
    return fetch(torch.cat([images, others]), place)


class Streams:
    """The random streams of an epoch; each has a generator of its own, so that none moves another.

    Args:
        seed: gives the seed of a stream by its name.
        device: where the batches are.
    """

    ON_DEVICE = ("original", "mirrored", "pairs")
    ON_CPU = ("camera", "flip")
    """Draw to which images something happens; a GPU would have to be waited for to know how many."""

    def __init__(self, seed: Callable[[str], int], device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        self._generators = {
            name: torch.Generator(place).manual_seed(seed(name))
            for names, place in ((self.ON_DEVICE, self.device), (self.ON_CPU, "cpu"))
            for name in names
        }
        self._strip: Tensor | None = None

    def __getitem__(self, name: str) -> torch.Generator:
        return self._generators[name]

    def half(self, name: str, count: int) -> Tensor:
        """Each of ``count`` images with probability 1/2: int64 ``[n]``, places in the batch."""
        draws = torch.rand(count, generator=self[name])
        return (draws < 0.5).nonzero().squeeze(1).to(self.device, non_blocking=True)

    def noise_runs(self, count: int, length: int) -> Tensor:
        """Camera noise, rounded down, for images of ``length`` numbers: int16 ``[count,length]``.

        Each is a run of one long strip of noise, from a place of its own: to draw every number anew
        would take longer than all else that is done to an image.
        """
        if self._strip is None:
            noise = torch.randn(max(NOISE_STRIP, 4 * length), generator=self["camera"])
            noise = noise.mul_(math.sqrt(CAMERA_NOISE_VARIANCE)).floor_()
            self._strip = noise.to(torch.int16).to(self.device)
        runs = self._strip.unfold(0, length, 1)
        places = torch.randint(len(runs), (count,), generator=self["camera"])
        return runs.index_select(0, places.to(self.device, non_blocking=True))


class Batch:
    """A batch on the device and the views that a method may ask for.

    Every view draws from a stream of its own, so that two methods which use different views still
    see the same stream: the original of baseline and EAC is erased alike.

    Attributes:
        images: uint8 ``[B,C,H,W]``.
        labels: int64 ``[B]``, to train on: the given ones, unless the method changed them before.
        index: int64 ``[B]``, rows of the training set.
        epoch: which epoch it is, counted from 0.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        index: Tensor,
        streams: Streams,
        size: int | None = None,
        epoch: int = 0,
    ):
        self.images, self.labels, self.index, self.epoch = images, labels, index, epoch
        self._streams, self._size = streams, size

    def original(self, erasing: RandomErasing | None) -> Tensor:
        """The first view ``[B,3,H,W]``: camera noise on half of the images, then erasing."""
        chosen = self._streams.half("camera", len(self.images))
        some = fetch(self.images, chosen)
        some = camera_noise(some, self._streams.noise_runs(len(some), self.images[0].numel()))
        noisy = _with_rows(self.images, chosen, some)
        return self._erase(normalise(noisy, self._size), erasing, "original")

    def mirrored(self, erasing: RandomErasing | None) -> Tensor:
        """The second view ``[B,3,H,W]``: the mirror image, erased by itself, without noise."""
        view = normalise(mirror(self.images), self._size)
        return self._erase(view, erasing, "mirrored")

    def flipped(self, erasing: RandomErasing | None) -> Tensor:
        """The first view, a random half of its images mirrored: for the methods with one view."""
        view, chosen = self.original(erasing), self._streams.half("flip", len(self.images))
        return _with_rows(view, chosen, mirror(fetch(view, chosen)))

    def permutation(self) -> Tensor:
        """A random order of the batch, int64 ``[B]``: with whom each face is paired."""
        generator = self._streams["pairs"]
        return torch.randperm(len(self.labels), generator=generator, device=generator.device)

    def _erase(self, view: Tensor, erasing: RandomErasing | None, stream: str) -> Tensor:
        return view if erasing is None else erasing(view, self._streams[stream])
