"""The pictures and labels that an audit looks at: all rows of a prepared set, or of class folders.

Class folders are prepared first, into a folder of the audit. Their classes can have any names. If the
folders name no split, eacbook draws one for later use; nobody has a number from it yet, so all
pictures are trained on. Otherwise only the training split is.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from eacbook.checks import shortened
from eacbook.data.faces import FaceData, FaceSet, fingerprint_of, load_all, take
from eacbook.data.format import DESCRIPTION, SPLITS, read_description
from eacbook.data.images import ImageFile, Images
from eacbook.errors import InputError
from eacbook.noise.labels import NoisyLabels

LEAST = 3
"""Pictures that a class needs: one to learn from is not enough to doubt another."""

WATCHED = 500
"""At most so many pictures are predicted after each epoch: the training loop wants test faces."""


@dataclass(frozen=True)
class AuditSet:
    """All pictures of a set, in the order of its rows, with the labels to check.

    Attributes:
        name: short name of the set.
        fingerprint: text that changes with every image and label.
        classes: K names in label order.
        pictures: the N pictures; ``labels`` are those of the set.
        given: int64 ``[N]``, the labels to check: those of the set, unless a self-test changed some.
        splits: the split of each row.
        trained: int64 ``[n]``, the rows that are trained on.
        persons: who is in each picture, or None if nobody knows.
    """

    name: str
    fingerprint: str
    classes: tuple[str, ...]
    pictures: FaceSet
    given: Tensor
    splits: tuple[str, ...]
    trained: Tensor
    persons: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.given)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def image_size(self) -> int:
        """Height of the stored images in pixels."""
        return self.pictures.images.shape[-2]

    @classmethod
    def of(cls, faces: FaceData, noisy: NoisyLabels | None = None) -> AuditSet:
        """The rows of a face set: training, then validation and test.

        Args:
            faces: the set; synthetic faces know their persons.
            noisy: labels of the training faces that replace those of the set.
        """
        there = {name: getattr(faces, name) for name in SPLITS if getattr(faces, name) is not None}
        parts: Sequence[FaceSet] = list(there.values())
        pictures = FaceSet(
            _joined([part.images for part in parts]),
            torch.cat([part.labels for part in parts]).cpu(),
            tuple(file for part in parts for file in part.files),
        )
        given = pictures.labels.clone()
        if noisy is not None:
            given[: len(faces.train)] = noisy.given
        persons = None
        if all(part.drawn is not None for part in parts):
            persons = tuple(
                str(int(person)) for part in parts if part.drawn for person in part.drawn.identity
            )
        return cls(
            faces.name, faces.fingerprint, faces.classes, pictures, given,
            tuple(name for name, part in there.items() for _ in range(len(part))),
            torch.arange(len(faces.train)), persons,
        )  # fmt: skip

    def training(self, rows: Tensor, purpose: str) -> tuple[FaceData, NoisyLabels]:
        """The faces and labels of a training on some rows.

        Args:
            rows: int64 ``[n]``.
            purpose: a word for the settings of the run, e.g. ``"audit"``.
        """
        others = torch.ones(len(self), dtype=torch.bool)
        others[rows] = False
        watched = others.nonzero().squeeze(1) if others.any() else rows
        generator = torch.Generator().manual_seed(0)
        watched = watched[torch.randperm(len(watched), generator=generator)[:WATCHED]].sort().values
        digest = hashlib.sha256(rows.numpy().tobytes() + watched.numpy().tobytes()).hexdigest()
        faces = FaceData(
            self.name, take(self.pictures, rows), take(self.pictures, watched), None, self.classes,
            f"{self.fingerprint}/{purpose}={digest[:16]}", "", "",
        )  # fmt: skip
        settings = {"kind": purpose, "rate": None}
        matrix = torch.eye(self.num_classes, dtype=torch.float64)
        return faces, NoisyLabels(self.given[rows], self.pictures.labels[rows], matrix, settings)

    def part(self, rows: Tensor, given: Tensor) -> AuditSet:
        """Some rows alone, all of them to train on, with other labels to check.

        Args:
            rows: int64 ``[n]``.
            given: int64 ``[n]``, the labels to check.
        """
        digest = hashlib.sha256(rows.numpy().tobytes()).hexdigest()[:16]
        persons = self.persons and tuple(self.persons[row] for row in rows.tolist())
        return replace(
            self, fingerprint=f"{self.fingerprint}/rows={digest}", given=given, persons=persons,
            pictures=take(self.pictures, rows), trained=torch.arange(len(rows)),
            splits=tuple(self.splits[row] for row in rows.tolist()),
        )  # fmt: skip


def _joined(images: Sequence[Images]) -> Images:
    first = images[0]
    if isinstance(first, ImageFile):  # the splits of a set are in one file
        rows = [part.rows for part in images if isinstance(part, ImageFile)]
        return ImageFile(first.path).take(torch.cat(rows))
    return torch.cat([part.cpu() for part in images if isinstance(part, Tensor)])


def is_prepared(source: Path) -> bool:
    """Whether a folder is a prepared set."""
    return (source / DESCRIPTION).is_file()


def load_set(folder: str | Path, person: str | None = None, name: str | None = None) -> AuditSet:
    """The rows of a prepared set.

    Args:
        folder: the prepared folder.
        person: a regular expression with one group that finds the person in a file name; None takes
            the one that the set was split by, if there is one.
        name: short name; None takes that of the folder.

    Raises:
        InputError: the set is broken, has one class, a class with too few training pictures, or a
            row without a file name; or the expression finds no person.
    """
    folder = Path(folder)
    pictures, splits = load_all(folder)
    description = read_description(folder / DESCRIPTION)
    split = description["notes"].get("split")
    drawn = isinstance(split, dict)
    person = person or (split.get("person") if drawn else None)
    rows = (
        range(len(splits)) if drawn else [row for row, own in enumerate(splits) if own == "train"]
    )
    trained = torch.tensor(list(rows))
    found = AuditSet(
        name or folder.resolve().name, fingerprint_of(description), description["classes"], pictures,
        pictures.labels, splits, trained, _persons(pictures.files, person),
    )  # fmt: skip
    check_set(found, folder)
    return found


def check_set(found: AuditSet, folder: str | Path) -> None:
    """Refuse a set that cannot be audited, with one sentence."""
    if found.num_classes < 2:
        raise InputError(f"{folder} has only the class {found.classes[0]}, expected at least two")
    for row, file in enumerate(found.pictures.files):
        if not file.strip():
            raise InputError(f"{folder}: row {row} names no file, expected a name in every row")
    counts = found.given[found.trained].bincount(minlength=found.num_classes).tolist()
    for name, count in zip(found.classes, counts, strict=True):
        if count < LEAST:
            raise InputError(
                f"{folder}: the class {shortened(name)} has {count} training pictures, expected at "
                f"least {LEAST}"
            )


def _persons(files: tuple[str, ...], pattern: str | None) -> tuple[str, ...] | None:
    if pattern is None:
        return None
    # Needs scikit-learn, as the folds do; a set without persons loads without it.
    from eacbook.data.prepare.own_faces import Picture, find_persons

    return tuple(find_persons([Picture(None, "", file) for file in files], pattern) or ())


def prepare_folders(
    source: Path, out: Path, *, person: str | None, skip_broken: bool, seed: int
) -> None:
    """Prepare class folders, or find that the same folders are prepared already.

    Args:
        source: a folder or archive of class folders of any names, with or without split folders.
        out: the prepared folder to make.
        person, skip_broken, seed: as for :func:`eacbook.data.prepare.own_faces.prepare`.

    Raises:
        InputError: the folders are not of this kind, a picture is broken, a class is too small, or
            ``out`` holds another set.
    """
    made = {"pictures": _digest(source), "person": person, "skip_broken": skip_broken, "seed": seed}
    if out.exists():
        stored = read_description(out / DESCRIPTION)["notes"].get("audited")
        _check_made(out, source, stored if isinstance(stored, dict) else {}, made)
        return
    from eacbook.data.prepare.own_faces import prepare

    print(f"Preparing the pictures of {source} ...", flush=True)
    prepare(
        source, out, person=person, skip_broken=skip_broken, seed=seed,
        any_classes=True, at_least=LEAST, facts={"audited": made},
    )  # fmt: skip


def _check_made(out: Path, source: Path, stored: dict, now: dict) -> None:
    for name, value in now.items():
        if stored.get(name) == value:
            continue
        if name == "pictures":
            what = f"was made from other pictures than {source} has now"
        else:
            before = shortened(repr(stored.get(name)))
            what = f"was made with {name}={before}, and now it is {value!r}"
        raise InputError(f"{out} {what}: remove it or choose another --out")


def _digest(source: Path) -> str:
    """A digest of the names, sizes and times of all files of the source."""
    digest = hashlib.sha256()
    if source.is_dir():
        for folder, folders, files in os.walk(source, followlinks=False):
            folders.sort()
            for name in sorted(files):
                path = Path(folder, name)
                try:
                    about = path.stat()
                except OSError:
                    continue  # a link that leads nowhere; the preparation names it
                facts = (os.path.relpath(path, source), about.st_size, about.st_mtime_ns)
                digest.update(repr(facts).encode("utf-8", "surrogateescape"))
    elif source.exists():
        about = source.stat()
        digest.update(repr((source.name, about.st_size, about.st_mtime_ns)).encode())
    return digest.hexdigest()[:16]
