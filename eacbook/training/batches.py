"""The batches of an epoch, in a random order, from memory or from a file."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from eacbook.augment.batch import Batch
from eacbook.augment.streams import Streams
from eacbook.data.faces import FaceData
from eacbook.data.images import ImageFile, fetch
from eacbook.noise.labels import NoisyLabels
from eacbook.training.recipe import Recipe


def split_batches(count: int, batch_size: int) -> list[int]:
    """The number of faces in each batch of an epoch: ``batch_size``, and the rest in the last batch.

    If a single face remains, it joins the batch before it, for every method: a batch of one face cannot
    be ranked, mixed or normalised. So such a batch occurs only with one training face or with
    ``batch_size=1``.
    """
    sizes = [batch_size] * (count // batch_size)
    remaining = count % batch_size
    if remaining == 1 and sizes:
        sizes[-1] += 1
    elif remaining:
        sizes.append(remaining)
    return sizes


def batches(
    faces: FaceData,
    noisy: NoisyLabels,
    recipe: Recipe,
    epoch: int,
    device: torch.device | str = "cpu",
    labels: Tensor | None = None,
) -> Iterator[Batch]:
    """Yield the batches of an epoch, in the random order of this epoch.

    The sizes are those of :func:`split_batches`. Every training face comes once. With
    ``recipe.balanced`` the faces are drawn at random, and a face can come several times or not at all.
    Images in memory are selected on their own device. Images in a file are read by separate threads,
    ahead of the network.

    Args:
        epoch: counted from 0.
        labels: int64 ``[N]``, the labels to train on, for a method that changes labels; None for the
            given labels.
    """
    device = torch.device(device)

    def seed(stream: str) -> int:
        return stream_seed(recipe.seed, stream, epoch)

    images = faces.train.images
    labels = noisy.given.to(device) if labels is None else labels
    sizes = split_batches(len(faces.train), recipe.batch_size)
    order = _order(noisy.given, recipe.balanced, torch.Generator().manual_seed(seed("order")))
    parts: Iterator[tuple[Tensor, Tensor]]
    if isinstance(images, Tensor):
        split = order.to(images.device).split(sizes)
        parts = ((index, fetch(images, index)) for index in split)
    else:
        split = order.split(sizes)
        parts = _read_ahead(images, split, device)
    streams = Streams(seed, sizes, device)
    for number, (index, part) in enumerate(parts):
        index, part = (tensor.to(device, non_blocking=True) for tensor in (index, part))
        yield Batch(part, labels[index], index, streams, number, recipe.size, epoch)


def _order(given: Tensor, balanced: bool, generator: torch.Generator) -> Tensor:
    """The rows of the training set in the order of one epoch, int64 ``[N]``."""
    if not balanced:
        return torch.randperm(len(given), generator=generator)
    rarity = 1 / given.bincount().double()
    return torch.multinomial(rarity[given], len(given), replacement=True, generator=generator)


READERS = AHEAD = 4
"""The number of threads that read from a file, and the number of batches that they read ahead."""


def _read_ahead(
    images: ImageFile, batches: Iterable[Tensor], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield rows and images of each batch, in order; threads read the next batches meanwhile."""

    def read(index: Tensor) -> tuple[Tensor, Tensor]:
        part = images[index]
        # A GPU can copy from pinned memory without waiting for the CPU.
        return index, part.pin_memory() if device.type == "cuda" else part

    with ThreadPoolExecutor(READERS) as threads:
        waiting: deque[Future[tuple[Tensor, Tensor]]] = deque()
        for index in batches:
            waiting.append(threads.submit(read, index))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def stream_seed(seed: int, stream: str, epoch: int) -> int:
    """A seed for one random stream in one epoch, independent of all other seeds."""
    digest = hashlib.sha256(f"{seed}/{stream}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:7], "big")
