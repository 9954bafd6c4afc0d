"""Pictures of a source to pixels: checked before they are decoded, on all cores, in order.

Reading stays in one thread, because archives want it so; decoding and scaling, which take most of
the time and release the interpreter, run in as many threads as there are cores. A few pictures a
core are in memory at a time.
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
from sources import Opener, read_bytes
from tqdm import tqdm

from eacbook.errors import InputError
from eacbook.picture_files import read_picture
from eacbook.prepared import LabelledImage

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
# JPEG, PNG, GIF, TIFF, WebP and AVIF, for pictures under any other name.
STARTS = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|II\*\0|MM\0\*|RIFF....WEBP|....ftypavi[fs]",
    re.DOTALL,
)
LARGEST_IMAGE_BYTES = 1 << 26

WORKERS = os.cpu_count() or 1
IN_FLIGHT = 4 * WORKERS


class Face(NamedTuple):
    """A picture of the source that is to be prepared.

    Attributes:
        split, label: where it goes, and its class from 0.
        file: its name in the prepared set, unlike any other of its split.
        path: where it stands in the source.
        opener: opens it there.
        box: left, upper, right and lower pixel of the face, where it is to be cut out.
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
    """Whether the content is that of a picture, whatever its file is called."""
    try:
        with opener() as file:
            return bool(STARTS.match(file.read(16)))
    except (InputError, OSError):  # a damaged entry, a file that may not be read
        return False


def new_notes(classes: Sequence[str], reasons: Iterable[str]) -> dict[str, dict[str, Counter]]:
    """Counters by split: of what is kept, for each class, and of what is dropped, for each reason."""
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
    """The faces with their pixels, RGB, in order; what does not decode stops, or is counted.

    Args:
        faces: read in their order.
        change: cuts and scales an RGB picture to its final size.
        notes: of :func:`new_notes`, with a reason ``"broken"``; what comes is counted here.
        skip_broken: whether broken pictures are left out.
        upright: whether a picture is turned as its camera noted. Published sets are read as their
            pixels are stored: so their papers read them, and so their boxes count.
    """
    classes, broken = list(notes["kept"]), notes["dropped"]["broken"]

    def work(face: Face, data: bytes) -> np.ndarray:
        image = read_picture(data, face.path, upright=upright)
        return np.asarray(change(image.convert("RGB"), face))

    def start(face: Face) -> Future:
        try:
            return pool.submit(work, face, read_bytes(face.opener, face.path, LARGEST_IMAGE_BYTES))
        except InputError as error:  # too large a file is as broken as one that does not decode
            failed = Future()
            failed.set_exception(error)
            return failed

    def finish(face: Face, decoded: Future) -> Iterator[LabelledImage]:
        try:
            pixels = decoded.result()
        except InputError as error:
            if not skip_broken:
                raise InputError(f"{error} (--skip-broken goes on without it)") from error
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
