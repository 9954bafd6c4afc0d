"""Writing the prepared format: one pass, little memory, all or nothing.

Images are appended to ``images.npy`` as they come; the folder appears under its own name only when
it is whole. What a kill or a full disk leaves behind is a ``.partial`` folder that no reader takes.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eacbook.errors import InputError
from eacbook.faces import DESCRIPTION, FORMAT, IMAGES, LABELS, SPLITS, VOTE_PREFIX, sha256_of


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


def write_faces(
    folder: str | Path,
    images: Iterable[LabelledImage],
    *,
    classes: Sequence[str],
    image_shape: tuple[int, int, int],
    source: str,
    licence: str,
    notes: dict | None = None,
) -> dict:
    """Write a prepared set; ``folder`` appears when everything is written, or not at all.

    Args:
        folder: must not exist yet.
        images: consumed once, in order; must come grouped by split.
        classes: names in label order.
        image_shape: ``(H, W, C)`` of every image.
        source, licence: said in words to whoever opens the set.
        notes: further facts for ``faceset.json``, e.g. what was dropped and why.

    Returns:
        The description that was written to ``faceset.json``.

    Raises:
        InputError: the folder exists, an image or a label does not fit, or there is no training or
            test image.
    """
    folder = Path(folder)
    if folder.exists():
        raise InputError(f"{folder} exists already; remove it or choose another --out")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        description = _write(partial, images, tuple(classes), image_shape)
        description |= {"source": source, "licence": licence, "notes": notes or {}}
        (partial / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", "utf-8")
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return description


def _write(
    folder: Path, images: Iterable[LabelledImage], classes: tuple[str, ...], shape: tuple
) -> dict:
    counts: Counter[str] = Counter()
    total, squares = np.zeros(shape[2]), np.zeros(shape[2])
    with (
        (folder / IMAGES).open("wb+") as pixels,
        (folder / LABELS).open("w", newline="", encoding="utf-8") as labels,
    ):
        _write_npy_header(pixels, (0, *shape))
        table = None
        for row, image in enumerate(images):
            _check(image, classes, shape)
            pixels.write(np.ascontiguousarray(image.pixels).tobytes())
            votes = image.votes or {}
            if table is None:
                vote_names = list(votes)
                # With the line ends of the standard, a name that holds one is quoted.
                table = csv.writer(labels)
                columns = [VOTE_PREFIX + name for name in vote_names]
                table.writerow(["row", "split", "label", "file", *columns])
            if set(votes) != set(vote_names):
                raise InputError(
                    f"{image.file}: votes for {', '.join(votes) or 'nothing'}, the first image has "
                    f"votes for {', '.join(vote_names) or 'nothing'}"
                )
            table.writerow(
                [row, image.split, image.label, image.file, *(votes[name] for name in vote_names)]
            )
            counts[image.split] += 1
            if image.split == "train":
                values = image.pixels.reshape(-1, shape[2]) / 255.0
                total += values.mean(0)
                squares += (values**2).mean(0)
        # numpy pads the header, so that it can be written again once the first axis is known.
        pixels.seek(0)
        _write_npy_header(pixels, (sum(counts.values()), *shape))
    for split in ("train", "test"):
        if not counts[split]:
            raise InputError(f"no image of the {split} split was found: nothing to prepare")
    mean = total / counts["train"]
    return {
        "format": FORMAT,
        "classes": list(classes),
        "image_shape": list(shape),
        "mean": mean.round(6).tolist(),
        # Rounding takes the variance of a constant picture below zero.
        "std": np.sqrt(np.maximum(squares / counts["train"] - mean**2, 0)).round(6).tolist(),
        "counts": {split: counts[split] for split in SPLITS if counts[split]},
        "checksums": {name: sha256_of(folder / name) for name in (IMAGES, LABELS)},
    }


def _check(image: LabelledImage, classes: tuple[str, ...], shape: tuple) -> None:
    if image.pixels.shape != shape or image.pixels.dtype != np.uint8:
        raise InputError(
            f"{image.file}: {image.pixels.dtype} {image.pixels.shape}, expected uint8 {shape}"
        )
    if image.split not in SPLITS:
        raise InputError(f"{image.file}: split {image.split!r}, expected one of {SPLITS}")
    if not 0 <= image.label < len(classes):
        raise InputError(f"{image.file}: label {image.label}, expected 0 to {len(classes) - 1}")


def _write_npy_header(file, shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
