"""From a person's decisions to a corrected copy of the set. The originals are never touched.

``decisions.csv`` comes from a browser and can contain anything. Every line is checked before anything
is written.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from eacbook.audit.files import FACTS, read_facts
from eacbook.audit.source import is_prepared
from eacbook.checks import choice, path_name, shortened, shown
from eacbook.data.faces import fingerprint_of, load_all
from eacbook.data.format import (
    COLUMNS,
    DESCRIPTION,
    IMAGES,
    LABELS,
    SPLITS,
    VOTE_PREFIX,
    Row,
    read_description,
    read_labels,
)
from eacbook.data.images import ImageFile
from eacbook.data.prepared import LabelledImage, write_faces
from eacbook.errors import InputError
from eacbook.files import write_text

HEADER = ("set", "row", "file", "decision", "label")
KEEP, RELABEL, DROP, UNSURE = DECISIONS = ("keep", "relabel", "drop", "unsure")
CHANGES = "changes.csv"
LARGEST_FILE = 1 << 28
"""Bytes of the largest file of decisions: more than a line for each of a million pictures."""


@dataclass(frozen=True)
class Decision:
    """A line of ``decisions.csv``.

    Attributes:
        row: the picture.
        decision: one of :data:`DECISIONS`.
        label: the new class of a relabelled picture, else None.
    """

    row: int
    decision: str
    label: int | None = None


@dataclass(frozen=True)
class Change:
    """A decision that changes the set, or would do so in a split that was not named.

    Attributes:
        row: the picture, as a line of the set.
        label: the new class; None for a dropped picture.
        applied: whether its split may be changed.
    """

    row: Row
    label: int | None
    applied: bool


@dataclass(frozen=True)
class Applied:
    """What :func:`apply_decisions` did.

    Attributes:
        out: the corrected copy.
        classes: names of the classes.
        decided: how often each decision was taken.
        changes: all changes, in the order of the rows.
        splits: the splits that could be changed.
    """

    out: Path
    classes: tuple[str, ...]
    decided: Counter[str]
    changes: tuple[Change, ...]
    splits: tuple[str, ...]

    def __str__(self) -> str:
        done = [change for change in self.changes if change.applied]
        left = Counter(change.row.split for change in self.changes if not change.applied)
        dropped = sum(change.label is None for change in done)
        kept = ", ".join(f"{self.decided[name]} {name}" for name in DECISIONS)
        lines = [
            f"Decisions: {kept}.",
            f"{self.out} is the corrected copy: labels changed: {len(done) - dropped}, pictures "
            f"dropped: {dropped}. {CHANGES} in it lists each of them.",
        ]
        for split, count in left.items():
            why = f"Cleaning a {split} split by the opinion of a model flatters the model. "
            lines.append(
                f"{split}: {count} decision{'s' if count > 1 else ''} not applied. "
                f"{'' if split == 'train' else why}--splits {' '.join([*self.splits, split])} does it."
            )
        return "\n".join(lines)


def apply_decisions(
    decisions: str | Path,
    out: str | Path,
    *,
    source: str | Path | None = None,
    splits: Collection[str] = ("train",),
) -> Applied:
    """Write a corrected copy of a prepared set.

    Args:
        decisions: the file that the page saved.
        out: the folder to make.
        source: the folder of the audit, or the prepared set. None looks for an audit in the folder of
            the decisions, and then in ``audit``.
        splits: the splits that may be changed.

    Returns:
        What was decided and changed.

    Raises:
        InputError: a line of the decisions is not one of this set, or the copy cannot be made. Then
            nothing is written.
    """
    decisions, out = Path(path_name("--apply", decisions)), Path(path_name("--out", out))
    if out.exists():
        raise InputError(f"{out} exists already; remove it or choose another --out")
    for name in splits:
        choice("split", name, SPLITS)
    if decisions.is_dir():
        raise InputError(f"--apply {decisions} is a folder, expected the file decisions.csv")
    folder = find_set(decisions, source)
    load_all(folder)  # checks that the files are those that were prepared
    description = read_description(folder / DESCRIPTION)
    rows = sorted(read_labels(folder / LABELS, description))
    read = read_decisions(decisions, rows, description["classes"], fingerprint_of(description))
    changes = [
        Change(rows[one.row], one.label, rows[one.row].split in splits)
        for one in sorted(read, key=lambda one: one.row)
        if one.decision == DROP or (one.decision == RELABEL and one.label != rows[one.row].label)
    ]
    _check_what_is_left(rows, changes, description["classes"])
    decided = Counter(one.decision for one in read)
    applied = Applied(out, description["classes"], decided, tuple(changes), tuple(splits))
    _write_copy(folder, out, rows, applied, description)
    return applied


def find_set(decisions: Path, source: str | Path | None) -> Path:
    """The prepared set that the decisions are about: given, or named by an audit.

    Raises:
        InputError: there is no audit and no set in the expected places.
    """
    places = [decisions.parent, Path("audit")] if source is None else [Path(source)]
    for place in places:
        if is_prepared(place):
            return place
        if (place / FACTS).is_file():
            return place / read_facts(place)["set"]
    where = " or ".join(dict.fromkeys(map(str, places)))
    raise InputError(
        f"there is no finished audit in {where}: give its folder, or the prepared set, before --apply"
    )


def read_decisions(
    path: Path, rows: Sequence[Row], classes: Sequence[str], fingerprint: str
) -> list[Decision]:
    """The decisions of a file, after a check of every line.

    Args:
        path: the file.
        rows: the lines of the set, in order.
        classes: names of the classes.
        fingerprint: that of the set.

    Raises:
        InputError: the file is not one of decisions, is of another set, or names an unknown row,
            decision or class, or a row twice.
    """
    found: dict[int, Decision] = {}
    table = _lines(path)
    try:
        _, header = next(table, (1, []))
        if tuple(header) != HEADER:
            raise InputError(
                f"{path}, line 1: the header is {shown(','.join(header))}, expected {','.join(HEADER)}"
            )
        for line, fields in table:
            where = f"{path}, line {line}"
            if len(fields) != len(HEADER):
                raise InputError(f"{where}: {len(fields)} fields, expected {len(HEADER)}")
            one = _decision(fields, where, rows, classes, fingerprint)
            if one.row in found:
                raise InputError(f"{where}: row {one.row} is decided here for the second time")
            found[one.row] = one
    except csv.Error as error:
        raise InputError(f"{path} is not a CSV file ({error})") from error
    return list(found.values())


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{path} has {path.stat().st_size:,} bytes, which is too large a file")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a UTF-8 text, expected {','.join(HEADER)}") from error
    table = csv.reader(io.StringIO(text, newline=""), strict=True)
    for fields in table:
        if fields:
            yield table.line_num, fields


def _decision(
    fields: list[str], where: str, rows: Sequence[Row], classes: Sequence[str], fingerprint: str
) -> Decision:
    of_set, row, file, decision, label = fields
    if of_set != fingerprint:
        raise InputError(
            f"{where}: the decisions are about the set {shown(of_set)}, expected {fingerprint}: the set "
            "was changed, or this is the file of another audit"
        )
    if not (row.isascii() and row.isdecimal() and len(row) < 16) or int(row) >= len(rows):
        raise InputError(f"{where}: row {shown(row)}, expected a number from 0 to {len(rows) - 1}")
    known = rows[int(row)].file
    if file != known:
        raise InputError(f"{where}: row {row} is {shown(known)}, and the line names {shown(file)}")
    if decision not in DECISIONS:
        raise InputError(
            f"{where}: decision {shown(decision)}, expected one of {', '.join(DECISIONS)}"
        )
    if decision != RELABEL:
        if label:
            raise InputError(f"{where}: {decision} with the label {shown(label)}, expected none")
        return Decision(int(row), decision)
    if label not in classes:
        names = shortened(", ".join(classes), 200)
        raise InputError(f"{where}: the class {shown(label)} is unknown, expected one of {names}")
    return Decision(int(row), decision, classes.index(label))


def _check_what_is_left(
    rows: Sequence[Row], changes: Sequence[Change], classes: Sequence[str]
) -> None:
    labels: dict[int, int | None] = {row.row: row.label for row in rows}
    labels |= {change.row.row: change.label for change in changes if change.applied}
    left = {(row.split, labels[row.row]) for row in rows}
    for row in rows:
        if row.split == "train" and ("train", row.label) not in left:
            raise InputError(
                f"the decisions leave no training picture of the class {classes[row.label]}: keep one"
            )
    if not any(row.split == "test" and labels[row.row] is not None for row in rows):
        raise InputError("the decisions drop all test pictures: keep one")


def _write_copy(
    folder: Path, out: Path, rows: Sequence[Row], applied: Applied, description: dict
) -> None:
    changed = {change.row.row: change.label for change in applied.changes if change.applied}
    images = ImageFile(folder / IMAGES)
    height, width, channels = description["image_shape"]

    def corrected() -> Iterator[LabelledImage]:
        for row, votes in zip(rows, _votes(folder / LABELS, len(rows)), strict=True):
            label = changed.get(row.row, row.label)
            if label is not None:
                pixels = images[row.row].permute(1, 2, 0).numpy()
                yield LabelledImage(row.split, label, row.file, pixels, votes)

    counts = Counter("dropped" if label is None else "relabelled" for label in changed.values())
    made = {"of": fingerprint_of(description), **counts}
    write_faces(
        out,
        corrected(),
        classes=applied.classes,
        image_shape=(height, width, channels),
        source=description["source"],
        licence=description["licence"],
        notes={"split": description["notes"].get("split"), "corrected": made},
    )
    write_text(out / CHANGES, _table_of_changes(applied))


def _votes(path: Path, count: int) -> list[dict[str, int] | None]:
    """All votes of each row, also those for choices that are no class."""
    votes: list[dict[str, int] | None] = [None] * count
    with path.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        names = [name for name in table.fieldnames or () if name.startswith(VOTE_PREFIX)]
        if names:
            for fields in table:
                own = {name.removeprefix(VOTE_PREFIX): int(fields[name]) for name in names}
                votes[int(fields[COLUMNS[0]])] = own
    return votes


def _table_of_changes(applied: Applied) -> str:
    """``changes.csv``: all changes, also those of splits that were not named."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["row", "file", "split", "decision", "from", "to", "applied"])
    for change in applied.changes:
        decision = DROP if change.label is None else RELABEL
        to = "" if change.label is None else applied.classes[change.label]
        old, done = applied.classes[change.row.label], "yes" if change.applied else "no"
        row = change.row
        table.writerow([row.row, row.file, row.split, decision, old, to, done])
    return text.getvalue()
