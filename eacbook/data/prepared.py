"""Writing the prepared format: in one pass, with little memory, completely or not at all.

Images are appended to ``images.npy`` one by one. The folder gets its own name only when it is
complete. Until then its name ends in ``.partial``, and no reader accepts it. After an error it is
removed. For a large set it is kept, with a note of the progress, so that the same command can
continue (:func:`eacbook.data.prepared.find_unfinished`).
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

from eacbook.checks import shown
from eacbook.data.format import (
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
from eacbook.errors import InputError
from eacbook.files import remove_temporary, write_text

PROGRESS = "progress.json"
ROWS_A_NOTE = 256
"""After this many images, the rows and then the note are written to the disk. A process that is killed
loses no more images than this."""


@dataclass(frozen=True)
class LabelledImage:
    """One image on its way into a prepared set.

    Attributes:
        split: ``"train"``, ``"validation"`` or ``"test"``.
        label: class index from 0.
        file: the name of the image in its source.
        pixels: uint8 ``[H,W,C]``.
        votes: number of annotators for each choice, e.g. ``{"neutral": 4, "unknown": 1}``.
    """

    split: str
    label: int
    file: str
    pixels: np.ndarray
    votes: dict[str, int] | None = None


@dataclass
class Progress:
    """How much of a set is written, in whole numbers, so that an interruption changes no digit.

    Attributes:
        key: a digest of what is prepared and how; another key means another set.
        rows: images written.
        label_bytes: size of ``labels.csv`` after these rows.
        last: split and file of the last image.
        counts: images of each class, by split.
        histogram: for each channel, how often each of the 256 values occurs in training pixels.
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
            # Pillow counts twice as fast as NumPy, and the other cores wait for this count.
            self.histogram += np.reshape(Image.fromarray(pixels).histogram(), (-1, 256))


def find_unfinished(folder: str | Path, key: str) -> Progress:
    """The progress of an interrupted preparation of ``folder``, or 0 rows if there is none.

    Args:
        folder: as for :func:`write_faces`.
        key: a digest of what is prepared and how; it must be that of the interrupted preparation.

    Raises:
        InputError: the interrupted preparation has another key, or its files are damaged.
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
        raise InputError(
            f"{note} is damaged ({reason}): remove {partial} to start again"
        ) from error
    if progress.key != key:
        raise InputError(
            f"{partial} is the beginning of a set from another source or with other options: "
            "finish it with its own command, remove it, or choose another --out"
        )
    return progress


def _check_progress(progress: Progress) -> None:
    """Raise a ValueError, TypeError or AttributeError if :func:`_note` did not write this."""
    histogram, counts = progress.histogram, progress.counts
    whole = [
        progress.rows,
        progress.label_bytes,
        *(n for split in SPLITS for n in counts.get(split, [])),
    ]
    if not all(type(number) is int and number >= 0 for number in whole) or counts.keys() - set(
        SPLITS
    ):
        raise ValueError("its numbers are not whole numbers from 0")
    if histogram.dtype.kind not in "iu" or (histogram.size > 1 and histogram.shape[1:] != (256,)):
        raise ValueError("its histogram has another form")
    if [type(text) for text in progress.last] != [str, str]:
        raise ValueError("it does not name the last image")


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
    """Write a prepared set. The folder appears when the set is complete, or not at all.

    Args:
        folder: the folder to make; it must not exist yet.
        images: they are read once, in order, and must be grouped by split.
        classes: names in label order.
        image_shape: ``(H, W, C)`` of every image.
        source, licence: texts for the users of the set.
        notes: further facts for ``faceset.json``, e.g. what was dropped and why.
        unfinished: from :func:`find_unfinished`. ``images`` then begin after its last image. After
            an interruption of any kind, the written part is kept for the next call.

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
        write_text(partial / DESCRIPTION, json.dumps(description, indent=2) + "\n")
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
        raise InputError(f"{folder / PROGRESS} is damaged: remove {folder} to start again")
    mode = "r+" if progress.rows else "w"
    with (
        (folder / IMAGES).open(mode + "b") as pixels,
        (folder / LABELS).open(mode, newline="", encoding="utf-8") as labels,
    ):
        _write_npy_header(pixels, (0, *shape))
        if progress.rows:
            _cut(pixels, pixels.tell() + progress.rows * math.prod(shape))
            _cut(labels, progress.label_bytes)
        # The line ends are those of the standard, so a name that contains one is quoted.
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
                f"no image of the {split} split was found: there is nothing to prepare in "
                f"{folder.name.removesuffix('.partial')}"
            )
    with (folder / IMAGES).open("rb+") as pixels:
        # numpy pads the header. So it can be written again now that the first axis is known.
        _write_npy_header(pixels, (progress.rows, *shape))
    shares = progress.histogram / (counts["train"] * shape[0] * shape[1])
    values = np.arange(256) / 255
    mean = shares @ values
    return {
        "format": FORMAT,
        "classes": list(classes),
        "image_shape": list(shape),
        "mean": mean.round(6).tolist(),
        # Rounding can make the variance of a constant picture negative.
        "std": np.sqrt(np.maximum(shares @ values**2 - mean**2, 0)).round(6).tolist(),
        "counts": {split: count for split, count in counts.items() if count},
        "checksums": {name: sha256_of(folder / name) for name in (IMAGES, LABELS)},
    }


def _note(folder: Path, progress: Progress, *files: IO) -> None:
    """Write the progress, after the rows that it counts are on the disk."""
    for file in files:
        file.flush()
        os.fsync(file.fileno())
    progress.label_bytes = (folder / LABELS).stat().st_size
    facts = asdict(progress) | {"histogram": np.asarray(progress.histogram).tolist()}
    write_text(folder / PROGRESS, json.dumps(facts))


def _cut(file: IO, size: int) -> None:
    """Continue after ``size`` bytes. The rest of the file was written after the last note."""
    if file.seek(0, os.SEEK_END) < size:
        raise InputError(
            f"{file.name} is shorter than {PROGRESS} says: remove the folder of both files to start "
            "again"
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
        raise InputError(f"the file name {shown(image.file)} contains a NUL: rename the file")
    try:
        image.file.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"the file name {image.file!r} is not UTF-8: rename the file") from error


def _write_npy_header(file, shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
