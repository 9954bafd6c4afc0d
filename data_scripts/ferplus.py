"""FERPlus, in whatever form you have it, to the prepared format of eacbook.

FERPlus (Barsoum et al., ICMI 2016, arXiv 1608.01041) is FER2013 (Goodfellow et al., 2013) with the
votes of ten annotators on each image. People have it as folders of PNG files with a ``label.csv``
in each, as its own tools make them, or as Kaggle's ``fer2013.csv`` of pixels with the votes in
``fer2013new.csv``. Archives are streamed, never unpacked, and one image is in memory at a time.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import re
import stat
import sys
import tarfile
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
from PIL import Image
from tqdm import tqdm

from eacbook.errors import InputError
from eacbook.faces import CLASSES, SPLITS
from eacbook.prepared import LabelledImage, write_faces

CHOICES = (
    *("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"),
    *("unknown", "not_a_face"),
)
"""What an annotator could choose, in the order of the columns in every file of FERPlus."""

FOLDERS = {"train": "FER2013Train", "validation": "FER2013Valid", "test": "FER2013Test"}
USAGES = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
LABEL_FILE, VOTES_FILE = "label.csv", "fer2013new.csv"
PIXEL_FILES = ("fer2013.csv", "icml_face_data.csv")  # Kaggle has the same rows under two names
VOTES_HEADER = ["Usage", "Image name", *CHOICES[:9], "NF"]
SIZE = 48

REASONS = {
    "no_majority": "no choice has a majority",
    "unknown": "voted unknown",
    "not_a_face": "voted not a face",
    "contempt": "contempt, not one of the 7 classes",
    "unnamed": f"no image name in {VOTES_FILE}: not a face",
    "repeated": "image name used again further down",
    "broken": "image does not decode",
}

# Many times what FERPlus needs: beyond this a file is not FERPlus, or a decompression bomb.
LARGEST_IMAGE_BYTES, LONGEST_LINE, MOST_ROWS = 1 << 20, 1 << 16, 100_000

# RuntimeError is what zipfile says of an encrypted entry or an unknown compression.
DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error),
    *(EOFError, RuntimeError),
)

LICENCE = (
    "Images: FER2013, ICML 2013 challenge on Kaggle, for research, not to be passed on. Votes: "
    "FERPlus, MIT, (c) Microsoft. Cite Goodfellow et al. 2013 (arXiv 1307.0414) and Barsoum et al. "
    "2016 (arXiv 1608.01041)."
)
Files = dict[str, Callable[[], BinaryIO]]


@dataclass(frozen=True)
class Face:
    """The votes on one image; ``file`` is empty where the authors of FERPlus dropped the image."""

    split: str
    file: str
    votes: tuple[int, ...]


def majority(votes: tuple[int, ...]) -> str:
    """The choice with more than half of the votes, single votes not counted, as FERPlus has it."""
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
        votes: ``fer2013new.csv``, where it is neither in nor beside a source of pixels.
        skip_broken: drop and count images that do not decode instead of stopping.

    Returns:
        The description in ``faceset.json``; its notes count what was kept and what was dropped.

    Raises:
        InputError: the source is not FERPlus, or is damaged; ``out`` does not exist then.
    """
    classes = CLASSES[:num_classes]
    kept = {name: Counter() for name in classes}
    dropped = {reason: Counter() for reason in REASONS if reason not in classes}
    with open_files(source) as files:
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
                raise InputError(f"{error} (--skip-broken goes on without it)") from error
            tqdm.write(f"skipped: {error}", file=sys.stderr)
            dropped["broken"][face.split] += 1
            continue
        kept[choice][face.split] += 1
        votes = dict(zip(CHOICES, face.votes, strict=True))
        yield LabelledImage(face.split, CLASSES.index(choice), face.file, pixels, votes)


def repeated(faces: Iterable[Face]) -> set[int]:
    """Rows whose image name comes again: the tools of FERPlus keep the image of the last one."""
    last = {face.file: row for row, face in enumerate(faces)}
    return {row for row, face in enumerate(faces) if last[face.file] != row}


def read_ferplus(files: Files, source: Path, votes: Path | None):
    """The faces, and each again with what decodes its pixels, in the same order."""
    tables = [path for path in files if PurePosixPath(path).name in PIXEL_FILES]
    if len(files) == 1 and (source.name in files or next(iter(files)).endswith(".csv")):
        tables = list(files)  # under whatever name it was saved
    labels = {split: find_labels(files, folder) for split, folder in FOLDERS.items()}
    folders = {str(PurePosixPath(path).parent) for path in labels.values() if path}
    has_images = any(str(PurePosixPath(path).parent) in folders for path in files if is_png(path))
    # The repository of FERPlus has label.csv files without images: there the pixels are elsewhere.
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
    """Folders of PNG files: every image has its line in ``label.csv``, and every line its image."""
    order = {path: position for position, path in enumerate(files)}
    found: list[tuple[Face, str]] = []
    for split, table in labels.items():
        if table is None:
            raise InputError(f"{FOLDERS[split]}/{LABEL_FILE} is missing")
        folder = PurePosixPath(table).parent
        here = []
        for line, row in read_csv(files[table], table):
            # The authors' own copy has the box of the face behind the name, newer tools have not.
            votes = parse_votes(row[2:] if len(row) == 12 else row[1:], f"{table}, line {line}")
            here.append((Face(split, row[0], votes), str(folder / row[0])))
            if here[-1][1] not in files:
                raise InputError(f"{table}, line {line}: there is no image {here[-1][1]}")
        images = {path for path in files if is_png(path) and PurePosixPath(path).parent == folder}
        unlabelled = sorted(images - {path for _, path in here})
        if unlabelled:
            raise InputError(f"{table} has no line for {unlabelled[0]} ({len(unlabelled)} such)")
        found += sorted(here, key=lambda pair: order[pair[1]])
    faces = [face for face, _ in found]
    return faces, ((face, partial(decode_png, files[path], path)) for face, path in found)


def find_votes(files: Files, source: Path, given: Path | None) -> tuple[Callable, str]:
    inside = next((path for path in files if PurePosixPath(path).name == VOTES_FILE), None)
    beside = source.parent / VOTES_FILE
    if given is None and inside:
        return files[inside], inside
    if given or beside.is_file():
        path = given or beside
        return partial(path.open, "rb"), str(path)
    raise InputError(
        f"{VOTES_FILE} is neither in nor beside {source}: take it from the repository "
        f"microsoft/FERPlus on GitHub and give it with --votes {VOTES_FILE}"
    )


def read_votes(opener: Callable[[], BinaryIO], name: str) -> list[Face]:
    rows = read_csv(opener, name)
    header = next(rows, (1, []))[1]
    if header != VOTES_HEADER:
        found = ",".join(header)[:80]
        raise InputError(f"{name}, line 1: {found!r}, expected {','.join(VOTES_HEADER)}")
    faces = []
    for line, row in rows:
        where = f"{name}, line {line}"
        votes = parse_votes(row[2:], where)
        faces.append(Face(parse_usage(row[0], where), row[1], votes))
    return faces


def read_pixels(opener: Callable[[], BinaryIO], name: str, faces: list[Face]):
    """Kaggle's table, whose rows stand in the order of the faces."""
    rows = read_csv(opener, name)
    header = next(rows, (1, []))[1]
    if not {"emotion", "pixels", "Usage"} <= set(header):
        raise InputError(
            f"{name}, line 1: {','.join(header)[:80]!r}, expected the columns emotion,pixels,Usage"
        )
    usage, pixels = header.index("Usage"), header.index("pixels")
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
        yield face, partial(decode_text, row[pixels], f"{where} ({face.file})")


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
        warnings.simplefilter("error", DeprecationWarning)  # what older numpy says of text
        try:
            values = np.fromstring(text, dtype=np.int64, sep=" ")
        except (ValueError, DeprecationWarning) as error:
            raise InputError(f"{where}: the pixels are not all whole numbers") from error
    if len(values) != SIZE * SIZE:
        raise InputError(f"{where}: {len(values)} pixels, expected {SIZE * SIZE}")
    if values.min() < 0 or values.max() > 255:
        raise InputError(f"{where}: pixels {values.min()} to {values.max()}, expected 0 to 255")
    return values.astype(np.uint8).reshape(SIZE, SIZE, 1)


def decode_png(opener: Callable[[], BinaryIO], path: str) -> np.ndarray:
    with opener() as stream:
        data = stream.read(LARGEST_IMAGE_BYTES + 1)
    if len(data) > LARGEST_IMAGE_BYTES:
        raise InputError(f"{path} is larger than {LARGEST_IMAGE_BYTES:,} bytes, expected a face")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # The size is in the header: a picture of another size is never decoded.
            image = Image.open(io.BytesIO(data), formats=("PNG",))
            if image.size == (SIZE, SIZE):
                return np.asarray(image.convert("L"))[..., None]
    except Exception as error:  # Pillow raises what its codecs raise: SyntaxError, struct.error...
        raise InputError(f"{path} does not decode as PNG ({error})") from error
    raise InputError(f"{path} has {image.width}x{image.height} pixels, expected {SIZE}x{SIZE}")


def read_csv(opener: Callable[[], BinaryIO], name: str) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and stripped fields, one row at a time."""

    def lines(text: io.TextIOWrapper) -> Iterator[str]:
        while line := text.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE:
                raise InputError(
                    f"{name} has a line of over {LONGEST_LINE} characters: no such CSV"
                )
            yield line

    with io.TextIOWrapper(opener(), "utf-8-sig", errors="replace", newline="") as text:
        rows = csv.reader(lines(text))
        try:
            for row in filter(None, rows):
                if rows.line_num > MOST_ROWS:
                    raise InputError(f"{name} has over {MOST_ROWS:,} lines, FERPlus has 35,888")
                yield rows.line_num, [field.strip() for field in row]
        except csv.Error as error:
            raise InputError(f"{name}, line {rows.line_num}: {error}, expected CSV") from error


@contextmanager
def open_files(source: Path) -> Iterator[Files]:
    """By name, what opens each file of a folder or an archive; in the order that reads fastest."""
    try:
        with ExitStack() as stack:
            files = list_files(source, stack)
            hidden = re.compile(r"(^|/)(\.|__MACOSX/)")  # what macOS adds to an archive
            yield {name: opener for name, opener in files.items() if not hidden.search(name)}
    except DAMAGED as error:
        raise InputError(
            f"{source} is truncated, damaged or encrypted ({error}): download it again"
        ) from error


def list_files(source: Path, stack: ExitStack) -> Files:
    if source.is_dir():
        paths = sorted(path for path in source.rglob("*") if path.is_file())
        return {path.relative_to(source).as_posix(): partial(path.open, "rb") for path in paths}
    if not source.is_file():
        raise InputError(f"there is no file or folder {source}")
    with source.open("rb") as file:
        start = file.read(512)
    if start.startswith(b"PK"):
        archive = stack.enter_context(zipfile.ZipFile(source))
        return dict(sorted(zip_entries(archive, source)))
    if start.startswith(b"\x1f\x8b") or start[257:262] == b"ustar":
        # Left in the order of the archive: to go back in a gzip is to read it from the start.
        return dict(tar_entries(stack.enter_context(tarfile.open(source)), source))
    if b"pixels" in start:
        return {source.name: partial(source.open, "rb")}
    raise InputError(f"{source} is neither a folder, a zip, a tar, a tar.gz nor a {PIXEL_FILES[0]}")


def zip_entries(archive: zipfile.ZipFile, source: Path) -> Iterator[tuple[str, Callable]]:
    for entry in archive.infolist():
        is_link = stat.S_ISLNK(entry.external_attr >> 16)
        name = safe_name(entry.filename, source, is_plain=not is_link)
        if not entry.is_dir():
            yield name, partial(archive.open, entry)


def tar_entries(archive: tarfile.TarFile, source: Path) -> Iterator[tuple[str, Callable]]:
    for entry in archive:
        name = safe_name(entry.name, source, is_plain=entry.isfile() or entry.isdir())
        if entry.isfile():
            yield name, partial(archive.extractfile, entry)


def safe_name(name: str, source: Path, *, is_plain: bool) -> str:
    """The name of an entry, if it is one that an honest archive could hold."""
    path = PurePosixPath(name.replace("\\", "/"))
    if not is_plain or path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name):
        raise InputError(
            f"{source}: the entry {name!r} is a link, a device or points outside the archive, "
            "expected plain files: refused whole"
        )
    return str(path)


def table_of_counts(description: dict) -> str:
    """What was kept, by class and split, and what was dropped, by reason and split."""
    notes = description["notes"]
    kept, dropped = notes["kept"], notes["dropped"]
    rows = {f"  {name}": counts for name, counts in kept.items()}
    rows |= {"kept": sum(kept.values(), Counter())}
    rows |= {f"  {REASONS[reason]}": counts for reason, counts in dropped.items() if counts}
    rows |= {"dropped": sum(dropped.values(), Counter())}
    lines = [" " * 42 + "".join(f"{split:>12}" for split in SPLITS)]
    lines += [
        f"{name:<42}" + "".join(f"{counts[split]:>12,}" for split in SPLITS)
        for name, counts in rows.items()
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="ferplus.py",
        description="Prepare FERPlus for eacbook from any form of it.",
        epilog="Example: python data_scripts/ferplus.py ferplus.zip --out data/ferplus\n"
        "         python data_scripts/ferplus.py fer2013.tar.gz --votes fer2013new.csv "
        f"--out data/ferplus\n\n{LICENCE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", type=Path, help="folder, zip, tar or tar.gz of FERPlus or FER2013; fer2013.csv")
    add("--out", type=Path, required=True, help="folder to make, e.g. data/ferplus")
    add("--labels", choices=RULES, default="majority", help="how votes make a label (%(default)s)")
    add("--classes", type=int, choices=(7, 8), default=7, help="8 has contempt (%(default)s)")
    add("--votes", type=Path, help="fer2013new.csv, where it is neither in nor beside SOURCE")
    add("--skip-broken", action="store_true", help="drop images that do not decode, and count them")
    args = parser.parse_args(arguments)
    try:
        description = prepare(
            args.source,
            args.out,
            labels=args.labels,
            num_classes=args.classes,
            votes=args.votes,
            skip_broken=args.skip_broken,
        )
    except InputError as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")
    except OSError as error:  # a full disk names no file by itself
        parser.exit(2, f"{parser.prog}: error: {error} (while preparing {args.out})\n")
    print(table_of_counts(description))
    print(f"\n{args.out} is ready: eacbook.load_faces({str(args.out)!r})\n{LICENCE}")


if __name__ == "__main__":
    main()
