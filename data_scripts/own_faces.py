"""Your own faces, in folders named after their classes, to the prepared format of eacbook.

A class is a folder; above the classes there may be ``train`` and ``test`` folders. Where there are
none, the split is drawn here: by file, with the same share of every class, or by person, where the
names of the files tell who it is, so that nobody is tested on a person that was trained on.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from command import run, side, warn
from decoding import LARGEST_IMAGE_BYTES, Face, decode_all, is_image, new_notes
from PIL import Image, ImageOps
from sklearn.model_selection import GroupShuffleSplit, train_test_split
from sources import ARCHIVE, Files, open_files
from tqdm import tqdm

from eacbook import terminal
from eacbook.classes import CLASSES
from eacbook.errors import InputError
from eacbook.prepared import write_faces

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

SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
SIZE, TEST_SHARE = 112, 0.2

REASONS = {"broken": "image does not decode"}
LICENCE = "Your own pictures: as those who are in them and those who took them allow."


@dataclass(frozen=True)
class Picture:
    """A picture that was found: its split, where a folder says it, its class folder, its path."""

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
) -> dict:
    """Prepare folders of faces.

    Args:
        source: a folder, a zip or a tar (gzipped or not) of class folders, or of ``train`` and
            ``test`` folders of them.
        out: the folder to make.
        classes: the folders in label order, ``"calm,excited"``, or what they mean,
            ``"Freude=happiness,Trauer=sadness"``; not needed for English names of expressions.
        test: share of the images, or of the persons, that become the test split where no folder
            says which.
        person: a regular expression with one group that finds the person in a path.
        seed: the same seed draws the same split.
        size: pixels of a side; of a picture that is no square the middle is taken.
        skip_broken: drop and count images that do not decode instead of stopping.

    Returns:
        The description in ``faceset.json``; its notes count what was kept, dropped and ignored.

    Raises:
        InputError: the folders are not of this kind, what their classes mean is not clear, a split
            is not possible, or an image is damaged; ``out`` does not exist then.
    """
    with open_files(source, enter=lambda name: True) as files:
        pictures = find_pictures(files, source)
        meaning = name_classes({picture.folder for picture in pictures}, classes, source)
        order = class_order(meaning)
        labels = [order.index(meaning[picture.folder]) for picture in pictures]
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
        facts = {
            "split": "folders" if pictures[0].split else drawn,
            "ignored_files": len(files) - len(pictures),
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
            notes=notes | facts,
        )


def find_pictures(files: Files, source: Path) -> list[Picture]:
    """The images in class folders, by path: an archive of other order is split alike."""
    folders = {
        path: tuple(ARCHIVE.sub("", part) for part in PurePosixPath(path).parts[:-1])
        for path in sorted(filter(is_image, files))
    }
    folders = {path: parts for path, parts in folders.items() if parts}
    # The one folder around everything, as archives have it.
    while folders and len({parts[0] for parts in folders.values()}) == 1:
        if min(map(len, folders.values())) == 1 or is_split(next(iter(folders.values()))[0]):
            break
        folders = {path: parts[1:] for path, parts in folders.items()}
    if not folders:
        raise InputError(f"{source} holds no image in a folder: expected a folder for every class")
    top = sorted({parts[0] for parts in folders.values()})
    if not any(map(is_split, top)):
        return [Picture(None, parts[0], path) for path, parts in folders.items()]
    if not all(map(is_split, top)):
        raise InputError(
            f"{source} holds the folders {', '.join(top)}: expected either splits (train, test, "
            "validation) or classes, not both side by side"
        )
    pictures = [
        Picture(SPLIT_FOLDERS[parts[0].lower()], parts[1], path)
        for path, parts in folders.items()
        if len(parts) > 1
    ]
    if missing := {"train", "test"} - {picture.split for picture in pictures}:
        raise InputError(
            f"{source} holds {', '.join(top)}, and no {min(missing)} images in class folders: "
            "expected train and test; to draw the split here, give one folder of classes"
        )
    return pictures


def is_split(folder: str) -> bool:
    return folder.lower() in SPLIT_FOLDERS


def name_classes(folders: set[str], classes: str | None, source: Path) -> dict[str, str]:
    """What each folder means, in label order where ``classes`` says so."""
    if classes is None:
        # "0_Neutral" is neutral as well; "0" alone may be anything.
        meaning = {
            folder: MEANING.get("".join(filter(str.isalpha, folder)).casefold())
            for folder in sorted(folders)
        }
        unknown = [folder for folder, name in meaning.items() if name is None]
        if unknown:
            which = "none" if len(unknown) == len(meaning) else "only some"
            raise InputError(
                f"{source}: {which} of the class folders are names of expressions known here, "
                f"these are not: {', '.join(unknown)}. Name all folders in label order, --classes "
                f"{','.join(meaning)}, or say what they mean, --classes {unknown[0]}=happiness,..."
            )
        return meaning
    pairs = [item.strip().partition("=") for item in classes.split(",")]
    meaning = {folder: name or folder for folder, _, name in pairs}
    if len(meaning) != len(pairs) or set(meaning) != folders:
        raise InputError(
            f"--classes names {', '.join(folder for folder, _, _ in pairs)}; {source} has the "
            f"class folders {', '.join(sorted(folders))}: expected each of them once"
        )
    return meaning


def class_order(meaning: dict[str, str]) -> tuple[str, ...]:
    """Classes in label order: that of eacbook for its own names, else as they were given."""
    names = tuple(dict.fromkeys(meaning.values()))
    return tuple(filter(names.__contains__, CLASSES)) if set(names) <= set(CLASSES) else names


def find_persons(pictures: list[Picture], person: str | None) -> list[str] | None:
    if person is None:
        return None
    try:
        pattern = re.compile(person)
    except re.error as error:
        raise InputError(f"--person {person!r} is no regular expression ({error})") from error
    if pattern.groups != 1:
        raise InputError(f"--person {person!r} has {pattern.groups} groups, expected (one)")
    found = [pattern.search(picture.path) for picture in pictures]
    if None in found:
        path = pictures[found.index(None)].path
        raise InputError(f"{path}: --person {person!r} finds nobody in this path")
    return [match[1] for match in found]


def split_pictures(
    pictures: list[Picture],
    labels: list[int],
    persons: list[str] | None,
    test: float,
    seed: int,
    source: Path,
) -> list[str]:
    """The split of every picture: that of its folder, or drawn."""
    rows = range(len(pictures))
    if pictures[0].split:
        splits = [picture.split for picture in pictures]
        if persons:
            check_persons(splits, persons, source)
        return splits
    try:
        if persons is None:
            _, chosen = train_test_split(rows, test_size=test, stratify=labels, random_state=seed)
        else:
            draw = GroupShuffleSplit(n_splits=1, test_size=test, random_state=seed)
            _, chosen = next(draw.split(rows, groups=persons))
    except ValueError as error:  # scikit-learn says which class or share is too small
        raise InputError(f"{source} cannot be split into train and test: {error}") from error
    chosen = set(chosen)
    return ["test" if row in chosen else "train" for row in rows]


def check_persons(splits: list[str], persons: list[str], source: Path) -> None:
    seen: dict[str, str] = {}
    for split, name in zip(splits, persons, strict=True):
        if seen.setdefault(name, split) != split:
            raise InputError(
                f"{source}: the person {name!r} stands in {seen[name]} and in {split}, expected "
                "every person in one split"
            )


def check_classes(faces: list[Face], order: tuple[str, ...], source: Path) -> None:
    trained = {face.label for face in faces if face.split == "train"}
    if len(order) < 2 or len(trained) < len(order):
        lacking = [name for label, name in enumerate(order) if label not in trained]
        what = f"no training image of {', '.join(lacking)}" if lacking else f"only {order[0]}"
        raise InputError(f"{source}: {what}, expected at least two classes and images of all")


def copies_between_splits(faces: Iterable[Face]) -> int:
    """How many pictures stand, byte for byte, in more than one split."""
    splits = defaultdict(set)
    for face in faces:
        with face.opener() as file:
            splits[hashlib.sha256(file.read(LARGEST_IMAGE_BYTES)).digest()].add(face.split)
    return sum(len(of_one) > 1 for of_one in splits.values())


def middle(image: Image.Image, size: int) -> Image.Image:
    """The middle square: bars at its sides would be a sign to learn."""
    return ImageOps.fit(image, (size, size))


def share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a share such as 0.2")
    return value


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="own_faces.py",
        description="Prepare your own folders of faces for eacbook.",
        epilog="Example: python data_scripts/own_faces.py faces --out data/own\n"
        "         python data_scripts/own_faces.py faces --person 'S(\\d+)_' --out data/own\n"
        "         python data_scripts/own_faces.py faces --classes Freude=happiness,Trauer=sadness "
        "--out data/own",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", type=Path, help="folder, zip or tar of class folders, or of train/ and test/")
    add("--out", type=Path, required=True, help="folder to make, e.g. data/own")
    add("--classes", help="class folders in label order, a,b,c; or what they mean, a=anger,b=fear")
    add("--test", type=share, default=TEST_SHARE, help="share of the test split (%(default)s)")
    add("--person", help="regular expression with one group: who it is, so the split is by person")
    add("--seed", type=int, default=0, help="draws the split (%(default)s)")
    add("--size", type=side, default=SIZE, help="pixels of a side (%(default)s)")
    add("--skip-broken", action="store_true", help="drop images that do not decode, and count them")
    options = vars(parser.parse_args(arguments))
    source, out = options.pop("source"), options.pop("out")
    notes = run(parser, out, lambda: prepare(source, out, **options), REASONS)["notes"]
    if notes["ignored_files"]:
        warn(f"{notes['ignored_files']} files are no images in class folders and were left out")
    if notes["copies_between_splits"]:
        warn(
            f"{notes['copies_between_splits']} pictures stand, byte for byte, in more than one "
            "split: a network is tested on what it has seen"
        )


if __name__ == "__main__":
    sys.exit(terminal.run("own_faces.py", main, "take a smaller --size"))
