"""Writing the prepared format: one pass, little memory, all or nothing.

Images are appended to ``images.npy`` as they come; the folder appears under its own name only when
it is whole. Until then it is a ``.partial`` folder that no reader takes: thrown away when something
goes wrong, or, for a large set, kept with a note of how far it is, so that the same command goes on
from there (:func:`find_unfinished`).
"""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from numbers import Integral
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from eacbook.errors import InputError
from eacbook.files import remove_temporary, write_text
from eacbook.format import (
    COLUMNS,
    DESCRIPTION,
    FORMAT,
    IMAGES,
    LABELS,
    MOST_VOTES,
    SPLITS,
    VOTE_PREFIX,
    check_classes,
    sha256_of,
)

PROGRESS = "progress.json"
ROWS_A_NOTE = 256
"""A kill costs at most so many images: as often the rows reach the disk, and then the note."""


@dataclass(frozen=True)
class LabelledImage:
    """One image on its way into a prepared set.

    Attributes:
        split: ``"train"``, ``"validation"`` or ``"test"``.
        label: class index from 0.
        file: the source's own name of the image.
        pixels: uint8 ``[H,W,C]``.
        votes: annotators' votes by name of the choice, e.g. ``{"neutral": 4, "unknown": 1}``.
    """

    split: str
    label: int
    file: str
    pixels: np.ndarray
    votes: dict[str, int] | None = None


@dataclass
class Progress:
    """How far a set is written; all of it whole numbers, so that going on changes no last digit.

    Attributes:
        key: what is prepared and how; another key is another set.
        rows: images written.
        label_bytes: size of ``labels.csv`` after these rows.
        last: split and file of the last image.
        counts: images of each class, by split.
        histogram: how often the training pixels have each of their 256 values, by channel.
    """

    key: str = ""
    rows: int = 0
    label_bytes: int = 0
    last: list[str] = field(default_factory=list)
    counts: dict[str, list[int]] = field(default_factory=dict)
    histogram: np.ndarray | int = 0

    def add(self, image: LabelledImage, num_classes: int) -> None:
        self.rows += 1
        self.last = [image.split, image.file]
        self.counts.setdefault(image.split, [0] * num_classes)[image.label] += 1
        if image.split == "train":
            pixels = image.pixels[..., 0] if image.pixels.shape[2] == 1 else image.pixels
            # Pillow counts twice as fast as NumPy, and all cores wait for this one.
            self.histogram += np.reshape(Image.fromarray(pixels).histogram(), (-1, 256))


def find_unfinished(folder: str | Path, key: str) -> Progress:
    """How far an interrupted preparation of ``folder`` came; 0 rows where there is none.

    Args:
        folder: as for :func:`write_faces`.
        key: a digest of what is prepared and how: it must be the same again.

    Raises:
        InputError: what was interrupted is another preparation, or its files are not whole.
    """
    partial = _partial(Path(folder))
    note = partial / PROGRESS
    if not note.is_file():
        return Progress(key)
    try:
        progress = Progress(**json.loads(note.read_text(encoding="utf-8")))
        progress.histogram = np.array(progress.histogram)
        _check_progress(progress)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error)[:80]
        raise InputError(f"{note} is damaged ({reason}): remove {partial} to start anew") from error
    if progress.key != key:
        raise InputError(
            f"{partial} is the beginning of a set from another source or with other options: "
            "finish it with its own command, remove it, or choose another --out"
        )
    return progress


def _check_progress(progress: Progress) -> None:
    """Raises a ValueError, TypeError or AttributeError if it is not what :func:`_note` writes."""
    histogram, counts = progress.histogram, progress.counts
    whole = [
        progress.rows,
        progress.label_bytes,
        *(n for split in SPLITS for n in counts.get(split, [])),
    ]
    if not all(type(number) is int and number >= 0 for number in whole) or counts.keys() - set(
        SPLITS
    ):
        raise ValueError("its numbers are none")
    if histogram.dtype.kind not in "iu" or (histogram.size > 1 and histogram.shape[1:] != (256,)):
        raise ValueError("its histogram is none")
    if [type(text) for text in progress.last] != [str, str]:
        raise ValueError("it names no last image")


def write_faces(
    folder: str | Path,
    images: Iterable[LabelledImage],
    *,
    classes: Sequence[str],
    image_shape: tuple[int, int, int],
    source: str,
    licence: str,
    notes: dict | None = None,
    unfinished: Progress | None = None,
) -> dict:
    """Write a prepared set; ``folder`` appears when everything is written, or not at all.

    Args:
        folder: must not exist yet.
        images: consumed once, in order; must come grouped by split.
        classes: names in label order.
        image_shape: ``(H, W, C)`` of every image.
        source, licence: said in words to whoever opens the set.
        notes: further facts for ``faceset.json``, e.g. what was dropped and why.
        unfinished: from :func:`find_unfinished`; ``images`` are then those after its last one, and
            an interruption, of whatever kind, leaves what is written for the next time.

    Returns:
        The description that was written to ``faceset.json``.

    Raises:
        InputError: the folder exists, an image or a label does not fit, or there is no training or
            test image.
    """
    folder, classes = Path(folder), check_classes(classes, folder)
    if folder.exists():
        raise InputError(f"{folder} exists already; remove it or choose another --out")
    partial = _partial(folder)
    if unfinished is None and (partial / PROGRESS).exists():
        raise InputError(
            f"{partial} is the beginning of another set: finish it with its own command, remove "
            "it, or choose another --out"
        )
    if not (unfinished and unfinished.rows):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    try:
        description = _write(partial, images, classes, image_shape, unfinished)
        description |= {"source": source, "licence": licence, "notes": notes or {}}
        (partial / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", "utf-8")
        partial.rename(folder)
        (folder / PROGRESS).unlink(missing_ok=True)
        remove_temporary(folder, of_all=True)
    except BaseException:
        if not (partial / PROGRESS).exists():
            shutil.rmtree(partial, ignore_errors=True)
        raise
    return description


def _partial(folder: Path) -> Path:
    return folder.with_name(folder.name + ".partial")


def _write(
    folder: Path,
    images: Iterable[LabelledImage],
    classes: tuple[str, ...],
    shape: tuple,
    unfinished: Progress | None,
) -> dict:
    progress = unfinished or Progress()
    if progress.rows and (
        any(len(counts) != len(classes) for counts in progress.counts.values())
        or np.shape(progress.histogram) not in ((), (shape[2], 256))
    ):
        raise InputError(f"{folder / PROGRESS} is damaged: remove {folder} to start anew")
    mode = "r+" if progress.rows else "w"
    with (
        (folder / IMAGES).open(mode + "b") as pixels,
        (folder / LABELS).open(mode, newline="", encoding="utf-8") as labels,
    ):
        _write_npy_header(pixels, (0, *shape))
        if progress.rows:
            _cut(pixels, pixels.tell() + progress.rows * math.prod(shape))
            _cut(labels, progress.label_bytes)
        # With the line ends of the standard, a name that holds one is quoted.
        table = csv.writer(labels)
        vote_names = None
        for image in images:
            _check(image, classes, shape)
            votes = image.votes or {}
            if vote_names is None:
                vote_names = list(votes)
                if not progress.rows:
                    columns = [VOTE_PREFIX + name for name in vote_names]
                    table.writerow([*COLUMNS, *columns])
            if set(votes) != set(vote_names):
                raise InputError(
                    f"{image.file}: votes for {', '.join(votes) or 'nothing'}, the first image has "
                    f"votes for {', '.join(vote_names) or 'nothing'}"
                )
            row = [progress.rows, image.split, image.label, image.file]
            pixels.write(np.ascontiguousarray(image.pixels).tobytes())
            table.writerow([*row, *(votes[name] for name in vote_names)])
            progress.add(image, len(classes))
            if unfinished and progress.rows % ROWS_A_NOTE == 0:
                _note(folder, progress, pixels, labels)
    counts = {split: sum(progress.counts.get(split, [])) for split in SPLITS}
    for split in ("train", "test"):
        if not counts[split]:
            raise InputError(
                f"no image of the {split} split was found: nothing to prepare in "
                f"{folder.name.removesuffix('.partial')}"
            )
    with (folder / IMAGES).open("rb+") as pixels:
        # numpy pads the header, so that it can be written again once the first axis is known.
        _write_npy_header(pixels, (progress.rows, *shape))
    shares = progress.histogram / (counts["train"] * shape[0] * shape[1])
    values = np.arange(256) / 255
    mean = shares @ values
    return {
        "format": FORMAT,
        "classes": list(classes),
        "image_shape": list(shape),
        "mean": mean.round(6).tolist(),
        # Rounding takes the variance of a constant picture below zero.
        "std": np.sqrt(np.maximum(shares @ values**2 - mean**2, 0)).round(6).tolist(),
        "counts": {split: count for split, count in counts.items() if count},
        "checksums": {name: sha256_of(folder / name) for name in (IMAGES, LABELS)},
    }


def _note(folder: Path, progress: Progress, *files: IO) -> None:
    """Say how far the set is, after what is said has reached the disk."""
    for file in files:
        file.flush()
        os.fsync(file.fileno())
    progress.label_bytes = (folder / LABELS).stat().st_size
    facts = asdict(progress) | {"histogram": np.asarray(progress.histogram).tolist()}
    write_text(folder / PROGRESS, json.dumps(facts))


def _cut(file: IO, size: int) -> None:
    """Go on after ``size`` bytes: what stands behind was written after the last note."""
    if file.seek(0, os.SEEK_END) < size:
        raise InputError(
            f"{file.name} is shorter than {PROGRESS} beside it says: remove their folder to start "
            "anew"
        )
    file.truncate(size)
    file.seek(size)


def _check(image: LabelledImage, classes: tuple[str, ...], shape: tuple) -> None:
    if image.pixels.shape != shape or image.pixels.dtype != np.uint8:
        raise InputError(
            f"{image.file}: {image.pixels.dtype} {image.pixels.shape}, expected uint8 {shape}"
        )
    if image.split not in SPLITS:
        raise InputError(f"{image.file}: split {image.split!r}, expected one of {SPLITS}")
    if not isinstance(image.label, Integral) or not 0 <= image.label < len(classes):
        raise InputError(f"{image.file}: label {image.label}, expected 0 to {len(classes) - 1}")
    for name, count in (image.votes or {}).items():
        if not isinstance(count, Integral) or not 0 <= count < MOST_VOTES:
            raise InputError(f"{image.file}: {count} votes for {name}, expected a number of people")
    if "\0" in image.file:
        raise InputError(f"the file name {image.file!r} holds a NUL: rename the file")
    try:
        image.file.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"the file name {image.file!r} is no UTF-8: rename the file") from error


def _write_npy_header(file, shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
