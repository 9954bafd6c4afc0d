"""Label noise: make some labels wrong, or read them from a noisy-label file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eacbook.checks import (
    LARGEST,
    boolean,
    choice,
    number_of_classes,
    seed_number,
    tensor_of_numbers,
)
from eacbook.errors import InputError
from eacbook.noise.label_files import cut, match_label_file, read_label_columns
from eacbook.noise.labels import NoisyLabels
from eacbook.noise.matrices import (
    check_matrix,
    check_names,
    check_rate,
    pair_matrix,
    symmetric_matrix,
)

KINDS = ("symmetric", "pair", "matrix", "annotator")


def inject_noise(
    labels: Tensor,
    rate: float | None,
    num_classes: int,
    kind: str = "symmetric",
    seed: int = 0,
    *,
    exact: bool = True,
    classes: Sequence[str] | None = None,
    confusion: Mapping[int | str, int | str] | None = None,
    matrix: Tensor | None = None,
    votes: Tensor | None = None,
) -> NoisyLabels:
    """Make some labels wrong.

    Args:
        labels: int64 ``[N]``, the true classes.
        rate: the share of wrong labels, 0 to 1; None for ``"matrix"`` and ``"annotator"``, because the
            matrix or the votes decide it.
        num_classes: K.
        kind: ``"symmetric"``, ``"pair"``, ``"matrix"`` or ``"annotator"``.
        seed: every (kind, rate, seed) gives different noise. So the wrong labels at one rate are not a
            part of those at a higher rate, as in the files of the papers.
        exact: make exactly round(rate x N) labels wrong (for a matrix: the nearest whole numbers in
            every row). False draws every label independently, as the papers did.
        classes: K names in label order, as ``faces.classes``. ``"pair"`` needs them, or a
            ``confusion``: the likeliest confusion of a class depends on its name, and the number of
            classes does not give the names.
        confusion: for ``"pair"``, see :func:`eacbook.noise.matrices.pair_matrix`.
        matrix: for ``"matrix"``, float ``[K,K]``; each row sums to one.
        votes: for ``"annotator"``, int ``[N,K]``, the votes of annotators. The given label is one vote,
            drawn at random. Faces without a vote for any of the K classes keep their label.

    Raises:
        InputError: an argument is out of range or missing for this kind.
    """
    num_classes = number_of_classes("num_classes", num_classes)
    labels = _check_labels(labels, num_classes)
    check_names(classes, num_classes)
    kind = choice("kind of noise", kind, KINDS)
    rate = None if rate is None else check_rate(rate)
    seed, exact = seed_number("seed", seed), boolean("exact", exact)
    generator = torch.Generator().manual_seed(_stream(kind, rate, seed))
    settings: dict[str, Any] = {"kind": kind, "rate": rate, "seed": seed, "exact": exact}
    if kind in ("symmetric", "pair"):
        if rate is None:
            raise InputError(f"{kind} noise needs a rate between 0 and 1")
        transition = (
            symmetric_matrix(rate, num_classes)
            if kind == "symmetric"
            else pair_matrix(rate, num_classes, confusion, classes)
        )
        count = round(rate * len(labels))
        given = (
            _exact_count(labels, transition, count, generator)
            if exact
            else _independent(labels, transition, generator)
        )
        if confusion is not None:
            settings["matrix"] = transition.tolist()
    elif kind == "matrix":
        _no_rate(rate, kind)
        transition = check_matrix(matrix, num_classes)
        draw = _exact_rows if exact else _independent
        given = draw(labels, transition, generator)
        settings["matrix"] = transition.tolist()
    else:
        _no_rate(rate, kind)
        ballots = _check_votes(votes, labels, num_classes)
        given = torch.multinomial(ballots, 1, generator=generator).squeeze(1)
        # The transition matrix is the mean share of the votes over the faces of each class.
        shares = ballots / ballots.sum(1, keepdim=True)
        transition = torch.eye(num_classes, dtype=torch.float64)
        for label in labels.unique():
            transition[label] = shares[labels == label].mean(0)
    return NoisyLabels(given, labels, transition, settings)


def noise_from_file(
    path: str | Path, files: Sequence[str], labels: Tensor, num_classes: int, first: int = 1
) -> NoisyLabels:
    """The labels of a noisy-label file, matched to a face set by file name.

    Args:
        path: the file, as for :func:`eacbook.noise.label_files.read_label_file`; the label is the
            second column.
        files: N names of the images of the face set. They are compared by
            :func:`eacbook.noise.label_files.match_label_file`.
        labels: int64 ``[N]``, the true classes.
        num_classes: K.
        first: the label of the first class in the file, 1 or 0.

    Returns:
        The labels. If the file has more than two columns, ``settings["columns"]`` is their number.

    Raises:
        InputError: a label has no image, an image has no label, or a label is out of range.
    """
    labels = _check_labels(labels, number_of_classes("num_classes", num_classes))
    table, columns = read_label_columns(path, first)
    in_order = match_label_file(path, table, files)
    for name, label in table.items():
        if label >= num_classes:
            other = first == 0 and label == num_classes
            raise InputError(
                f"{path}: {cut(name)} has label {label + first} of {num_classes} classes that count "
                f"from {first}" + "; do those of this file count from 1?" * other
            )
    given = torch.tensor(in_order, dtype=torch.int64)
    settings: dict[str, Any] = {"kind": "file", "file": Path(path).name}
    if columns > 2:
        settings["columns"] = columns
    noisy = NoisyLabels(given, labels, torch.eye(num_classes, dtype=torch.float64), settings)
    return NoisyLabels(given, labels, noisy.empirical_matrix, settings)


def _independent(labels: Tensor, transition: Tensor, generator: torch.Generator) -> Tensor:
    return torch.multinomial(transition[labels], 1, generator=generator).squeeze(1)


def _exact_count(
    labels: Tensor, transition: Tensor, count: int, generator: torch.Generator
) -> Tensor:
    """Make exactly ``count`` labels wrong, drawn from all; the matrix decides the new classes."""
    given = labels.clone()
    wrong = torch.randperm(len(labels), generator=generator)[:count]
    if count:
        elsewhere = transition.clone().fill_diagonal_(0)
        given[wrong] = _independent(labels[wrong], elsewhere, generator)
    return given


def _exact_rows(labels: Tensor, transition: Tensor, generator: torch.Generator) -> Tensor:
    """Change labels so that the counts of every class are nearest to its row of the matrix.

    The counts are whole numbers; the largest remainders are rounded up first.
    """
    given = labels.clone()
    for label in labels.unique():
        faces = (labels == label).nonzero().squeeze(1)
        shares = transition[label] * len(faces)
        counts = shares.floor().long()
        missing = len(faces) - int(counts.sum())
        counts[(shares - counts).argsort(descending=True, stable=True)[:missing]] += 1
        targets = torch.arange(len(transition)).repeat_interleave(counts)
        given[faces[torch.randperm(len(faces), generator=generator)]] = targets
    return given


def _stream(kind: str, rate: float | None, seed: int) -> int:
    """A different seed of the generator for every (kind, rate, seed)."""
    basis_points = 10_001 if rate is None else round(rate * 10_000)
    number = (seed * len(KINDS) + KINDS.index(kind)) * 10_002 + basis_points
    return number & LARGEST


def _no_rate(rate: float | None, kind: str) -> None:
    if rate is not None:
        raise InputError(f"{kind} noise has no rate of its own: give rate=None, got {rate}")


def _check_labels(labels: Tensor, num_classes: int) -> Tensor:
    labels = tensor_of_numbers("labels", labels)
    whole = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
    if labels.ndim != 1 or not len(labels) or not whole:
        raise InputError(
            f"labels must be whole numbers [N] with N > 0, got {labels.dtype} {list(labels.shape)}"
        )
    labels = labels.long().cpu()
    low, high = labels.min().item(), labels.max().item()
    if low < 0 or high >= num_classes:
        raise InputError(f"labels must lie in 0 to {num_classes - 1}, got {low} to {high}")
    return labels


def _check_votes(votes: Tensor | None, labels: Tensor, num_classes: int) -> Tensor:
    if votes is None:
        raise InputError(
            "annotator noise needs a data set with annotators' votes (such as FERPlus)"
        )
    votes = tensor_of_numbers("votes", votes).double()
    if votes.shape != (len(labels), num_classes):
        raise InputError(
            f"votes must be [N,K] = [{len(labels)},{num_classes}], got {list(votes.shape)}"
        )
    if not torch.isfinite(votes).all() or (votes < 0).any():
        raise InputError("votes must be counts: finite numbers, none below 0")
    own = torch.nn.functional.one_hot(labels, num_classes).double()
    return torch.where(votes.sum(1, keepdim=True) > 0, votes, own)
