"""From AffectNet, in the layout of 2021 or with the older lists, to the prepared format.

AffectNet (Mollahosseini, Hasani and Mahoor, IEEE Transactions on Affective Computing 2017) has
about 290,000 labelled faces. The release of 2021 has ``train_set`` and ``val_set`` with numbered
faces and their labels in ``_exp.npy`` files. The older release has ``training.csv`` and
``validation.csv`` with the box of each face in a photograph. The official validation set is the
test split, as in the papers: the real test set was never published. Images are streamed. After an
interruption, the same call continues.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image
from tqdm import tqdm

from eacbook.checks import shortened
from eacbook.classes import CLASSES
from eacbook.data.prepare.archives import (
    ARCHIVE,
    Files,
    Opener,
    index,
    open_files,
    read_bytes,
    read_csv,
)
from eacbook.data.prepare.command import run, side, warn
from eacbook.data.prepare.decoding import Face, decode_all, is_image, new_notes
from eacbook.data.prepared import Progress, find_unfinished, write_faces
from eacbook.errors import InputError

EXPRESSIONS = (
    *("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt"),
    *("none", "uncertain", "no_face"),
)
"""The meanings of AffectNet's numbers 0 to 10."""

SPLITS = {"train_set": "train", "val_set": "test"}
LISTS = {"training.csv": "train", "validation.csv": "test"}
COLUMNS = (
    *("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height"),
    *("facial_landmarks", "expression", "valence", "arousal"),
)
LABEL = "_exp.npy"
LARGEST_LABEL_BYTES, MOST_ROWS = 4096, 2_000_000
SIZE = 224
OFFICIAL = {7: ((283_901, 3_500),), 8: ((287_651, 4_000), (287_651, 3_999))}

REASONS = {
    "contempt": "contempt, not one of the 7 classes",
    "none": "none of the expressions",
    "uncertain": "uncertain",
    "no_face": "no face",
    "repeated": "listed again",
    "missing": "no image",
    "unlabelled": "no label",
    "broken": "image does not decode",
}

LICENCE = (
    "AffectNet: for research, on the terms signed for it, not to be passed on. Cite Mollahosseini, "
    "Hasani and Mahoor 2017 (arXiv 1708.03985)."
)
Found = Iterator[tuple[str, int, str, str | None, tuple[int, int, int, int] | None]]


def prepare(
    source: Path,
    out: Path,
    *,
    num_classes: int = 7,
    size: int = SIZE,
    skip_broken: bool = False,
) -> dict:
    """Prepare AffectNet. After an interruption, the same call continues.

    Args:
        source: a folder, a zip or a tar (gzipped or not) with ``train_set`` and ``val_set``, or
            with the two lists and the images they name.
        out: the folder to make; until it is complete, it is called ``out.partial``.
        num_classes: 7, or 8 with contempt.
        size: pixels of a side; the release of 2021 has 224.
        skip_broken: drop and count images that are missing, have no label or do not decode,
            instead of stopping.

    Returns:
        The description in ``faceset.json``; its notes count what was kept and what was dropped.

    Raises:
        InputError: the source is not AffectNet, or is damaged. Then ``out`` is not made.
    """
    classes = CLASSES[:num_classes]
    notes = new_notes(classes, (reason for reason in REASONS if reason not in classes))
    with open_files(source, enter=lambda name: True) as files:
        faces = find_faces(files, source, notes["dropped"], skip_broken)
        unfinished = find_unfinished(out, digest_of(faces, num_classes, size))
        start = count_again(faces, unfinished, notes)
        left = tqdm(
            islice(faces, start, None),
            initial=start, total=len(faces), unit=" images", disable=None,
        )  # fmt: skip
        return write_faces(
            out,
            decode_all(
                left, lambda image, face: cut_out(image, face, size), notes, skip_broken=skip_broken
            ),
            classes=classes,
            image_shape=(size, size, 3),
            source="AffectNet, manually annotated; its validation set is the test split",
            licence=LICENCE,
            notes=notes,
            unfinished=unfinished,
        )


def digest_of(faces: list[Face], num_classes: int, size: int) -> str:
    """The key of a preparation. It can only continue an interrupted one that has the same key."""
    digest = hashlib.sha256(f"{num_classes} {size}".encode())
    for face in faces:
        digest.update(repr((face.split, face.label, face.path, face.box)).encode())
    return digest.hexdigest()


def count_again(faces: list[Face], unfinished: Progress, notes: dict) -> int:
    """Count the images of an interrupted preparation, and return how many faces are finished."""
    for split, counts in unfinished.counts.items():
        for label, name in enumerate(notes["kept"]):
            notes["kept"][name][split] += counts[label]
    if not unfinished.rows:
        return 0
    tqdm.write(f"continuing after {unfinished.rows:,} images of an earlier start", file=sys.stderr)
    last = [[face.split, face.file] for face in faces].index(unfinished.last) + 1
    done = Counter(face.split for face in faces[:last])
    kept = {split: sum(counts) for split, counts in unfinished.counts.items()}
    notes["dropped"]["broken"] += done - Counter(kept)
    return last


def find_faces(
    files: Files, source: Path, dropped: dict[str, Counter], skip_broken: bool
) -> list[Face]:
    """The faces of the chosen classes, training split first, in the order that reads fastest."""
    lists = {PurePosixPath(path).name: path for path in files}
    lists = {split: lists[name] for name, split in LISTS.items() if name in lists}
    annotations = [path for path in files if path.endswith(LABEL)]
    if annotations:
        found = annotated(files, annotations, source, dropped["unlabelled"], skip_broken)
    elif len(lists) == len(LISTS):
        found = listed(files, lists, source)
    else:
        raise InputError(
            f"{source} holds neither images with their {LABEL} files in train_set and val_set nor "
            "training.csv with validation.csv: expected one form of AffectNet (own_faces.py reads "
            "a folder for each class)"
        )
    faces: dict[tuple[str, str], Face] = {}
    for split, expression, name, path, box in found:
        label = EXPRESSIONS[expression]
        if label in dropped:
            dropped[label][split] += 1
        elif (split, name) in faces:
            dropped["repeated"][split] += 1
        elif path is not None:
            faces[split, name] = Face(split, CLASSES.index(label), name, path, files[path], box)
        elif skip_broken:
            dropped["missing"][split] += 1
        else:
            raise InputError(
                f"{source}: there is no image for {name} of the {split} split: expected all that "
                "have a label (--skip-broken leaves it out)"
            )
    order = {path: position for position, path in enumerate(files)}
    return sorted(faces.values(), key=lambda face: (face.split != "train", order[face.path]))


def annotated(
    files: Files, annotations: list[str], source: Path, unlabelled: Counter, skip_broken: bool
) -> Found:
    """The layout of 2021: an image and its label have the same number and are in the same set."""
    images = index(
        (
            ((split_of(path, source), PurePosixPath(path).stem), path)
            for path in filter(is_image, files)
        ),
        source,
    )
    for path in tqdm(annotations, unit=" labels", disable=None):
        split, number = split_of(path, source), PurePosixPath(path).name.removesuffix(LABEL)
        image = images.pop((split, number), None)
        name = PurePosixPath(image).name if image else f"{number}.jpg"
        yield split, read_expression(files[path], path), name, image, None
    if images and not skip_broken:
        path = next(iter(images.values()))
        raise InputError(
            f"{source} has no {LABEL} file for {path} ({len(images)} such images; --skip-broken "
            "leaves them out)"
        )
    unlabelled.update(split for split, _ in images)


def split_of(path: str, source: Path) -> str:
    for part in PurePosixPath(path).parts:
        if (name := ARCHIVE.sub("", part)) in SPLITS:
            return SPLITS[name]
    raise InputError(
        f"{source}: {path} is neither in train_set nor in val_set: give the folder that holds both"
    )


def read_expression(opener: Opener, path: str) -> int:
    """The label in an ``.npy`` file: one number, or a number as a text, as in AffectNet."""
    data = io.BytesIO(read_bytes(opener, path, LARGEST_LABEL_BYTES))
    try:
        # A pickle in the file is never loaded: it could run anything.
        value = np.lib.format.read_array(data, allow_pickle=False)
        label = value.item() if value.size == 1 else None
    except Exception as error:  # a damaged header can raise any error
        raise InputError(
            f"{path} is not a .npy file of a number ({shortened(str(error))})"
        ) from error
    if value.size != 1:
        raise InputError(f"{path} holds {value.size} values, expected one label")
    return parse_expression(
        label.decode(errors="replace") if isinstance(label, bytes) else str(label), path
    )


def parse_expression(text: str, where: str) -> int:
    if not re.fullmatch(r"([0-9]|10)(\.0)?", text):
        raise InputError(
            f"{where}: the expression is {text[:40]!r}, expected 0 to {len(EXPRESSIONS) - 1}"
        )
    return int(text.removesuffix(".0"))


def listed(files: Files, lists: dict[str, str], source: Path) -> Found:
    """The older lists: each line has the folder and name of an image, and the box of its face."""
    images = index(
        (("/".join(path.rsplit("/", 2)[-2:]), path) for path in filter(is_image, files)), source
    )
    for split, table in lists.items():
        for line, row in rows_of(files[table], table):
            where = f"{table}, line {line}"
            if len(row) != len(COLUMNS):
                raise InputError(f"{where}: {len(row)} columns, expected {len(COLUMNS)}")
            expression = parse_expression(row[6], where)
            # A line without an expression has no box.
            box = parse_box(row[1:5], where) if expression < 8 else None
            yield split, expression, row[0], images.get(row[0]), box


def rows_of(opener: Opener, table: str) -> Iterator[tuple[int, list[str]]]:
    """The rows below the header. Some copies of ``validation.csv`` have no header."""
    for line, row in read_csv(opener, table, MOST_ROWS):
        if line > 1 or "/" in row[0]:
            yield line, row
        elif tuple(row) != COLUMNS:
            found = ",".join(row)[:80]
            raise InputError(f"{table}, line 1: {found!r}, expected {','.join(COLUMNS)}")


def parse_box(fields: list[str], where: str) -> tuple[int, int, int, int]:
    """Left, upper, right, lower from x, y, width and height."""
    if not all(re.fullmatch(r"-?\d{1,6}", text, re.ASCII) for text in fields):
        raise InputError(f"{where}: the box is {','.join(fields)[:40]!r}, expected whole numbers")
    x, y, width, height = map(int, fields)
    return x, y, x + width, y + height


def cut_out(image: Image.Image, face: Face, size: int) -> Image.Image:
    """The face: the part of its box that is inside the image, scaled to a square."""
    left, upper, right, lower = face.box or (0, 0, *image.size)
    box = max(left, 0), max(upper, 0), min(right, image.width), min(lower, image.height)
    if box[0] >= box[2] or box[1] >= box[3]:
        raise InputError(
            f"{face.path} has {image.width}x{image.height} pixels, and none of them is in the box "
            f"{face.box} of its face"
        )
    return image.resize((size, size), box=box)


def main(arguments: list[str], program: str) -> None:
    """Run the command; ``program`` is the command as the user wrote it."""
    parser = argparse.ArgumentParser(
        prog=program,
        description="Prepare AffectNet for eacbook. After an interruption the same command continues.",
        epilog=f"Example: {program} AffectNet --size 112 --out data/affectnet\n\n{LICENCE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", type=Path, help="folder, zip or tar with train_set and val_set, or the lists")
    add("--out", type=Path, required=True, help="folder to make, e.g. data/affectnet")
    add("--classes", type=int, choices=(7, 8), default=7, help="8 adds contempt (%(default)s)")
    add("--size", type=side, default=SIZE, help="pixels of a side (%(default)s, the set's own)")
    add("--skip-broken", action="store_true", help="drop missing or broken images, and count them")
    args = parser.parse_args(arguments)
    options = {"num_classes": args.classes, "size": args.size, "skip_broken": args.skip_broken}
    description = run(parser, args.out, lambda: prepare(args.source, args.out, **options), REASONS)
    counts = description["counts"]["train"], description["counts"]["test"]
    if counts not in OFFICIAL[args.classes]:
        found, official = (
            f"{train:,} training and {test:,} validation images"
            for train, test in (counts, OFFICIAL[args.classes][0])
        )
        warn(f"{args.source} gave {found}, AffectNet has {official}")
