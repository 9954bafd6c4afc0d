"""The views of a batch, made for the whole batch at once on its own device.

A view is: camera noise on half of the originals, resize, ImageNet normalisation, then random erasing
(Zhong et al., AAAI 2020) drawn image by image from exactly the distribution of torchvision's
``RandomErasing``. The mirrored view is erased separately and never gets camera noise (EAC, Zhang et
al., ECCV 2022, and its published code).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor
from torch.nn import functional

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
    """Whole numbers or floats ``[B,C,H,W]`` on 0-255 to normalised float32 ``[B,3,size,size]``.

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
    """Images with noise, clipped: int16 ``[B,C,H,W]`` on 0-255.

    Args:
        images: uint8 ``[B,C,H,W]``.
        runs: int16 ``[B,C*H*W]``, of :meth:`Streams.noise`.
    """
    count, channels, height, width = images.shape
    # In the order in which images are stored, so that both run through memory alike.
    noise = runs.view(count, height, width, channels).permute(0, 3, 1, 2)
    return (images + noise).clamp_(0, 255)


@dataclass(frozen=True)
class RandomErasing:
    """How random rectangles are drawn: as torchvision draws them, without a loop over images.

    Attributes:
        probability: share of the images that lose a rectangle.
        scale: bounds of the rectangle's area, as shares of the image.
        ratio: bounds of its height over width, drawn log-uniformly.
    """

    probability: float = 0.5
    scale: tuple[float, float] = (0.02, 0.25)
    ratio: tuple[float, float] = (0.3, 3.3)

    def rectangles(
        self, counts: Sequence[int], height: int, width: int, generator: torch.Generator
    ) -> Tensor:
        """int64 ``[N,4]``: top, left, height, width; height and width 0 where nothing goes.

        Args:
            counts: images of each batch, N in all. A batch's rectangles depend on those before it only.
            height: of the images, in pixels.
            width: of the images, in pixels.
        """
        draws = zip(*(self._draw(count, generator) for count in counts), strict=True)
        area, aspect, chosen, corner = map(torch.cat, draws)
        pixels, aspect = area * (height * width), aspect.exp()
        heights = (pixels * aspect).sqrt().round().long()
        widths = (pixels / aspect).sqrt().round().long()
        fits = (heights < height) & (widths < width)
        first = fits.int().argmax(1, keepdim=True)
        erased = (chosen < self.probability) & fits.any(1, keepdim=True)
        h = torch.where(erased, heights.gather(1, first), 0)
        w = torch.where(erased, widths.gather(1, first), 0)
        top = (corner[:, :1] * (height - h + 1)).long().clamp(max=height)
        left = (corner[:, 1:] * (width - w + 1)).long().clamp(max=width)
        return torch.cat([top, left, h, w], dim=1)

    def _draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Of each image: shares of area, logarithms of aspect (``[count,attempts]``), whether, where."""
        shape, (low, high) = (count, ERASING_ATTEMPTS), self.ratio
        return (
            torch.empty(shape).uniform_(*self.scale, generator=generator),
            torch.empty(shape).uniform_(math.log(low), math.log(high), generator=generator),
            torch.rand((count, 1), generator=generator),
            torch.rand((count, 2), generator=generator),
        )


def erase_(images: Tensor, rectangles: Tensor) -> Tensor:
    """Set a rectangle of each image to zero (the mean colour), in place.

    Args:
        images: normalised ``[B,C,H,W]``.
        rectangles: int64 ``[B,4]``, of :meth:`RandomErasing.rectangles`.
    """
    count, channels, height, width = images.shape
    top, left, h, w = rectangles[..., None].unbind(1)
    row, column = _positions(height, width, channels, images.device)
    other_row = ((row < top) | (row >= top + h)).view(torch.uint8)
    other_column = ((column < left) | (column >= left + w)).view(torch.uint8)
    # Channels side by side, as in the images: then both run through memory in one go.
    kept = other_row[:, :, None] | other_column[:, None, :]
    return images.mul_(kept.view(count, height, width, channels).permute(0, 3, 1, 2))


@lru_cache(maxsize=8)
def _positions(
    height: int, width: int, channels: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The number of each row, int64 ``[H]``, and the column of each number in a row, ``[W*C]``."""
    row, column = (torch.arange(side, device=device) for side in (height, width))
    return row, column.repeat_interleave(channels)


def mirror(images: Tensor) -> Tensor:
    """Flip ``[...,W]`` along its width."""
    return images.flip(-1)


class Streams:
    """What chance decides in an epoch, drawn for all its batches when the first one asks.

    So a step only looks up what would be dozens of small operations. Each stream has a generator of its
    own, so that none moves another, and all is drawn on the CPU: the same on every device.

    Args:
        seed: gives the seed of a stream by its name.
        counts: images of each batch of the epoch.
        device: where the batches are.
    """

    def __init__(
        self, seed: Callable[[str], int], counts: Sequence[int], device: torch.device | str = "cpu"
    ):
        self._seed, self._counts, self._device = seed, list(counts), torch.device(device)
        self._drawn: dict[Hashable, tuple[Tensor, ...]] = {}
        self._strip: Tensor | None = None

    def rectangles(
        self, batch: int, view: str, erasing: RandomErasing, height: int, width: int
    ) -> Tensor:
        """To erase from a view of a batch (counted from 0): int64 ``[B,4]``."""

        def draw(generator: torch.Generator) -> Tensor:
            return erasing.rectangles(self._counts, height, width, generator)

        return self._look_up(batch, draw, view, erasing, height, width)

    def flips(self, batch: int) -> Tensor:
        """Which images of a batch are mirrored, each with probability 1/2: bool ``[B]``."""

        def draw(generator: torch.Generator) -> Tensor:
            return torch.cat([_half(count, generator) for count in self._counts])

        return self._look_up(batch, draw, "flip")

    def permutation(self, batch: int) -> Tensor:
        """A random order of a batch, int64 ``[B]``."""

        def draw(generator: torch.Generator) -> Tensor:
            return torch.cat([torch.randperm(count, generator=generator) for count in self._counts])

        return self._look_up(batch, draw, "pairs")

    def noise(self, batch: int, length: int) -> Tensor:
        """Camera noise, rounded down, for each image with probability 1/2, else 0: int16 ``[B,length]``.

        Each image gets a run of one long strip of noise, from a place of its own: to draw every number
        anew would take longer than all else that is done to an image. Where the strip ends, silence
        follows for the images without noise.
        """
        places = self._look_up(batch, partial(self._place_noise, length), "camera", length)
        return _runs(self._strip, places, length)

    def _place_noise(self, length: int, generator: torch.Generator) -> Tensor:
        """Draws the strip, too: int64 ``[N]``, where in it each image's run begins."""
        strip = max(NOISE_STRIP, 4 * length)
        places = torch.full((sum(self._counts),), strip)
        for number, part in enumerate(places.split(self._counts)):
            chosen = _half(len(part), generator).nonzero().squeeze(1)
            if number == 0:  # only now: stored runs drew in this order
                noise = torch.randn(strip, generator=generator)
                noise = noise.mul_(math.sqrt(CAMERA_NOISE_VARIANCE)).floor_().to(torch.int16)
                self._strip = functional.pad(noise, (0, length)).to(self._device)
            part[chosen] = torch.randint(strip - length + 1, chosen.shape, generator=generator)
        return places

    def _look_up(
        self,
        batch: int,
        draw: Callable[[torch.Generator], Tensor],
        stream: str,
        *settings: Hashable,
    ) -> Tensor:
        """A batch's part of what ``draw`` gives, under these settings, for the images of the epoch."""
        key = stream, *settings
        if key not in self._drawn:
            generator = torch.Generator().manual_seed(self._seed(stream))
            self._drawn[key] = draw(generator).to(self._device).split(self._counts)
        return self._drawn[key][batch]


GATHER_FROM_VIEWS = ("cpu", "cuda")
"""Devices that read from a view of a strip as it is. Another one (MPS) may first copy the whole view,
which is as large as the strip times the length of a run."""


def _runs(strip: Tensor, places: Tensor, length: int) -> Tensor:
    """The pieces of a strip ``[S]`` that begin at the places ``[B]``: ``[B,length]``."""
    if strip.device.type in GATHER_FROM_VIEWS:
        return strip.unfold(0, length, 1).index_select(0, places)
    return strip[places[:, None] + torch.arange(length, device=strip.device)]


def _half(count: int, generator: torch.Generator) -> Tensor:
    """True with probability 1/2: bool ``[count]``."""
    return torch.rand(count, generator=generator) < 0.5


class Batch:
    """A batch on the device and the views that a method may ask for.

    Every view draws from a stream of its own, so that two methods which use different views still
    see the same stream: the original of baseline and EAC is erased alike. Asked for again, a view is
    the same.

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
        number: int = 0,
        size: int | None = None,
        epoch: int = 0,
    ):
        """Args: number: which batch of the streams' epoch it is, counted from 0."""
        self.images, self.labels, self.index, self.epoch = images, labels, index, epoch
        self._streams, self._number, self._size = streams, number, size

    def original(self, erasing: RandomErasing | None) -> Tensor:
        """The first view ``[B,3,H,W]``: camera noise on half of the images, then erasing."""
        runs = self._streams.noise(self._number, self.images[0].numel())
        return self._erase(camera_noise(self.images, runs), erasing, "original")

    def mirrored(self, erasing: RandomErasing | None) -> Tensor:
        """The second view ``[B,3,H,W]``: the mirror image, erased by itself, without noise."""
        return self._erase(mirror(self.images), erasing, "mirrored")

    def flipped(self, erasing: RandomErasing | None) -> Tensor:
        """The first view, a random half of its images mirrored: for the methods with one view."""
        view, flips = self.original(erasing), self._streams.flips(self._number)
        return torch.where(flips[:, None, None, None], mirror(view), view)

    def permutation(self) -> Tensor:
        """A random order of the batch, int64 ``[B]``: with whom each face is paired."""
        return self._streams.permutation(self._number)

    def _erase(self, images: Tensor, erasing: RandomErasing | None, view: str) -> Tensor:
        """Images on 0-255 normalised, and erased."""
        images = normalise(images, self._size)
        if erasing is None:
            return images
        size = images.shape[-2:]
        return erase_(images, self._streams.rectangles(self._number, view, erasing, *size))
