"""Data sets of faces with labels: synthetic ones, or ones from a prepared folder on disk.

The scripts in ``data_scripts/`` write a prepared folder (:mod:`eacbook.data.format`). They use
:mod:`eacbook.data.prepared` for it.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from eacbook.checks import LARGEST, row_numbers, seed_number, whole_number
from eacbook.data.format import (
    DESCRIPTION,
    IMAGES,
    LABELS,
    SPLITS,
    read_description,
    read_labels,
    sha256_of,
    shown,
)
from eacbook.data.images import ImageFile, Images, bring, fetch
from eacbook.devices import choose_device, fits_memory
from eacbook.errors import InputError
from eacbook.synthetic.faces import CLASSES, LARGEST_SIZE, SMALLEST_SIZE, DrawnFaces, draw_face_set

LARGE_BYTES = 1 << 30
"""A larger file is checked by its size only, because reading it takes long. Its images stay in the
file, and each batch is read when it is needed."""

# The persons of the synthetic set: no identity is in two splits.
SYNTHETIC_IDENTITIES = {
    "train": range(0, 600),
    "validation": range(600, 800),
    "test": range(800, 1200),
}


@dataclass(frozen=True)
class FaceSet:
    """Faces of one split.

    Attributes:
        images: uint8 ``[N,C,H,W]``, C 1 or 3. They are memory-mapped. The images of a large set
            stay in a file, and each one is read when it is used.
        labels: int64 ``[N]``, the true (published) classes.
        files: N names, those that the source gives its images.
        votes: int64 ``[N,K]``, how many annotators chose each class, or None.
        drawn: action units, identity and region masks of synthetic faces, or None for photographs.
    """

    images: Images
    labels: Tensor
    files: tuple[str, ...]
    votes: Tensor | None = None
    drawn: DrawnFaces | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class FaceData:
    """A data set: its splits and what is known about it.

    Attributes:
        name: short name, e.g. ``"synthetic"`` or the name of the prepared folder.
        train, test: the splits; ``test`` is never used to choose anything.
        validation: a split without wrong labels, for choosing, or None if the set has none.
        classes: K names in label order.
        fingerprint: a text that changes whenever an image or a label changes.
        source, licence: where the faces come from, and the terms of their use, as texts.
    """

    name: str
    train: FaceSet
    test: FaceSet
    validation: FaceSet | None
    classes: tuple[str, ...]
    fingerprint: str
    source: str
    licence: str

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def image_size(self) -> int:
        """Height of the stored images in pixels."""
        return self.train.images.shape[-2]

    def to(self, device: torch.device | str) -> FaceData:
        """A copy with its images on the device. Images in a file stay in the file."""

        def moved(faces: FaceSet | None) -> FaceSet | None:
            return faces and replace(faces, images=bring(faces.images, device))

        return replace(
            self,
            train=moved(self.train),
            test=moved(self.test),
            validation=moved(self.validation),
        )

    def only(self, rows: Tensor) -> FaceData:
        """Keep only these training faces, int64 ``[n]``; the other splits stay as they are.

        Raises:
            InputError: there is no row, or a row does not exist.
        """
        rows = row_numbers("rows", rows, len(self.train))
        digest = hashlib.sha256(rows.numpy().tobytes()).hexdigest()[:16]
        fingerprint = f"{self.fingerprint}/only={digest}"
        return replace(self, train=take(self.train, rows), fingerprint=fingerprint)

    def limit(self, count: int, seed: int = 0, *, held_out: int | None = None) -> FaceData:
        """Keep at most ``count`` images of each split: random ones, but the same for the same seed.

        Args:
            count: at least 1.
            seed: decides which images.
            held_out: at most so many images of the test and the validation split; by default ``count``.

        Raises:
            InputError: an argument is not a whole number or is out of range.
        """
        count, seed = whole_number("limit", count, 1), seed_number("seed", seed)
        others = "" if held_out is None else f",held_out={held_out}"
        held_out = count if held_out is None else whole_number("held_out", held_out, 1)
        return replace(
            self,
            train=_sample(self.train, count, seed),
            test=_sample(self.test, held_out, seed),
            validation=self.validation and _sample(self.validation, held_out, seed),
            fingerprint=f"{self.fingerprint}/limit={count},seed={seed}{others}",
        )


def load_faces(source: str | Path = "synthetic") -> FaceData:
    """Load a data set by name or from a prepared folder.

    Args:
        source: ``"synthetic"`` for the default set of synthetic faces, or the folder that a script
            in ``data_scripts/`` wrote.

    Raises:
        InputError: the name is unknown, or the folder is incomplete, damaged or in another format.
    """
    if str(source) == "synthetic":
        return synthetic_faces()
    if not isinstance(source, str | Path) or not os.path.isdir(source):  # noqa: PTH112
        raise InputError(
            f"unknown data set {shown(str(source))}: expected 'synthetic' or a folder prepared by "
            "'eacbook prepare', and there is no such folder"
        )
    return _read_prepared(Path(source))


def synthetic_faces(
    train: int = 3000,
    test: int = 1400,
    validation: int = 700,
    *,
    size: int = 48,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> FaceData:
    """Draw synthetic faces. Every class is equally frequent, and no person is in two splits.

    Args:
        train, test, validation: numbers of faces, each at least 1.
        size: pixels, 48 to 224.
        seed: the same seed draws the same faces.
        device: where the faces are drawn; the images stay there.

    Raises:
        InputError: a number has another type, is out of range or needs more memory than there is,
            or the device does not exist.
    """
    counts = {"train": train, "test": test, "validation": validation}
    counts = {name: whole_number(name, count, 1) for name, count in counts.items()}
    size = whole_number("size", size, SMALLEST_SIZE, LARGEST_SIZE)
    seed, device = seed_number("seed", seed), choose_device(device)
    together = sum(counts.values())
    fits_memory(f"{together:,} faces of {size} x {size} pixels", 3 * size**2 * together, device)

    def split(name: str, count: int) -> FaceSet:
        drawn = draw_face_set(
            count,
            identities=SYNTHETIC_IDENTITIES[name],
            size=size,
            seed=(3 * seed + SPLITS.index(name)) & LARGEST,
            device=device,
        )
        files = tuple(f"{name}_{row:05d}.png" for row in range(count))
        return FaceSet(drawn.images, drawn.labels, files, drawn=drawn)

    splits = {name: split(name, counts[name]) for name in SPLITS}
    digest = hashlib.sha256()
    for faces in splits.values():
        digest.update(faces.images.cpu().numpy().tobytes())
        digest.update(faces.labels.cpu().numpy().tobytes())
    return FaceData(
        name="synthetic",
        **splits,
        classes=CLASSES,
        fingerprint=digest.hexdigest()[:32],
        source="drawn by eacbook.synthetic.faces",
        licence="MIT",
    )


def take(faces: FaceSet, index: Tensor) -> FaceSet:
    """The faces at ``index`` (int64 ``[n]``), in that order."""
    drawn = None if faces.drawn is None else faces.drawn.take(index)
    return FaceSet(
        images=_rows_of(faces.images, index) if drawn is None else drawn.images,
        labels=faces.labels[index],
        files=tuple(faces.files[i] for i in index.tolist()),
        votes=None if faces.votes is None else faces.votes[index],
        drawn=drawn,
    )


def _sample(faces: FaceSet, count: int, seed: int) -> FaceSet:
    generator = torch.Generator().manual_seed(seed)
    return take(faces, torch.randperm(len(faces), generator=generator)[:count].sort().values)


def load_all(folder: str | Path) -> tuple[FaceSet, tuple[str, ...]]:
    """All images of a prepared folder in the order of its file, and the split of each of them.

    Raises:
        InputError: the folder is incomplete, damaged or in another format.
    """
    whole, splits, _ = _read_whole(Path(folder))
    return whole, splits


def _read_whole(folder: Path) -> tuple[FaceSet, tuple[str, ...], dict]:
    description = read_description(folder / DESCRIPTION)
    _check_file(folder / LABELS, description)
    rows = sorted(read_labels(folder / LABELS, description))
    images = _open_images(folder / IMAGES, len(rows), description)
    has_votes = rows[0].votes is not None
    whole = FaceSet(
        images=images,
        labels=torch.tensor([row.label for row in rows]),
        files=tuple(row.file for row in rows),
        votes=torch.tensor([row.votes for row in rows]) if has_votes else None,
    )
    return whole, tuple(row.split for row in rows), description


def _read_prepared(folder: Path) -> FaceData:
    whole, splits, description = _read_whole(folder)

    def split(name: str) -> FaceSet:
        return take(whole, torch.tensor([row for row, own in enumerate(splits) if own == name]))

    return FaceData(
        name=folder.resolve().name,
        train=split("train"),
        test=split("test"),
        validation=split("validation") if description["counts"].get("validation") else None,
        classes=description["classes"],
        fingerprint=fingerprint_of(description),
        source=description["source"],
        licence=description["licence"],
    )


def fingerprint_of(description: dict) -> str:
    """The fingerprint of a prepared set, from its description: it changes with every image and label."""
    return description["checksums"][IMAGES][:16] + description["checksums"][LABELS][:16]


def _rows_of(images: Images, index: Tensor) -> Images:
    """The images at ``index``. Images in a file stay there; consecutive rows stay memory-mapped."""
    if isinstance(images, ImageFile):
        return images.take(index)
    first, last = (int(index[0]), int(index[-1])) if len(index) else (0, -1)
    if last - first + 1 == len(index):
        return images[first : last + 1]
    return fetch(images, index)


def _open_images(path: Path, count: int, description: dict) -> Images:
    """The images as uint8 ``[N,C,H,W]``. Their pixels are not read yet."""
    _check_file(path, description)
    file = ImageFile(path)
    height, width, channels = description["image_shape"]
    if file.shape != (count, channels, height, width):
        n, c, h, w = file.shape
        raise InputError(
            f"{path} holds uint8 {(n, h, w, c)}, expected uint8 {(count, height, width, channels)}"
        )
    if path.stat().st_size > LARGE_BYTES:
        return file
    # Copy on write: a change of the array does not change the file.
    return torch.from_numpy(np.load(path, mmap_mode="c")).permute(0, 3, 1, 2)


def _check_file(path: Path, description: dict) -> None:
    if not path.is_file():
        raise InputError(f"{path} is missing; prepare the set again")
    if path.stat().st_size > LARGE_BYTES:
        return
    try:
        checksum = sha256_of(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if checksum != description["checksums"][path.name]:
        raise InputError(
            f"{path} is not the file that was prepared (its checksum differs from the one in "
            f"{DESCRIPTION}): truncated or changed; prepare the set again"
        )
