"""From the pictures of a source to pixels: checked first, then decoded on all cores, in order.

One thread reads, because an archive cannot be read by several threads at once. Decoding and scaling
take most of the time and release the interpreter, so they run in one thread for each core. Only a
few pictures for each core are in memory at a time.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from eacbook.data.picture_files import read_picture
from eacbook.data.prepare.archives import Opener, read_bytes
from eacbook.data.prepared import LabelledImage
from eacbook.errors import InputError

SUFFIXES = frozenset(
    (
        *(
            ".jpg",
            ".jpeg",
            ".jpe",
            ".jfif",
            ".jif",
            ".mpo",
            ".png",
            ".apng",
            ".gif",
            ".bmp",
            ".dib",
        ),
        *(".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm", ".avif"),
    )
)
# JPEG, PNG, GIF, TIFF, WebP and AVIF, for pictures whose file name has another ending.
STARTS = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|II\*\0|MM\0\*|RIFF....WEBP|....ftypavi[fs]",
    re.DOTALL,
)
LARGEST_IMAGE_BYTES = 1 << 26

WORKERS = os.cpu_count() or 1
IN_FLIGHT = 4 * WORKERS


class Face(NamedTuple):
    """A picture of the source that will be prepared.

    Attributes:
        split, label: its split in the prepared set, and its class from 0.
        file: its name in the prepared set; no two pictures of a split have the same name.
        path: its path in the source.
        opener: a function that opens it.
        box: left, upper, right and lower pixel of the face, or None if the whole picture is used.
    """

    split: str
    label: int
    file: str
    path: str
    opener: Opener
    box: tuple[int, int, int, int] | None = None


Change = Callable[[Image.Image, Face], Image.Image]


def is_image(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in SUFFIXES


def starts_as_image(opener: Opener) -> bool:
    """Whether the file begins like a picture; its name does not matter."""
    try:
        with opener() as file:
            return bool(STARTS.match(file.read(16)))
    except (InputError, OSError):  # a damaged entry, or a file without the right to read it
        return False


def new_notes(classes: Sequence[str], reasons: Iterable[str]) -> dict[str, dict[str, Counter]]:
    """Counters by split: of the kept images for each class, and of the dropped ones by reason."""
    return {
        "kept": {name: Counter() for name in classes},
        "dropped": {reason: Counter() for reason in reasons},
    }


def decode_all(
    faces: Iterable[Face],
    change: Change,
    notes: dict[str, dict[str, Counter]],
    *,
    skip_broken: bool,
    upright: bool = False,
) -> Iterator[LabelledImage]:
    """The faces with their pixels, RGB, in order.

    Args:
        faces: the pictures; they are read in their order.
        change: a function that cuts and scales an RGB picture to its final size.
        notes: from :func:`new_notes`, with a reason ``"broken"``; the faces are counted here.
        skip_broken: whether broken pictures are left out and counted. Otherwise they are an error.
        upright: whether a picture is turned as its EXIF data say. Published sets are not turned:
            their papers do not turn them, and their boxes are for the pixels as they are stored.

    Raises:
        InputError: a picture does not decode, and ``skip_broken`` is False.
    """
    classes, broken = list(notes["kept"]), notes["dropped"]["broken"]

    def work(face: Face, data: bytes) -> np.ndarray:
        image = read_picture(data, face.path, upright=upright)
        return np.asarray(change(image.convert("RGB"), face))

    def start(face: Face) -> Future:
        try:
            return pool.submit(work, face, read_bytes(face.opener, face.path, LARGEST_IMAGE_BYTES))
        except InputError as error:  # a file that is too large counts as broken, too
            failed: Future = Future()
            failed.set_exception(error)
            return failed

    def finish(face: Face, decoded: Future) -> Iterator[LabelledImage]:
        try:
            pixels = decoded.result()
        except InputError as error:
            if not skip_broken:
                raise InputError(f"{error} (--skip-broken leaves it out)") from error
            tqdm.write(f"skipped: {error}", file=sys.stderr)
            broken[face.split] += 1
        else:
            notes["kept"][classes[face.label]][face.split] += 1
            yield LabelledImage(face.split, face.label, face.file, pixels)

    with ThreadPoolExecutor(WORKERS) as pool:
        waiting: deque[tuple[Face, Future]] = deque()
        for face in faces:
            waiting.append((face, start(face)))
            if len(waiting) > IN_FLIGHT:
                yield from finish(*waiting.popleft())
        while waiting:
            yield from finish(*waiting.popleft())
