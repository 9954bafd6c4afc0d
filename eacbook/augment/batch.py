"""The views of a batch, made for the whole batch at once on its device.

The steps are: camera noise on half of the original images, resizing, ImageNet normalisation, then random
erasing. The mirrored view is erased separately and never gets camera noise (EAC, Zhang et al., ECCV
2022, and its published code).
"""

from __future__ import annotations

import torch
from torch import Tensor

from eacbook.augment.erasing import RandomErasing, erase_
from eacbook.augment.normalise import mirror, normalise
from eacbook.augment.streams import Streams


def camera_noise(images: Tensor, runs: Tensor) -> Tensor:
    """Images with camera noise, clipped: int16 ``[B,C,H,W]`` on 0-255.

    Args:
        images: uint8 ``[B,C,H,W]``.
        runs: int16 ``[B,C*H*W]``, from :meth:`eacbook.augment.streams.Streams.noise`.
    """
    count, channels, height, width = images.shape
    # The noise has the memory order of the images, so that the sum reads both in the same order.
    noise = runs.view(count, height, width, channels).permute(0, 3, 1, 2)
    return (images + noise).clamp_(0, 255)


class Batch:
    """A batch on the device, with the views that a method can use.

    Every view has its own random stream. So two methods that use different views still see the same
    streams: for example, the baseline and EAC get the same erased rectangles in the original view. A
    second call gives the same view.

    Attributes:
        images: uint8 ``[B,C,H,W]``.
        labels: int64 ``[B]``, the labels to train on: the given labels, unless the method changed them.
        index: int64 ``[B]``, the rows of the training set.
        epoch: the number of the epoch, counted from 0.
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
        """Make a batch.

        Args:
            images, labels, index, epoch: see the attributes.
            streams: the random numbers of the epoch.
            number: the number of the batch in the epoch of the streams, counted from 0.
            size: height and width of the views in pixels; None keeps the stored size.
        """
        self.images, self.labels, self.index, self.epoch = images, labels, index, epoch
        self._streams, self._number, self._size = streams, number, size

    def original(self, erasing: RandomErasing | None) -> Tensor:
        """The first view ``[B,3,H,W]``: camera noise on half of the images, then erasing."""
        runs = self._streams.noise(self._number, self.images[0].numel())
        return self._erase(camera_noise(self.images, runs), erasing, "original")

    def mirrored(self, erasing: RandomErasing | None) -> Tensor:
        """The second view ``[B,3,H,W]``: the mirror image, erased separately, without camera noise."""
        return self._erase(mirror(self.images), erasing, "mirrored")

    def flipped(self, erasing: RandomErasing | None) -> Tensor:
        """The first view, with a random half of its images mirrored, for methods with one view."""
        view, flips = self.original(erasing), self._streams.flips(self._number)
        return torch.where(flips[:, None, None, None], mirror(view), view)

    def permutation(self) -> Tensor:
        """A random order of the batch, int64 ``[B]``: the partner of each face, e.g. for mixing."""
        return self._streams.permutation(self._number)

    def _erase(self, images: Tensor, erasing: RandomErasing | None, view: str) -> Tensor:
        """Normalise images on 0-255, then erase them."""
        images = normalise(images, self._size)
        if erasing is None:
            return images
        size = images.shape[-2:]
        return erase_(images, self._streams.rectangles(self._number, view, erasing, *size))


def last_places(index: Tensor) -> Tensor:
    """For each face of a batch, int64 ``[B]``, the last place of the same face in the batch: ``[B]``.

    Then all places of a face hold the same value, and the order in which a device writes them does not
    matter. The code does not wait for the device.
    """
    places = torch.arange(len(index), device=index.device)
    return torch.where(index[:, None] == index, places, -1).amax(1)
