"""The noisy-label files that papers share: lists of file names and labels, read, matched and written.

The published forms differ. SCN's lists have the folders of the authors' computer in front, ``_aligned``
behind the name, and labels from 0; EAC's have plain names and labels from 1; Ada-CM's have a third
column. Tabs, commas and semicolons separate columns as blanks do.
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
"""A list of a million faces has about a hundred megabytes, and no line of ten thousand characters."""

HEADS = {"label", "labels", "noisy_label", "emotion", "expression", "class"}
"""What the second column of a first line may be called where it names the columns."""

_BLANKS = re.compile(r"(\S.*?)\s+([0-9]+)(?:\s+(.*))?")
_ALIGNED = re.compile(r"_aligned(?=(\.[^.]*)?$)")


def read_label_file(path: str | Path, first: int = 1) -> dict[str, int]:
    """Read lines of a file name and a label into ``{file name: label from 0}``.

    Columns are separated by tabs, commas, semicolons or blanks; a name may hold blanks. The label is the
    second column; further columns are not read. A first line may name the columns. The text is UTF-8, or
    UTF-16 with a byte order mark, as Windows writes it.

    Args:
        path: of the file.
        first: the label of the first class in this file, 1 (``train_00001.jpg 5``) or 0.

    Raises:
        InputError: names the line that is not of this form, or a file named twice.
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
                f"{where}: found {cut(line)!r}, a label {label} where labels count from 1. If those of "
                "this file count from 0, say so: --noise-file-from 0, or first=0 in Python"
            )
        if name in table:
            raise InputError(f"{where}: {cut(name)} stands here for the second time")
        table[name] = label - first
        most = max(most, len(columns))
    if not table:
        raise InputError(f"{path} holds no label")
    return table, most


def match_label_file(path: str | Path, table: dict[str, int], files: Sequence[str]) -> list[int]:
    """The labels of a face set's images, in their order.

    Names are compared without folders, as far as those of the face set can be told apart without, and
    without ``_aligned``; their accents may be spelled in either way of Unicode.

    Args:
        path: of the label file, for messages.
        table: as from :func:`read_label_file`.
        files: N names of the face set's images.

    Raises:
        InputError: an image has no label or two, or a label has no image.
    """
    depth = _depth(files)
    wanted = {name: _key(name, depth) for name in files}
    by_key: dict[str, str] = {}
    for name in table:
        other = by_key.setdefault(_key(name, depth), name)
        if other != name:
            raise InputError(
                f"{path}: {cut(other)} and {cut(name)} are names of one image, which needs one label"
            )
    without_label = [name for name, key in wanted.items() if key not in by_key]
    keys = set(wanted.values())
    without_image = [name for key, name in by_key.items() if key not in keys]
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
    """Write labels, from 1, in the form that :func:`read_label_file` reads.

    The columns are separated by a blank, or by a tab where a name holds a separator.

    Args:
        path: replaced when everything is written.
        files: N different names without line breaks and tabs.
        labels: int64 ``[N]``, from 0.
    """
    if len(files) != len(labels):
        raise InputError(f"{len(files)} file names and {len(labels)} labels: expected as many")
    if len(set(files)) != len(files):
        raise InputError("a file name stands twice in files")
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
    """A text for a message, no longer than that."""
    return text if len(text) <= longest else text[: longest - 3] + "..."


def some(names: Sequence[str], shown: int = 3) -> str:
    """The first of some names, and how many more there are."""
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
            f"{path} is not a text file: it holds zero bytes, as pictures do, or UTF-16 without a byte "
            "order mark; save it as UTF-8"
        )
    return text


def _columns(line: str) -> list[str] | None:
    """Name, label and what follows; None where there is no label."""
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
    """How many parts of their paths tell these names apart; None if not even all of them do."""
    names = set(files)
    deepest = max(name.count("/") + name.count("\\") + 1 for name in names)
    for depth in range(1, deepest + 1):
        if len({_key(name, depth) for name in names}) == len(names):
            return depth
    return None


def _key(name: str, depth: int | None) -> str:
    """A name as it is compared: the last parts of its path, without ``_aligned``."""
    if depth is None:
        return name
    parts = unicodedata.normalize("NFC", name).replace("\\", "/").split("/")[-depth:]
    parts[-1] = _ALIGNED.sub("", parts[-1])
    return "/".join(parts)


def _is_writable(name: str) -> bool:
    """Whether a reader would find the name again."""
    try:
        name.encode()
    except UnicodeEncodeError:  # a name that the file system holds in another encoding
        return False
    whole = name == name.strip() and len(name.splitlines()) == 1 and len(name) < LONGEST_LINE - 100
    return whole and "\t" not in name and "\0" not in name and not name.startswith("\ufeff")
