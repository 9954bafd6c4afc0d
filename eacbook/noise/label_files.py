"""Noisy-label files of papers: read, match and write lists of file names and labels.

The published forms differ. The lists of SCN have the folders of the authors' computer before the name,
``_aligned`` after it, and labels from 0. The lists of EAC have plain names and labels from 1. The lists
of Ada-CM have a third column. Columns are separated by blanks, tabs, commas or semicolons.
"""

from __future__ import annotations

import codecs
import csv
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from eacbook.errors import InputError
from eacbook.files import write_text

LARGEST_BYTES, LONGEST_LINE = 1 << 28, 10_000
"""Upper limits: a list of a million faces has about a hundred megabytes, and its lines are short."""

HEADS = {"label", "labels", "noisy_label", "emotion", "expression", "class"}
"""Names of the label column, in a first line that names the columns."""

_BLANKS = re.compile(r"(\S.*?)\s+([0-9]+)(?:\s+(.*))?")
_ALIGNED = re.compile(r"_aligned(?=(\.[^.]*)?$)")


def read_label_file(path: str | Path, first: int = 1) -> dict[str, int]:
    """Read lines with a file name and a label into ``{file name: label from 0}``.

    Columns are separated by tabs, commas, semicolons or blanks; a name may contain blanks. The label is
    the second column; further columns are ignored. The first line may name the columns. The text is
    UTF-8, or UTF-16 with a byte order mark, as Windows writes it.

    Args:
        path: the path of the file.
        first: the label of the first class in this file, 1 (``train_00001.jpg 5``) or 0.

    Raises:
        InputError: a line does not have this form, or a file name comes twice; the message names the
            line.
    """
    return read_label_columns(path, first)[0]


def read_label_columns(path: str | Path, first: int = 1) -> tuple[dict[str, int], int]:
    """What :func:`read_label_file` returns, and the largest number of columns in a line."""
    if first not in (0, 1):
        raise InputError(f"first is the label of the first class, 0 or 1, got {first!r}")
    table: dict[str, int] = {}
    most = 0
    header_possible = True
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        where = f"{path}, line {number}"
        line = line.strip()
        if not line:
            continue
        if len(line) > LONGEST_LINE:
            raise InputError(f"{where}: {len(line):,} characters, too many for a name and a label")
        columns = _columns(line)
        if header_possible and columns is None and _is_header(line):
            header_possible = False
            continue
        header_possible = False
        if columns is None:
            raise InputError(
                f"{where}: found {cut(line)!r}, expected a file name and a label that is a whole "
                "number, such as 'train_00001.jpg 5'"
            )
        name, label = columns[0], int(columns[1])
        if label < first:
            raise InputError(
                f"{where}: found {cut(line)!r}, a label {label}, but labels count from 1. If the labels "
                "of this file count from 0, use --noise-file-from 0, or first=0 in Python"
            )
        if name in table:
            raise InputError(f"{where}: {cut(name)} is listed here for the second time")
        table[name] = label - first
        most = max(most, len(columns))
    if not table:
        raise InputError(f"{path} holds no label")
    return table, most


def match_label_file(path: str | Path, table: dict[str, int], files: Sequence[str]) -> list[int]:
    """The labels of the images of a face set, in the order of the images.

    Names are compared without ``_aligned``, and without folders if the names of the face set are still
    different without them. Both Unicode spellings of accents match. Published files also list test
    images (``test_0001.jpg``): names that begin with ``test`` or ``val`` and are not in the face set are
    left out.

    Args:
        path: the path of the label file, for messages.
        table: as from :func:`read_label_file`.
        files: N names of the images of the face set.

    Raises:
        InputError: an image has no label or two labels, or a label has no image.
    """
    depth = _depth(files)
    wanted = {name: _key(name, depth) for name in files}
    by_key: dict[str, str] = {}
    for name in table:
        other = by_key.setdefault(_key(name, depth), name)
        if other != name:
            raise InputError(
                f"{path}: {cut(other)} and {cut(name)} are names of one image; it needs one label only"
            )
    without_label = [name for name, key in wanted.items() if key not in by_key]
    keys = set(wanted.values())
    without_image = [
        name for key, name in by_key.items() if key not in keys and not _is_held_out(key)
    ]
    wrong = []
    if without_label:
        wrong.append(f"no label for {some(without_label)} of {len(wanted):,} training faces")
    if without_image:
        wrong.append(
            f"labels for {some(without_image)} of {len(table):,}, which the face set lacks"
        )
    if wrong:
        raise InputError(
            f"{path}: {', and '.join(wrong)}; expected one label for each training face of the set"
        )
    return [table[by_key[wanted[name]]] for name in files]


def write_label_file(path: str | Path, files: Sequence[str], labels: Tensor) -> None:
    """Write labels, counted from 1, in the form that :func:`read_label_file` reads.

    The columns are separated by a blank, or by a tab if a name contains a separator.

    Args:
        path: the path of the file; it is replaced when everything is written.
        files: N different names without line breaks and tabs.
        labels: int64 ``[N]``, counted from 0.
    """
    if len(files) != len(labels):
        raise InputError(
            f"{len(files)} file names and {len(labels)} labels: expected the same number"
        )
    if len(set(files)) != len(files):
        raise InputError("a file name is listed twice in files")
    for name in files:
        if not _is_writable(name):
            raise InputError(f"{cut(name)!r} cannot be written as a file name of a label file")
    if len(labels) and labels.min() < 0:
        raise InputError(f"labels to be written count from 0, got {labels.min().item()}")
    separated = any(mark.isspace() or mark in ',;"' for name in files for mark in name)
    separator = "\t" if separated else " "
    lines = [
        f"{name}{separator}{label + 1}\n"
        for name, label in zip(files, labels.tolist(), strict=True)
    ]
    write_text(path, "".join(lines))


def cut(text: str, longest: int = 80) -> str:
    """A text for a message, cut to at most ``longest`` characters."""
    return text if len(text) <= longest else text[: longest - 3] + "..."


def some(names: Sequence[str], shown: int = 3) -> str:
    """The first ``shown`` names, and how many more there are."""
    rest = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return ", ".join(map(cut, names[:shown])) + rest


def _read_text(path: str | Path) -> str:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is no file: expected a list of file names and labels")
    with path.open("rb") as file:
        content = file.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise InputError(
            f"{path} is larger than {LARGEST_BYTES >> 20} MB, too large for a list of labels"
        )
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not a text file in UTF-8, or in UTF-16 with a byte order mark: {error.reason} "
            f"(byte {error.start:,})"
        ) from error
    if "\0" in text:
        raise InputError(
            f"{path} is not a text file: it contains zero bytes, as in pictures or in UTF-16 without a "
            "byte order mark; save it as UTF-8"
        )
    return text


def _columns(line: str) -> list[str] | None:
    """Name, label and further columns of a line; None if there is no label."""
    ways = [re.split(r"\s*\t\s*", line)] if "\t" in line else []
    for mark in ",;":
        if mark in line:
            cells = next(csv.reader([line], delimiter=mark, skipinitialspace=True))
            ways.append([cell.strip() for cell in cells])
    for cells in ways:
        if len(cells) > 1 and cells[0] and _is_label(cells[1]):
            return cells
    blanks = _BLANKS.fullmatch(line)
    if blanks is None or not _is_label(blanks[2]):
        return None
    return [blanks[1], blanks[2], *(blanks[3] or "").split()]


def _is_label(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 80


def _is_header(line: str) -> bool:
    cells = [cell.strip().strip('"') for cell in re.split(r"[\t,;]|\s+", line)]
    return len(cells) > 1 and cells[1].casefold() in HEADS


def _depth(files: Sequence[str]) -> int | None:
    """The number of last path parts after which all names are different; None if they never are."""
    names = set(files)
    deepest = max(name.count("/") + name.count("\\") + 1 for name in names)
    for depth in range(1, deepest + 1):
        if len({_key(name, depth) for name in names}) == len(names):
            return depth
    return None


def _key(name: str, depth: int | None) -> str:
    """The form of a name for comparison: the last parts of its path, without ``_aligned``."""
    if depth is None:
        return name
    parts = unicodedata.normalize("NFC", name).replace("\\", "/").split("/")[-depth:]
    parts[-1] = _ALIGNED.sub("", parts[-1])
    return "/".join(parts)


def _is_held_out(key: str) -> bool:
    return key.rpartition("/")[2].casefold().startswith(("test", "val"))


def _is_writable(name: str) -> bool:
    """Whether the name can be written so that it is read again unchanged."""
    try:
        name.encode()
    except UnicodeEncodeError:  # the file system stores the name in another encoding
        return False
    whole = name == name.strip() and len(name.splitlines()) == 1 and len(name) < LONGEST_LINE - 100
    return whole and "\t" not in name and "\0" not in name and not name.startswith("\ufeff")
