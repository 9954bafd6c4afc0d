"""From RAF-DB, as its authors distribute it, to the prepared format.

RAF-DB (Li, Deng and Du, CVPR 2017) has a part with one basic emotion for each face: 12,271 training
and 3,068 test images. The aligned faces are in ``Image/aligned`` or in an ``aligned.zip``. Their
labels are in ``EmoLabel/list_patition_label.txt`` (this is its real spelling), with lines such as
``train_00001.jpg 5``. These names are kept, so that the noisy-label files of papers fit.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from eacbook.classes import RAFDB_CLASSES
from eacbook.data.prepare.archives import Files, index, open_files, read_lines
from eacbook.data.prepare.command import run, side, warn
from eacbook.data.prepare.decoding import Face, decode_all, new_notes
from eacbook.data.prepared import write_faces
from eacbook.errors import InputError

LABEL_FILE = re.compile(r"list_par?tition_label\.txt")  # some copies have the correct spelling
ALIGNED = "_aligned.jpg"
SIZE = 100
OFFICIAL = {"train": 12_271, "test": 3_068}
MOST_LINES = 100_000

REASONS = {"unlisted": "no line in the list of labels", "broken": "image does not decode"}

LICENCE = (
    "RAF-DB: for non-commercial research, not to be passed on. Cite Li, Deng and Du 2017 (CVPR) "
    "and Li and Deng 2019 (IEEE Transactions on Image Processing 28)."
)


def prepare(source: Path, out: Path, *, size: int = SIZE, skip_broken: bool = False) -> dict:
    """Prepare the basic emotions of RAF-DB.

    Args:
        source: a folder, a zip or a tar (gzipped or not) with the list of labels and the aligned
            faces. The faces may be in a folder or in an archive of their own.
        out: the folder to make.
        size: pixels of a side; RAF-DB itself has 100.
        skip_broken: drop and count images that do not decode instead of stopping.

    Returns:
        The description in ``faceset.json``; its notes count what was kept and what was dropped.

    Raises:
        InputError: the source is not RAF-DB, or is damaged. Then ``out`` is not made.
    """
    notes = new_notes(RAFDB_CLASSES, REASONS)
    # The original photographs are the larger part of the download. They are not needed.
    with open_files(source, enter=lambda name: "original" not in name.lower()) as files:
        faces = tqdm(
            find_faces(files, source, notes["dropped"]["unlisted"]), unit=" images", disable=None
        )
        return write_faces(
            out,
            decode_all(
                faces, lambda image, _: image.resize((size, size)), notes, skip_broken=skip_broken
            ),
            classes=RAFDB_CLASSES,
            image_shape=(size, size, 3),
            source="RAF-DB, basic emotions, aligned",
            licence=LICENCE,
            notes=notes,
        )


def find_faces(files: Files, source: Path, unlisted: Counter[str]) -> list[Face]:
    """The faces: each line of the list with its image. Images without a line are counted."""
    images = find_images(files, source)
    table = find_list(files, source)
    faces, missing = {}, []
    for number, line in enumerate(read_lines(files[table], table, MOST_LINES), start=1):
        if not line.strip():
            continue
        name, label = parse_line(line, f"{table}, line {number}")
        if name in faces:
            raise InputError(f"{table}, line {number}: {name} occurs here for the second time")
        path = images.pop(name, None)
        if path is None:
            missing.append(
                f"{table}, line {number}: there is no image {name.removesuffix('.jpg')}{ALIGNED}"
            )
            continue
        faces[name] = Face(name.partition("_")[0], label, name, path, files[path])
    if missing:
        raise InputError(f"{missing[0]} ({len(missing)} such lines)")
    unlisted.update(name.partition("_")[0] for name in images)
    # Training images come first, as in the list. In a split, the order of the source is fastest.
    order = {path: position for position, path in enumerate(files)}
    return sorted(faces.values(), key=lambda face: (face.split != "train", order[face.path]))


def find_images(files: Files, source: Path) -> dict[str, str]:
    """Names of the aligned faces, as in the list, to their paths."""
    images = index(
        (
            (PurePosixPath(path).name.removesuffix(ALIGNED) + ".jpg", path)
            for path in files
            if re.fullmatch(r"(train|test)_\d+" + re.escape(ALIGNED), PurePosixPath(path).name)
        ),
        source,
    )
    if not images:
        originals = [path for path in files if re.search(r"original|/(train|test)_\d+\.jpg", path)]
        found = f"only the photographs ({originals[0]})" if originals else "no image of RAF-DB"
        raise InputError(
            f"{source} holds {found}: expected the aligned faces, "
            f"Image/aligned/train_00001{ALIGNED} and so on, or the Image/aligned.zip they come in "
            "(own_faces.py reads a folder for each class)"
        )
    return images


def find_list(files: Files, source: Path) -> str:
    found = [path for path in files if LABEL_FILE.fullmatch(PurePosixPath(path).name)]
    if len(found) != 1:
        holds = " and ".join(found[:2]) or "no list of labels"
        raise InputError(f"{source} holds {holds}: expected one EmoLabel/list_patition_label.txt")
    return found[0]


def parse_line(line: str, where: str) -> tuple[str, int]:
    """The name of an image, and its class from 0."""
    fields = line.split()
    if len(fields) != 2 or not re.fullmatch(r"\d{1,3}", fields[1], re.ASCII):
        raise InputError(
            f"{where}: found {line.strip()[:60]!r}, expected a name and a label, such as "
            "'train_00001.jpg 5'"
        )
    name, label = fields[0].removesuffix(ALIGNED).removesuffix(".jpg") + ".jpg", int(fields[1])
    if not name.startswith(("train_", "test_")):
        raise InputError(f"{where}: the name is {name[:40]!r}, expected train_... or test_...")
    if label == 0:
        raise InputError(
            f"{where}: label 0, but RAF-DB counts from 1 (surprise) to 7 (neutral): a list with "
            "labels from 0 was changed by someone; take the one that came with the images"
        )
    if label > 7:
        raise InputError(
            f"{where}: label {label}, expected 1 to 7, the basic emotions (the compound emotions "
            "are another part of RAF-DB)"
        )
    return name, label - 1


def main(arguments: list[str], program: str) -> None:
    """Run the command; ``program`` is the command as the user wrote it."""
    parser = argparse.ArgumentParser(
        prog=program,
        description="Prepare the basic emotions of RAF-DB for eacbook.",
        epilog=f"Example: {program} basic.zip --out data/rafdb\n\n{LICENCE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", type=Path, help="folder, zip, tar or tar.gz with EmoLabel and Image")
    add("--out", type=Path, required=True, help="folder to make, e.g. data/rafdb")
    add("--size", type=side, default=SIZE, help="pixels of a side (%(default)s, the set's own)")
    add("--skip-broken", action="store_true", help="drop images that do not decode, and count them")
    args = parser.parse_args(arguments)
    options = {"size": args.size, "skip_broken": args.skip_broken}
    description = run(parser, args.out, lambda: prepare(args.source, args.out, **options), REASONS)
    if description["counts"] != OFFICIAL:
        found, official = (
            f"{counts['train']:,} training and {counts['test']:,} test images"
            for counts in (description["counts"], OFFICIAL)
        )
        warn(f"{args.source} gave {found}, RAF-DB has {official}")
