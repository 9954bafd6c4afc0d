"""How images are stored, and how a batch of them is fetched from memory or from the disk.

A set that fits into memory is one uint8 tensor ``[N,C,H,W]``. The channels of a pixel are next to each
other (channels-last). So an image is one run of bytes, and fetching a batch copies such runs. A larger
set stays in its file, and :class:`eacbook.data.images.ImageFile` reads the images of a batch.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from eacbook.errors import InputError

LONGEST_HEADER = 10_000
"""Longest header of an ``.npy`` file, in bytes: numpy's own limit."""


class ImageFile:
    """Images that stay in a file: indexing reads them, and does not keep them in memory.

    The file is read, not memory-mapped. With a mapped file, the system counts every page that was used
    as memory of the process, and fetches it in pieces of 4 kB. Reading releases the interpreter, so
    several threads can read at the same time.

    Args:
        path: an ``.npy`` file of uint8 ``[N,H,W,C]``.

    Attributes:
        rows: int64 ``[n]``, which images of the file these are; all of them after opening.
        offset: byte at which the first image of the file begins.

    Raises:
        InputError: the file has another form, or another size than its header says.
    """

    dtype = torch.uint8

    def __init__(self, path: str | Path):
        self.path = Path(path)
        try:
            self._refuse_long_header()
            # This maps the file, to compare its size with its header. It is unmapped at once.
            with np.errstate(over="ignore"):  # a size that overflows is refused below
                array = np.lib.format.open_memmap(self.path, mode="r")
        except Exception as error:  # a header is a Python expression, with any error of one
            reason = " ".join(str(error).split())[:80]
            raise InputError(f"{path} is truncated or no .npy file ({reason})") from error
        if array.dtype != np.uint8 or array.ndim != 4 or not array.flags.c_contiguous:
            raise InputError(f"{path} holds {array.dtype} {array.shape}, expected uint8 [N,H,W,C]")
        self.offset, self._picture = array.offset, array.shape[1:]
        self.rows = torch.arange(len(array))
        size, expected = self.path.stat().st_size, array.offset + array.nbytes
        if size != expected:
            raise InputError(f"{path} has {size:,} bytes, its header needs {expected:,}")

    def _refuse_long_header(self) -> None:
        """Check the length first: numpy would read a header of up to 4 GB before it refuses it."""
        with self.path.open("rb") as file:
            version, _ = np.lib.format.read_magic(file)
            length = int.from_bytes(file.read(2 if version == 1 else 4), "little")
        if length > LONGEST_HEADER:
            raise ValueError(f"a header of {length:,} bytes")

    @property
    def shape(self) -> torch.Size:
        """``(n, C, H, W)``."""
        height, width, channels = self._picture
        return torch.Size((len(self.rows), channels, height, width))

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: Tensor) -> ImageFile:
        """The images at ``index`` (int64 ``[n]``), in that order. They are not read yet."""
        taken = copy.copy(self)
        taken.rows = self.rows[index]
        return taken

    def __getitem__(self, index: int | slice | Tensor) -> Tensor:
        """Read images: uint8 ``[n,C,H,W]``, or ``[C,H,W]`` for one number; indexed like a tensor."""
        rows = self.rows[index]
        pixels = np.empty((rows.numel(), *self._picture), np.uint8)
        size = pixels[:1].nbytes
        with self.path.open("rb", buffering=0) as file:
            for picture, row in zip(pixels, rows.view(-1).tolist(), strict=True):
                file.seek(self.offset + row * size)
                if file.readinto(picture) != size:
                    raise InputError(f"{self.path} ends before image {row}; prepare the set again")
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        return images if rows.dim() else images[0]


Images = Tensor | ImageFile


def fetch(images: Images, index: Tensor) -> Tensor:
    """The images at ``index``, uint8 ``[n,C,H,W]``.

    Args:
        images: on any device, or in a file.
        index: int64 ``[n]``, also on any device.
    """
    if not isinstance(images, Tensor):
        return images[index]
    # index_select copies whole images; `images[index]` would copy number by number.
    index = index.to(images.device)
    if images.is_contiguous(memory_format=torch.channels_last):
        return images.permute(0, 2, 3, 1).index_select(0, index).permute(0, 3, 1, 2)
    return images.index_select(0, index)


def bring(images: Images, device: torch.device | str) -> Images:
    """Images from memory, now on the device and channels-last. Images in a file stay there."""
    if not isinstance(images, Tensor):
        return images
    return images.to(device).contiguous(memory_format=torch.channels_last)
