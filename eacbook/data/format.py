"""The prepared format: names of files, splits and columns, checksums, and reading of the text files.

A prepared folder holds ``images.npy`` (uint8 ``[N,H,W,C]``), ``labels.csv`` (one row for each
image) and ``faceset.json`` (classes, counts, checksums, source, licence).
:mod:`eacbook.data.prepared` writes it and :mod:`eacbook.data.faces` reads it. This module does not
need PyTorch, so the scripts in ``data_scripts/`` start at once.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import reprlib
import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from eacbook.errors import InputError

FORMAT = 1
IMAGES, LABELS, DESCRIPTION = "images.npy", "labels.csv", "faceset.json"
SPLITS = ("train", "validation", "test")
COLUMNS, VOTE_PREFIX = ("row", "split", "label", "file"), "votes_"

LARGEST_DESCRIPTION = 1 << 24
MOST_ROWS, MOST_VOTES = 1 << 40, 1_000_000


def sha256_of(path: Path) -> str:
    """Checksum of a file of any size, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


class Row(NamedTuple):
    """One line of ``labels.csv``.

    Attributes:
        row: the position of the image in ``images.npy``.
        split, label, file: as in :class:`eacbook.data.prepared.LabelledImage`.
        votes: how many annotators chose each class, in label order; None in a set without votes.
    """

    row: int
    split: str
    label: int
    file: str
    votes: tuple[int, ...] | None


def check_classes(names: object, where: object) -> tuple[str, ...]:
    """The names of the classes in the composed form of Unicode (NFC), so that equal names compare equal.

    Raises:
        InputError: they are not a list of different, printable texts.
    """
    given = names if isinstance(names, list | tuple) else ()
    if not given or not all(isinstance(name, str) and name.strip() for name in given):
        raise InputError(f"{where}: classes are {shown(names)}, expected a list of names")
    given = tuple(unicodedata.normalize("NFC", name) for name in given)
    for name in given:
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
            raise InputError(f"{where}: class {shown(name)} holds a letter that cannot be shown")
        if given.count(name) > 1:
            raise InputError(f"{where}: class {shown(name)} occurs twice in classes")
    return given


def read_description(path: Path) -> dict:
    """The content of ``faceset.json``, after a check of its types.

    Raises:
        InputError: the file is missing, is not JSON, is incomplete, or has impossible values.
    """
    if not path.is_file():
        raise InputError(f"{path.parent} is not a prepared face set: {path.name} is missing")
    try:
        if path.stat().st_size > LARGEST_DESCRIPTION:
            raise ValueError(f"{path.stat().st_size:,} bytes are too many")
        description = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({error}); prepare the set again") from error
    needed = {"format", "classes", "image_shape", "counts", "checksums", "source", "licence"}
    missing = sorted(needed - set(description)) if isinstance(description, dict) else sorted(needed)
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}; prepare the set again")
    if not _is_count(description["format"]) or description["format"] != FORMAT:
        raise InputError(
            f"{path} has format {shown(description['format'])}, this eacbook reads format {FORMAT}"
        )
    classes = check_classes(description["classes"], path)
    for key, fits, expected in (
        ("image_shape", _is_shape, "height, width and 1 or 3 channels"),
        ("counts", _are_counts, "numbers of train, test and perhaps validation images"),
        ("checksums", _are_checksums, f"SHA-256 digests of {IMAGES} and {LABELS}"),
        ("source", _is_text, "a text"),
        ("licence", _is_text, "a text"),
    ):
        if not fits(description[key]):
            raise InputError(
                f"{path}: {key} is {shown(description[key])}, expected {expected}; prepare the set "
                "again"
            )
    notes = description.get("notes", {})
    if not isinstance(notes, dict):
        raise InputError(f"{path}: notes are {shown(notes)}, expected facts by name")
    return description | {"classes": classes, "notes": notes}


def read_labels(path: Path, description: dict) -> list[Row]:
    """The lines of ``labels.csv``, after a check: each image once, each split with its count.

    Args:
        path: the file.
        description: from :func:`read_description`; it has the counts.

    Raises:
        InputError: a line has another form, or the counts are not those of the description.
    """
    classes, counts = description["classes"], description["counts"]
    total = sum(counts.values())
    rows: list[Row] = []
    lines: dict[int, int] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.reader(file, strict=True)
            names = [unicodedata.normalize("NFC", name) for name in next(table, [])]
            places = {name: place for place, name in enumerate(names)}
            lacking = [name for name in COLUMNS if name not in places]
            if lacking or len(places) < len(names):
                what = f"lacks {', '.join(lacking)}" if lacking else "names a column twice"
                raise InputError(f"{path}, line 1: the header {what}: {shown(names)}")
            columns = [places[name] for name in COLUMNS]
            of_votes = [places.get(VOTE_PREFIX + name) for name in classes]
            has_votes = any(name.startswith(VOTE_PREFIX) for name in names)
            if has_votes and None in of_votes:
                without = classes[of_votes.index(None)]
                raise InputError(
                    f"{path}, line 1: there are votes, but none for the class {shown(without)} of "
                    f"{DESCRIPTION}"
                )
            for fields in filter(None, table):
                where = f"{path}, line {table.line_num}"
                if len(fields) != len(names):
                    raise InputError(f"{where}: {len(fields)} fields, the header has {len(names)}")
                row, split, label, name = (fields[column] for column in columns)
                row = _number(row, MOST_ROWS, where, "row")
                if row in lines:
                    raise InputError(f"{where}: row {row} occurs here for the second time")
                lines[row] = table.line_num
                if split not in SPLITS:
                    raise InputError(f"{where}: split {shown(split)}, expected one of {SPLITS}")
                if "\0" in name:
                    raise InputError(f"{where}: file {shown(name)}, expected the name of a file")
                label = _number(label, len(classes), where, "label")
                votes = (
                    tuple(_number(fields[vote], MOST_VOTES, where, "votes") for vote in of_votes)
                    if has_votes
                    else None
                )
                rows.append(Row(row, split, label, name, votes))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a UTF-8 text: prepare the set again") from error
    except csv.Error as error:
        raise InputError(
            f"{path}, line {table.line_num}: {error}; prepare the set again"
        ) from error
    found = Counter(row.split for row in rows)
    if found != Counter(counts):
        raise InputError(
            f"{path} has {len(rows)} rows ({_listed(found)}), {DESCRIPTION} counts {total} "
            f"({_listed(counts)})"
        )
    last = max(lines)
    if last >= total:
        raise InputError(f"{path}, line {lines[last]}: row {last}, expected 0 to {total - 1}")
    return rows


def shown(value: object) -> str:
    """A value from a file as a text that is short enough for a message."""
    return _SHORT.repr(value)


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxtuple, _SHORT.maxdict = 2, 4, 4, 4


def _number(text: str, below: int, where: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 16) or int(text) >= below:
        raise InputError(
            f"{where}: {what} {shown(text)}, expected a whole number from 0 to {below - 1}"
        )
    return int(text)


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _is_shape(value: object) -> bool:
    sides = isinstance(value, list) and len(value) == 3 and all(map(_is_count, value))
    return sides and min(value) > 0 and value[2] in (1, 3)


def _are_counts(value: object) -> bool:
    counts = isinstance(value, dict) and value.keys() <= set(SPLITS)
    counts = counts and all(map(_is_count, value.values()))
    return counts and all(value.get(split) for split in ("train", "test"))


def _are_checksums(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(name), str) and re.fullmatch(r"[0-9a-f]{64}", value[name])
        for name in (IMAGES, LABELS)
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts[split]} {split}" for split in SPLITS if counts.get(split)) or "none"
