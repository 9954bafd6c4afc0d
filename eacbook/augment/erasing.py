"""Random erasing (Zhong et al., AAAI 2020) of a whole batch at once.

The rectangles have exactly the distribution of torchvision's ``RandomErasing``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

ERASING_ATTEMPTS = 10
"""The number of rectangles that are tried for an image; if none of them fits, nothing is erased."""


@dataclass(frozen=True)
class RandomErasing:
    """The distribution of the random rectangles: that of torchvision, without a loop over images.

    Attributes:
        probability: the share of the images that lose a rectangle.
        scale: bounds of the area of the rectangle, as shares of the image.
        ratio: bounds of height over width; the ratio is log-uniform.
    """

    probability: float = 0.5
    scale: tuple[float, float] = (0.02, 0.25)
    ratio: tuple[float, float] = (0.3, 3.3)

    def rectangles(
        self, counts: Sequence[int], height: int, width: int, generator: torch.Generator
    ) -> Tensor:
        """int64 ``[N,4]``: top, left, height, width; height and width are 0 if nothing is erased.

        Args:
            counts: the number of images in each batch, N in all. The rectangles of a batch do not
                depend on later batches.
            height: height of the images in pixels.
            width: width of the images in pixels.
            generator: the source of the random numbers.
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
        """Random numbers for each image: shares of the area and logarithms of the ratio
        (``[count,attempts]``), whether something is erased, and where."""
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
        rectangles: int64 ``[B,4]``, from :meth:`RandomErasing.rectangles`.
    """
    count, channels, height, width = images.shape
    top, left, h, w = rectangles[..., None].unbind(1)
    row, column = _positions(height, width, channels, images.device)
    other_row = ((row < top) | (row >= top + h)).view(torch.uint8)
    other_column = ((column < left) | (column >= left + w)).view(torch.uint8)
    # The mask has the memory order of the images (channels last), so that the product is fast.
    kept = other_row[:, :, None] | other_column[:, None, :]
    return images.mul_(kept.view(count, height, width, channels).permute(0, 3, 1, 2))


@lru_cache(maxsize=8)
def _positions(
    height: int, width: int, channels: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The number of each row, int64 ``[H]``, and the column of each value in a row, ``[W*C]``."""
    row, column = (torch.arange(side, device=device) for side in (height, width))
    return row, column.repeat_interleave(channels)
