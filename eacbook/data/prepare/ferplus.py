"""From FERPlus, in any of its forms, to the prepared format.

FERPlus (Barsoum et al., ICMI 2016, arXiv 1608.01041) is FER2013 (Goodfellow et al., 2013) with the
votes of ten annotators on each image. It exists in two forms. Its own tools make folders of PNG
files with a ``label.csv`` in each. Kaggle has the pixels in ``fer2013.csv``, and the votes are in
``fer2013new.csv``. Archives are streamed, never unpacked, and one image is in memory at a time.
"""

from __future__ import annotations

import argparse
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from statistics import NormalDist

import numpy as np
from tqdm import tqdm

from eacbook.checks import shown
from eacbook.classes import CLASSES
from eacbook.data.picture_files import read_picture
from eacbook.data.prepare.archives import Files, Opener, gunzipped, open_files, read_bytes, read_csv
from eacbook.data.prepare.command import run
from eacbook.data.prepared import LabelledImage, write_faces
from eacbook.errors import InputError

CHOICES = (
    *("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"),
    *("unknown", "not_a_face"),
)
"""The choices of an annotator, in the order of the columns in every file of FERPlus."""

FOLDERS = {"train": "FER2013Train", "validation": "FER2013Valid", "test": "FER2013Test"}
USAGES = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
LABEL_FILE, VOTES_FILE = "label.csv", "fer2013new.csv"
PIXEL_FILES = ("fer2013.csv", "icml_face_data.csv")  # Kaggle has the same rows under two names
VOTES_HEADER = ["Usage", "Image name", *CHOICES[:9], "NF"]
SIZE = 48

EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
"""The meanings of the numbers 0 to 6 in FER2013's own column ``emotion``."""

# In about two of three rows, FER2013's emotion is that of the majority of the votes: people agreed
# with it in 65 +- 5 % (Goodfellow et al. 2013). We expect at least half. In one part of the table the
# share may be less by MARGIN than in the whole table.
LEAST_AGREEMENT, MARGIN, MOST_FALSE_ALARMS = 0.5, 0.1, 1e-3

REASONS = {
    "no_majority": "no choice has a majority",
    "unknown": "voted unknown",
    "not_a_face": "voted not a face",
    "contempt": "contempt, not one of the 7 classes",
    "unnamed": f"no image name in {VOTES_FILE}: not a face",
    "repeated": "image name used again in a later row",
    "broken": "image does not decode",
}

# Many times the sizes in FERPlus: a larger file is not FERPlus, or is a decompression bomb.
LARGEST_IMAGE_BYTES, MOST_PIXELS, MOST_ROWS = 1 << 20, 1 << 20, 100_000

LICENCE = (
    "Images: FER2013, ICML 2013 challenge on Kaggle, for research, not to be passed on. Votes: "
    "FERPlus, MIT, (c) Microsoft. Cite Goodfellow et al. 2013 (arXiv 1307.0414) and Barsoum et al. "
    "2016 (arXiv 1608.01041)."
)


@dataclass(frozen=True)
class Face:
    """The votes on one image; ``file`` is empty where the authors of FERPlus dropped the image."""

    split: str
    file: str
    votes: tuple[int, ...]


def majority(votes: tuple[int, ...]) -> str:
    """The choice with more than half of the votes. As in FERPlus, single votes do not count."""
    kept = [count if count > 1 else 0 for count in votes]
    most = max(kept)
    return CHOICES[kept.index(most)] if most > sum(kept) / 2 else "no_majority"


def most_voted(votes: tuple[int, ...]) -> str:
    """The choice with the most votes; the first column wins a tie."""
    return CHOICES[votes.index(max(votes))] if any(votes) else "no_majority"


RULES = {"majority": majority, "most-voted": most_voted}


def prepare(
    source: Path,
    out: Path,
    *,
    labels: str = "majority",
    num_classes: int = 7,
    votes: Path | None = None,
    skip_broken: bool = False,
) -> dict:
    """Prepare FERPlus.

    Args:
        source: a folder, a zip, a tar (gzipped or not), or a ``fer2013.csv``.
        out: the folder to make.
        labels: ``"majority"`` or ``"most-voted"``.
        num_classes: 7, or 8 with contempt.
        votes: ``fer2013new.csv``, if it is neither in a source of pixels nor in the same folder.
        skip_broken: drop and count images that do not decode instead of stopping.

    Returns:
        The description in ``faceset.json``; its notes count what was kept and what was dropped.

    Raises:
        InputError: the source is not FERPlus, or is damaged. Then ``out`` is not made.
    """
    classes = CLASSES[:num_classes]
    kept = {name: Counter() for name in classes}
    dropped = {reason: Counter() for reason in REASONS if reason not in classes}
    with open_ferplus(source) as files:
        faces, rows = read_ferplus(files, source, votes)
        progress = tqdm(rows, total=len(faces), unit=" images", disable=None)
        return write_faces(
            out,
            labelled(progress, RULES[labels], repeated(faces), kept, dropped, skip_broken),
            classes=classes,
            image_shape=(SIZE, SIZE, 1),
            source="FERPlus",
            licence=LICENCE,
            # Written after the last image, so that the counts are complete.
            notes={"rule": labels, "classes": num_classes, "kept": kept, "dropped": dropped},
        )


def labelled(rows, rule, repeated_rows, kept, dropped, skip_broken) -> Iterator[LabelledImage]:
    """Label the images, leave out those without a class, and count both by split."""
    for row, (face, decode) in enumerate(rows):
        choice = rule(face.votes)
        reason = "unnamed" if not face.file else "repeated" if row in repeated_rows else choice
        if reason in dropped:
            dropped[reason][face.split] += 1
            continue
        try:
            pixels = decode()
        except InputError as error:
            if not skip_broken:
                raise InputError(f"{error} (--skip-broken leaves it out)") from error
            tqdm.write(f"skipped: {error}", file=sys.stderr)
            dropped["broken"][face.split] += 1
            continue
        kept[choice][face.split] += 1
        votes = dict(zip(CHOICES, face.votes, strict=True))
        yield LabelledImage(face.split, CLASSES.index(choice), face.file, pixels, votes)


def open_ferplus(source: Path) -> AbstractContextManager[Files]:
    """The files of a folder or an archive, or one table of pixels under its own name."""
    if source.is_file():
        with source.open("rb") as file:
            start = file.read(512)
        if b"pixels" in start and b"\0" not in start:  # every archive begins with some zeros
            return nullcontext(Files([(source.name, partial(source.open, "rb"))]))
    return open_files(source)


def repeated(faces: Iterable[Face]) -> set[int]:
    """Rows whose image name occurs again later in their split. FERPlus's tools, which write a folder
    for each split, keep the image of the last row."""
    last = {(face.split, face.file): row for row, face in enumerate(faces)}
    return {row for row, face in enumerate(faces) if last[face.split, face.file] != row}


def read_ferplus(files: Files, source: Path, votes: Path | None):
    """The faces, and in the same order pairs of a face and the function that decodes its pixels."""
    tables = [path for path in files if PurePosixPath(path).name in PIXEL_FILES]
    if len(files) == 1 and (source.name in files or next(iter(files)).endswith(".csv")):
        tables = list(files)  # it may have any name
    labels = {split: find_labels(files, folder) for split, folder in FOLDERS.items()}
    folders = {str(PurePosixPath(path).parent) for path in labels.values() if path}
    has_images = any(str(PurePosixPath(path).parent) in folders for path in files if is_png(path))
    # The repository of FERPlus has label.csv files without images. Then the pixels are elsewhere.
    if folders and (has_images or not tables):
        if votes:
            raise InputError(f"--votes {votes} is for pixels in a CSV; {source} has {LABEL_FILE}")
        return read_folders(files, labels)
    if tables:
        faces = read_votes(*find_votes(files, source, votes))
        return faces, read_pixels(files[tables[0]], tables[0], faces)
    raise InputError(
        f"{source} holds neither {'/'.join(FOLDERS.values())} with {LABEL_FILE} and images nor "
        f"{PIXEL_FILES[0]}: expected one form of FERPlus"
    )


def find_labels(files: Files, folder: str) -> str | None:
    found = [path for path in files if PurePosixPath(path).parts[-2:] == (folder, LABEL_FILE)]
    if len(found) > 1:
        raise InputError(f"{found[0]} and {found[1]} were found, expected one {folder}")
    return found[0] if found else None


def is_png(path: str) -> bool:
    return path.lower().endswith(".png")


def read_folders(files: Files, labels: dict[str, str | None]):
    """Read folders of PNG files. Every image needs a line in ``label.csv``, and every line an image."""
    order = {path: position for position, path in enumerate(files)}
    found: list[tuple[Face, str]] = []
    for split, table in labels.items():
        if table is None:
            raise InputError(f"{FOLDERS[split]}/{LABEL_FILE} is missing")
        folder = PurePosixPath(table).parent
        here = []
        for line, row in read_csv(files[table], table, MOST_ROWS):
            # The authors' own copy has the box of the face after the name. Newer tools omit it.
            votes = parse_votes(row[2:] if len(row) == 12 else row[1:], f"{table}, line {line}")
            here.append((Face(split, row[0], votes), str(folder / row[0])))
            if here[-1][1] not in files:
                raise InputError(f"{table}, line {line}: there is no image {here[-1][1]}")
        images = {path for path in files if is_png(path) and PurePosixPath(path).parent == folder}
        unlabelled = sorted(images - {path for _, path in here})
        if unlabelled:
            raise InputError(
                f"{table} has no line for {unlabelled[0]} ({len(unlabelled)} such images)"
            )
        found += sorted(here, key=lambda pair: order[pair[1]])
    faces = [face for face, _ in found]
    return faces, ((face, partial(decode_png, files[path], path)) for face, path in found)


def find_votes(files: Files, source: Path, given: Path | None) -> tuple[Opener, str]:
    inside = next((path for path in files if PurePosixPath(path).name == VOTES_FILE), None)
    if given is None and inside:
        return files[inside], inside
    beside = (source.parent / VOTES_FILE, source.parent / f"{VOTES_FILE}.gz")
    path = given or next((path for path in beside if path.is_file()), None)
    if path is None:
        raise InputError(
            f"{VOTES_FILE} is neither in nor beside {source}: take it from the repository "
            f"microsoft/FERPlus on GitHub and give it with --votes {VOTES_FILE}"
        )
    opener = partial(path.open, "rb")
    return partial(gunzipped, opener, str(path)) if path.suffix == ".gz" else opener, str(path)


def read_votes(opener: Opener, name: str) -> list[Face]:
    rows = read_csv(opener, name, MOST_ROWS)
    header = next(rows, (1, []))[1]
    if header != VOTES_HEADER:
        found = ",".join(header)[:80]
        raise InputError(f"{name}, line 1: {found!r}, expected {','.join(VOTES_HEADER)}")
    faces = []
    for line, row in rows:
        where = f"{name}, line {line}"
        votes = parse_votes(row[2:], where)
        if not row[1].isprintable():
            raise InputError(
                f"{where}: the image name {shown(row[1])} contains a control character"
            )
        faces.append(Face(parse_usage(row[0], where), row[1], votes))
    return faces


def read_pixels(opener: Opener, name: str, faces: list[Face]):
    """Read Kaggle's table; its rows must have the order of the faces."""
    rows = read_csv(opener, name, MOST_ROWS)
    header = next(rows, (1, []))[1]
    if not {"emotion", "pixels", "Usage"} <= set(header):
        raise InputError(
            f"{name}, line 1: {','.join(header)[:80]!r}, expected the columns emotion,pixels,Usage"
        )
    emotion, usage, pixels = map(header.index, ("emotion", "Usage", "pixels"))
    agreement: list[tuple[int, bool]] = []
    for count, (face, found) in enumerate(zip_longest(faces, rows)):
        if face is None or found is None:
            has = f"only {count:,}" if found is None else f"more than {count:,}"
            raise InputError(
                f"{name} has {has} rows, {VOTES_FILE} has {len(faces):,}: "
                "expected the same rows in the same order"
            )
        line, row = found
        where = f"{name}, line {line}"
        if len(row) != len(header):
            raise InputError(f"{where}: {len(row)} columns, expected {len(header)}")
        if parse_usage(row[usage], where) != face.split:
            raise InputError(
                f"{where}: Usage is {row[usage]}, but {VOTES_FILE} has {face.split} "
                "there: expected the same rows in the same order"
            )
        own, voted = parse_emotion(row[emotion], where), majority(face.votes)
        if voted in EMOTIONS:
            agreement.append((line, voted == own))
        yield face, partial(decode_text, row[pixels], f"{where} ({face.file})")
    check_same_order(agreement, faces, name)


def check_same_order(agreement: list[tuple[int, bool]], faces: list[Face], name: str) -> None:
    """Refuse rows of pixels that have another order than the votes.

    The two tables are matched by position only, but both name the expression of a face: FER2013 in
    its column ``emotion``, FERPlus by its votes. In the same order most rows agree. In another
    order they agree by chance. A table that was shuffled as a whole agrees in too few rows. Page's
    cumulative sum (Biometrika 1954) of the log likelihood ratio of the two cases finds a part that
    was moved.

    Args:
        agreement: only rows whose votes have a majority for one of the 7 emotions. For each, the
            line in the table of pixels, and whether its emotion is that of the votes.
        faces: all rows of the votes.
        name: the name of the table of pixels.

    Raises:
        InputError: the order is another one.
    """
    choices = Counter(filter(EMOTIONS.__contains__, (majority(face.votes) for face in faces)))
    # The probability that two random faces show the same expression.
    chance = sum(count**2 for count in choices.values()) / max(len(agreement), 1) ** 2
    if not agreement or chance > LEAST_AGREEMENT - MARGIN:
        return  # nearly all faces show the same expression: a wrong order cannot be noticed
    lines, agrees = map(np.array, zip(*agreement, strict=True))
    usual = max(LEAST_AGREEMENT, agrees.mean() - MARGIN)
    limit = np.log(len(lines) / MOST_FALSE_ALARMS)
    expected = len(lines) * LEAST_AGREEMENT
    spread = (expected * (1 - LEAST_AGREEMENT)) ** 0.5
    if agrees.sum() < NormalDist(expected, spread).inv_cdf(MOST_FALSE_ALARMS):
        first, last = 0, len(lines) - 1
    else:
        ratios = np.log(np.where(agrees, chance / usual, (1 - chance) / (1 - usual)))
        sums = np.concatenate([[0], ratios.cumsum()])
        lowest = np.minimum.accumulate(sums)
        last = int((sums - lowest).argmax()) - 1
        if (sums - lowest).max() <= limit:
            return
        first = int((sums == lowest[last + 1]).argmax())
    part = agrees[first : last + 1]
    raise InputError(
        f"{name}: in lines {lines[first]} to {lines[last]} the emotion is that of the votes in only "
        f"{part.sum():,} of {len(part):,} rows, where about 65 % are usual and {chance:.0%} come by "
        f"chance: expected the same rows in the same order as in {VOTES_FILE}"
    )


def parse_emotion(text: str, where: str) -> str:
    if text not in map(str, range(len(EMOTIONS))):
        raise InputError(
            f"{where}: the emotion is {text[:40]!r}, expected 0 to {len(EMOTIONS) - 1}"
        )
    return EMOTIONS[int(text)]


def parse_usage(text: str, where: str) -> str:
    if text not in USAGES:
        raise InputError(f"{where}: Usage is {text[:40]!r}, expected one of {', '.join(USAGES)}")
    return USAGES[text]


def parse_votes(fields: list[str], where: str) -> tuple[int, ...]:
    if len(fields) != len(CHOICES) or not all(re.fullmatch(r"\d{1,4}", text) for text in fields):
        found = ",".join(fields)[:80]
        raise InputError(f"{where}: votes are {found!r}, expected {len(CHOICES)} whole numbers")
    return tuple(map(int, fields))


def decode_text(text: str, where: str) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # older numpy only warns about text
        try:
            values = np.fromstring(text, dtype=np.int64, sep=" ")
        except (ValueError, DeprecationWarning) as error:
            raise InputError(f"{where}: the pixels are not all whole numbers") from error
    if len(values) != SIZE * SIZE:
        raise InputError(f"{where}: {len(values)} pixels, expected {SIZE * SIZE}")
    if values.min() < 0 or values.max() > 255:
        raise InputError(f"{where}: pixels {values.min()} to {values.max()}, expected 0 to 255")
    return values.astype(np.uint8).reshape(SIZE, SIZE, 1)


def decode_png(opener: Opener, path: str) -> np.ndarray:
    data = read_bytes(opener, path, LARGEST_IMAGE_BYTES)
    image = read_picture(data, path, formats=("PNG",), most_pixels=MOST_PIXELS)
    if image.size != (SIZE, SIZE):
        raise InputError(f"{path} has {image.width}x{image.height} pixels, expected {SIZE}x{SIZE}")
    return np.asarray(image.convert("L"))[..., None]


def main(arguments: list[str], program: str) -> None:
    """Run the command; ``program`` is the command as the user wrote it."""
    parser = argparse.ArgumentParser(
        prog=program,
        description="Prepare FERPlus for eacbook from any form of it.",
        epilog=f"Example: {program} ferplus.zip --out data/ferplus\n"
        f"         {program} fer2013.tar.gz --votes fer2013new.csv "
        f"--out data/ferplus\n\n{LICENCE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", type=Path, help="folder, zip, tar or tar.gz of FERPlus or FER2013; fer2013.csv")
    add("--out", type=Path, required=True, help="folder to make, e.g. data/ferplus")
    add("--labels", choices=RULES, default="majority", help="how votes make a label (%(default)s)")
    add("--classes", type=int, choices=(7, 8), default=7, help="8 adds contempt (%(default)s)")
    add("--votes", type=Path, help="fer2013new.csv, if it is neither in nor beside SOURCE")
    add("--skip-broken", action="store_true", help="drop images that do not decode, and count them")
    args = parser.parse_args(arguments)
    options = {
        "labels": args.labels,
        "num_classes": args.classes,
        "votes": args.votes,
        "skip_broken": args.skip_broken,
    }
    run(parser, args.out, lambda: prepare(args.source, args.out, **options), REASONS)
