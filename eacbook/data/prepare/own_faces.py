"""From your own faces, in folders with the names of their classes, to the prepared format.

A class is a folder. Above or below the classes there may be ``train``, ``test`` and ``validation``
folders; then this split is kept. Otherwise a random split is made here: by file, with the same share
of every class, or by person. A split by person needs file names that contain the person. Then no
person is in two splits.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image, ImageOps
from sklearn.model_selection import GroupShuffleSplit, train_test_split
from tqdm import tqdm

from eacbook.checks import shortened
from eacbook.classes import CLASSES
from eacbook.data.prepare.archives import ARCHIVE, Files, normal, open_files
from eacbook.data.prepare.command import run, side, warn
from eacbook.data.prepare.decoding import (
    LARGEST_IMAGE_BYTES,
    Face,
    decode_all,
    is_image,
    new_notes,
    starts_as_image,
)
from eacbook.data.prepared import write_faces
from eacbook.errors import InputError

SYNONYMS = {
    "surprise": ("surprised",),
    "fear": ("fearful", "afraid", "scared"),
    "disgust": ("disgusted",),
    "happiness": ("happy", "joy"),
    "sadness": ("sad",),
    "anger": ("angry",),
    "neutral": (),
    "contempt": ("contemptuous",),
}
MEANING = {word: name for name, words in SYNONYMS.items() for word in (name, *words)}

SPLIT_WORDS = {
    "train": ("train", "training", "fertrain"),
    "validation": (
        "val",
        "valid",
        "validate",
        "validation",
        "dev",
        "eval",
        "publictest",
        "fervalid",
    ),
    "test": ("test", "testing", "privatetest", "fertest"),
}
# What a folder's name may say after that: "Train-Set", "train_images".
SPLIT_ENDINGS = ("", "set", "data", "dataset", "class", "classes", "image", "images", "img", "imgs")
# Letters only, in lower case: "train_set" and "Train-Set" are "trainset".
SPLIT_FOLDERS = {
    begin + end: split
    for split, words in SPLIT_WORDS.items()
    for begin in words
    for end in SPLIT_ENDINGS
}
SIZE, TEST_SHARE = 112, 0.2

REASONS = {"broken": "image does not decode"}
LICENCE = "Your own pictures: as those who are in them and those who took them allow."


@dataclass(frozen=True)
class Picture:
    """A picture of the source: its split (None if no folder names it), class folder and path."""

    split: str | None
    folder: str
    path: str


def prepare(
    source: Path,
    out: Path,
    *,
    classes: str | None = None,
    test: float = TEST_SHARE,
    person: str | None = None,
    seed: int = 0,
    size: int = SIZE,
    skip_broken: bool = False,
    any_classes: bool = False,
    at_least: int = 1,
    facts: Mapping[str, object] | None = None,
) -> dict:
    """Prepare folders of faces.

    Args:
        source: a folder, a zip or a tar (gzipped or not) of class folders, or of ``train`` and
            ``test`` folders of them. With ``train`` and a validation folder and no ``test``, the
            validation folder becomes the test split, as in papers on AffectNet.
        out: the folder to make.
        classes: the folders in label order, ``"calm,excited"``, or with their meaning,
            ``"Freude=happiness,Trauer=sadness"``; not needed for English names of expressions.
        test: share of the images, or of the persons, that become the test split, if no folder
            names the split.
        person: a regular expression with one group that finds the person in a path.
        seed: the same seed gives the same split.
        size: pixels of a side; if a picture is not square, its middle is taken.
        skip_broken: drop and count images that do not decode instead of stopping.
        any_classes: if some folders are no names of expressions, every folder is a class of its own,
            in the order of the names.
        at_least: pictures that every class needs, at least.
        facts: further notes for ``faceset.json``.

    Returns:
        The description in ``faceset.json``; its notes count what was kept, dropped and ignored.

    Raises:
        InputError: the folders are not of this kind, the meaning of a class is not clear, a split
            is not possible, or an image is damaged. Then ``out`` is not made.
    """
    with open_files(source, enter=lambda name: True) as files:
        pictures, folders = find_pictures(files, source, classes)
        meaning = name_classes(
            {picture.folder for picture in pictures}, classes, source, any_classes
        )
        order = class_order(meaning)
        labels = [order.index(meaning[picture.folder]) for picture in pictures]
        check_counts(labels, order, at_least, source)
        persons = find_persons(pictures, person)
        splits = split_pictures(pictures, labels, persons, test, seed, source)
        faces = [
            Face(split, label, picture.path, picture.path, files[picture.path])
            for picture, label, split in zip(pictures, labels, splits, strict=True)
        ]
        check_classes(faces, order, source)
        place = {path: position for position, path in enumerate(files)}
        faces.sort(key=lambda face: (face.split != "train", face.split, place[face.path]))
        notes = new_notes(order, REASONS)
        drawn = {"test": test, "seed": seed, "person": person}
        found = {
            "split": "folders" if folders else drawn,
            "split_folders": folders,
            "ignored_files": len(files) - len(pictures),
            "ignored_kinds": ignored_kinds(files, pictures),
            "copies_between_splits": copies_between_splits(faces),
        }
        progress = tqdm(faces, unit=" images", disable=None)
        return write_faces(
            out,
            decode_all(
                progress,
                lambda image, _: middle(image, size),
                notes,
                skip_broken=skip_broken,
                upright=True,
            ),
            classes=order,
            image_shape=(size, size, 3),
            source=f"own faces: {source.resolve().name}",
            licence=LICENCE,
            notes=notes | found | dict(facts or {}),
        )


def find_pictures(
    files: Files, source: Path, classes: str | None
) -> tuple[list[Picture], dict[str, str]]:
    """The images in class folders, and the split of each split folder.

    The pictures are sorted by path, so that the order of an archive does not change the split.
    """
    images = [path for path in files if is_image(path) or starts_as_image(files[path])]
    folders = {path: parts_of(path)[:-1] for path in sorted(images)}
    folders = {path: parts for path, parts in folders.items() if parts}
    if not folders:
        raise InputError(f"{source} holds no image in a folder: expected a folder for every class")
    known = set(MEANING) | (set(parse_classes(classes)) if classes else set())
    around = enclosing(list(folders.values()), known)
    folders = {path: parts[around:] for path, parts in folders.items()}
    levels = {split_level(parts) for parts in folders.values()}
    if len(levels) > 1:
        top = by_number({parts[0] for parts in folders.values()})
        raise InputError(
            f"{source} holds the folders {several(top)}: expected either splits (train, test, "
            "validation) or classes at one level, not both side by side"
        )
    level = levels.pop()
    if level is None:
        check_taken(files, folders, around, level, source)
        return [Picture(None, parts[0], path) for path, parts in folders.items()], {}
    folders = {path: parts for path, parts in folders.items() if len(parts) > 1}
    became = assign_splits({parts[level] for parts in folders.values()}, source)
    check_taken(files, folders, around, level, source)
    pictures = [
        Picture(became[parts[level]], parts[1 - level], path) for path, parts in folders.items()
    ]
    return pictures, became


def parts_of(path: str) -> tuple[str, ...]:
    """The folders of a path and its last name. An archive counts as a folder."""
    return tuple(ARCHIVE.sub("", part) for part in PurePosixPath(path).parts)


def enclosing(folders: list[tuple[str, ...]], known: set[str]) -> int:
    """How many outer folders contain everything, as in many archives. None of them is a class."""
    for level in range(min(map(len, folders)) - 1):
        names = {parts[level] for parts in folders}
        name = next(iter(names))
        if len(names) > 1 or split_of(name) or name in known or word(name) in known:
            return level
    return min(map(len, folders)) - 1


def word(folder: str) -> str:
    """The letters of a folder's name, in lower case: "0_Neutral" becomes "neutral"."""
    return "".join(filter(str.isalpha, folder)).casefold()


def split_of(folder: str) -> str | None:
    return SPLIT_FOLDERS.get(word(folder))


def split_level(parts: tuple[str, ...]) -> int | None:
    """The level of the split folders: above the classes (0), below them (1), or no such folders."""
    return next((level for level, name in enumerate(parts[:2]) if split_of(name)), None)


def assign_splits(names: set[str], source: Path) -> dict[str, str]:
    """The split of each folder, by its name. Without a test folder, validation becomes test."""
    became = {name: split_of(name) for name in sorted(names)}
    twice = [name for name, split in became.items() if list(became.values()).count(split) > 1]
    if twice:
        raise InputError(
            f"{source} holds {several(twice)}, which mean the same split: expected one of them"
        )
    if "test" not in became.values():
        became = {
            name: "test" if split == "validation" else split for name, split in became.items()
        }
    for split in ("train", "test"):
        if split not in became.values():
            held = several(list(became)) if became else "split folders"
            raise InputError(
                f"{source} holds {held}, and no {split} images in class folders: expected train "
                "and test (or validation); for a random split, give one folder of classes"
            )
    return became


def check_taken(
    files: Files, taken: dict[str, tuple], around: int, level: int | None, source: Path
) -> None:
    """Raise an InputError if no picture was taken from a class folder or split folder."""
    depth = 1 if level is None else 2
    seen = {parts[: length + 1] for parts in taken.values() for length in range(depth)}
    # The outer folders, with the spelling of the source.
    outside = parts_of(next(iter(taken)))[:around] if taken else ()
    lost = {}
    for path in sorted(files.folders | {path for path in files.broken if not is_image(path)}):
        parts = parts_of(path)
        if parts[:around] != outside or not around < len(parts) <= around + depth:
            continue
        parts = parts[around:]
        if level is not None and len(parts) == 1 + level and not split_of(parts[level]):
            continue  # other folders beside the split folders are allowed
        if level == 0 and not split_of(parts[0]):
            continue
        if parts not in seen and parts[:-1] not in lost:
            lost[parts] = path
    if lost:
        raise InputError(
            f"{source}: no picture was taken from "
            f"{several([why_lost(files, path) for path in lost.values()])}; expected images of every "
            "class (if the folder is not a class, remove it)"
        )


def why_lost(files: Files, path: str) -> str:
    if path in files.broken:
        return f"{shortened(path)} (a link that leads nowhere)"
    inside = [name for name in files if name.startswith(path + "/")]
    what = f"{len(inside)} files, such as {shortened(inside[0])}" if inside else "no file in it"
    return f"{shortened(path)} ({what})"


def ignored_kinds(files: Files, pictures: list[Picture]) -> dict[str, int]:
    """The number of files that were left out, for each ending."""
    taken = {picture.path for picture in pictures}
    endings = (
        shortened(PurePosixPath(path).suffix.lower(), 20) for path in files if path not in taken
    )
    return dict(Counter(ending or "without ending" for ending in endings))


def by_number(names: Iterable[str]) -> list[str]:
    """Names in order. Numbers in them are compared by their value, so 10 comes after 9."""
    return sorted(names, key=lambda name: [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)
    ])  # fmt: skip


def several(names: list[str], most: int = 12) -> str:
    """A few names as a text for a message."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shortened(name, 200) for name in names[:most]) + more


def parse_classes(classes: str) -> dict[str, str]:
    """Folders to their meanings, in label order."""
    pairs = [item.strip().partition("=") for item in normal(classes).split(",")]
    return {folder: name or folder for folder, _, name in pairs}


def name_classes(
    folders: set[str], classes: str | None, source: Path, any_classes: bool = False
) -> dict[str, str]:
    """Folders to the names of their classes, in label order if ``classes`` gives one."""
    if classes is None:
        meaning = {folder: MEANING.get(word(folder)) for folder in by_number(folders)}
        unknown = [folder for folder, name in meaning.items() if name is None]
        if unknown and any_classes:
            return {folder: folder for folder in meaning}
        if unknown:
            which = "none" if len(unknown) == len(meaning) else "only some"
            raise InputError(
                f"{source}: {which} of the class folders are names of expressions known here, "
                f"these are not: {several(unknown)}. Name all folders in label order, --classes "
                f"{several(list(meaning)).replace(', ', ',')}, or give their meanings, --classes "
                f"{shortened(unknown[0])}=happiness,..."
            )
        return meaning
    meaning = parse_classes(classes)
    if len(meaning) != classes.count(",") + 1 or set(meaning) != folders:
        raise InputError(
            f"--classes names {several(list(meaning))}; {source} has the class folders "
            f"{several(by_number(folders))}: expected each of them once"
        )
    return meaning


def class_order(meaning: dict[str, str]) -> tuple[str, ...]:
    """Classes in label order: eacbook's order if all names are its own, else the given order."""
    names = tuple(dict.fromkeys(meaning.values()))
    return tuple(filter(names.__contains__, CLASSES)) if set(names) <= set(CLASSES) else names


def find_persons(pictures: list[Picture], person: str | None) -> list[str] | None:
    if person is None:
        return None
    try:
        pattern = re.compile(normal(person))
    except re.error as error:
        raise InputError(f"--person {person!r} is not a regular expression ({error})") from error
    if pattern.groups != 1:
        raise InputError(f"--person {person!r} has {pattern.groups} groups, expected (one)")
    found = [pattern.search(picture.path) for picture in pictures]
    if None in found:
        path = pictures[found.index(None)].path
        raise InputError(f"{path}: --person {person!r} finds no person in this path")
    return [match[1] for match in found]


def split_pictures(
    pictures: list[Picture],
    labels: list[int],
    persons: list[str] | None,
    test: float,
    seed: int,
    source: Path,
) -> list[str]:
    """The split of every picture: that of its folder, or a random one."""
    rows = range(len(pictures))
    if pictures[0].split:
        splits = [picture.split for picture in pictures]
        if persons:
            check_persons(splits, persons, source)
        return splits
    fewest, pictures_of_fewest = Counter(labels).most_common()[-1]
    if persons is None and pictures_of_fewest < 2:
        folder = pictures[labels.index(fewest)].folder
        raise InputError(
            f"{source} cannot be split into train and test: class {folder} has 1 picture, expected at "
            "least 2"
        )
    try:
        if persons is None:
            # With few pictures, a share of them can be less than one of every class.
            count = max(math.ceil(test * len(rows)), len(set(labels)))
            _, chosen = train_test_split(rows, test_size=count, stratify=labels, random_state=seed)
        else:
            draw = GroupShuffleSplit(n_splits=1, test_size=test, random_state=seed)
            _, chosen = next(draw.split(rows, groups=persons))
    except ValueError as error:  # scikit-learn's message names the share that is too small
        raise InputError(f"{source} cannot be split into train and test: {error}") from error
    chosen = set(chosen)
    return ["test" if row in chosen else "train" for row in rows]


def check_counts(labels: list[int], order: tuple[str, ...], at_least: int, source: Path) -> None:
    """Raise an InputError if a class has fewer pictures than it needs."""
    for label, count in sorted(Counter(labels).items()):
        if count < at_least:
            raise InputError(
                f"{source}: the class {shortened(order[label])} has {count} "
                f"picture{'s' if count > 1 else ''}, expected at least {at_least}"
            )


def check_persons(splits: list[str], persons: list[str], source: Path) -> None:
    seen: dict[str, str] = {}
    for split, name in zip(splits, persons, strict=True):
        if seen.setdefault(name, split) != split:
            raise InputError(
                f"{source}: the person {shortened(name)!r} is in {seen[name]} and in {split}, "
                "expected every person in one split"
            )


def check_classes(faces: list[Face], order: tuple[str, ...], source: Path) -> None:
    trained = {face.label for face in faces if face.split == "train"}
    if len(order) < 2 or len(trained) < len(order):
        lacking = [name for label, name in enumerate(order) if label not in trained]
        what = f"no training image of {', '.join(lacking)}" if lacking else f"only {order[0]}"
        raise InputError(f"{source}: {what}, expected at least two classes and images of all")


def copies_between_splits(faces: Iterable[Face]) -> int:
    """The number of pictures whose file is, byte for byte, in more than one split."""
    splits = defaultdict(set)
    for face in faces:
        # A damaged picture is reported or skipped later, when it is decoded.
        with suppress(InputError), face.opener() as file:
            splits[hashlib.sha256(file.read(LARGEST_IMAGE_BYTES)).digest()].add(face.split)
    return sum(len(of_one) > 1 for of_one in splits.values())


def middle(image: Image.Image, size: int) -> Image.Image:
    """The middle square. A network could learn from bars at the sides, so there are none."""
    return ImageOps.fit(image, (size, size))


def share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a share such as 0.2")
    return value


def main(arguments: list[str], program: str) -> None:
    """Run the command; ``program`` is the command as the user wrote it."""
    parser = argparse.ArgumentParser(
        prog=program,
        description="Prepare your own folders of faces for eacbook.",
        epilog=f"Example: {program} faces --out data/own\n"
        f"         {program} faces --person 'S(\\d+)_' --out data/own\n"
        f"         {program} faces --classes Freude=happiness,Trauer=sadness "
        "--out data/own",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", type=Path, help="folder, zip or tar of class folders, or of train/ and test/")
    add("--out", type=Path, required=True, help="folder to make, e.g. data/own")
    add("--classes", help="class folders in label order, a,b,c; or their meaning, a=anger,b=fear")
    add("--test", type=share, default=TEST_SHARE, help="share of the test split (%(default)s)")
    add("--person", help="regular expression with one group for the person; then split by person")
    add("--seed", type=int, default=0, help="seed of the random split (%(default)s)")
    add("--size", type=side, default=SIZE, help="pixels of a side (%(default)s)")
    add("--skip-broken", action="store_true", help="drop images that do not decode, and count them")
    options = vars(parser.parse_args(arguments))
    source, out = options.pop("source"), options.pop("out")
    notes = run(parser, out, lambda: prepare(source, out, **options), REASONS)["notes"]
    if notes["split_folders"]:
        became = [f"{folder} became {split}" for folder, split in notes["split_folders"].items()]
        print(f"The split of the folders was kept: {several(became)}.")
    if notes["ignored_files"]:
        kinds = [f"{count} {ending}" for ending, count in notes["ignored_kinds"].items()]
        warn(
            f"{notes['ignored_files']} files are no images in class folders and were left out "
            f"({several(kinds)})"
        )
    if notes["copies_between_splits"]:
        warn(
            f"{notes['copies_between_splits']} pictures are, byte for byte, in more than one split: "
            "a network would be tested on pictures from its training"
        )
