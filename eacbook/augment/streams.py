"""The random numbers of an epoch: each stream has its own generator."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from eacbook.augment.erasing import RandomErasing

CAMERA_NOISE_VARIANCE = 30.0
"""The variance of the Gaussian camera noise, on the scale of 0 to 255."""

NOISE_STRIP = 1 << 20
"""How many numbers of camera noise are drawn in an epoch, if images are not very large."""


class Streams:
    """The random decisions of an epoch, drawn for all its batches when the first batch needs them.

    So a step only looks them up, which saves dozens of small operations. Each stream has its own
    generator, so that no stream changes another. All numbers are drawn on the CPU, so they are the same
    for every device.

    Args:
        seed: a function from the name of a stream to its seed.
        counts: the number of images in each batch of the epoch.
        device: the device of the batches.
    """

    def __init__(
        self, seed: Callable[[str], int], counts: Sequence[int], device: torch.device | str = "cpu"
    ):
        self._seed, self._counts, self._device = seed, list(counts), torch.device(device)
        self._drawn: dict[Hashable, tuple[Tensor, ...]] = {}
        self._strip: Tensor  # drawn with the places of the runs in it

    def rectangles(
        self, batch: int, view: str, erasing: RandomErasing, height: int, width: int
    ) -> Tensor:
        """The rectangles to erase from a view of a batch (counted from 0): int64 ``[B,4]``."""

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

        Each image gets a piece of one long strip of noise, which begins at a random place. New random
        numbers for every image would take longer than all other steps together. The strip ends with
        zeros, for the images without noise.
        """
        places = self._look_up(batch, partial(self._place_noise, length), "camera", length)
        return _runs(self._strip, places, length)

    def _place_noise(self, length: int, generator: torch.Generator) -> Tensor:
        """The place in the strip where the piece of each image begins, int64 ``[N]``.

        This also draws the strip.
        """
        strip = max(NOISE_STRIP, 4 * length)
        places = torch.full((sum(self._counts),), strip)
        for number, part in enumerate(places.split(self._counts)):
            chosen = _half(len(part), generator).nonzero().squeeze(1)
            if number == 0:  # only now: stored runs used this order of random numbers
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
        """The part of a batch in the result of ``draw``, which is called once for these settings."""
        key = stream, *settings
        if key not in self._drawn:
            generator = torch.Generator().manual_seed(self._seed(stream))
            self._drawn[key] = draw(generator).to(self._device).split(self._counts)
        return self._drawn[key][batch]


GATHER_FROM_VIEWS = ("cpu", "cuda")
"""Devices that read directly from a view of the strip. Another device (MPS) may first copy the whole
view, which is as large as the strip times the length of a piece."""


def _runs(strip: Tensor, places: Tensor, length: int) -> Tensor:
    """The pieces of a strip ``[S]`` that begin at the places ``[B]``: ``[B,length]``."""
    if strip.device.type in GATHER_FROM_VIEWS:
        return strip.unfold(0, length, 1).index_select(0, places)
    return strip[places[:, None] + torch.arange(length, device=strip.device)]


def _half(count: int, generator: torch.Generator) -> Tensor:
    """True with probability 1/2: bool ``[count]``."""
    return torch.rand(count, generator=generator) < 0.5
