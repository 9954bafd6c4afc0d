"""Transition matrices T, with T[i, j] = P(given label j | true label i); each row sums to one.

Symmetric noise of rate r keeps a label with probability 1 - r. It changes the label to each of the other
K - 1 classes with probability r / (K - 1) (van Rooyen et al., NeurIPS 2015). Pair noise changes it to
one similar class only (Han et al., Co-teaching, NeurIPS 2018).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from eacbook.checks import instance, number_of_classes, real_number, tensor_of_numbers, whole_number
from eacbook.classes import CLASSES
from eacbook.errors import InputError
from eacbook.noise.label_files import cut, some

LIKELIEST_CONFUSION = {
    "surprise": "fear",
    "fear": "surprise",
    "disgust": "anger",
    "happiness": "neutral",
    "sadness": "neutral",
    "anger": "neutral",
    "neutral": "sadness",
    "contempt": "neutral",
}
"""The table of pair noise: the wrong answer that single annotators of FERPlus give most often for each
expression, as in :data:`SINGLE_VOTES` (for contempt: the same count over 8 classes)."""

SINGLE_VOTES = (
    (0.7923, 0.0856, 0.0035, 0.0347, 0.0110, 0.0152, 0.0578),
    (0.1733, 0.6472, 0.0158, 0.0130, 0.0732, 0.0313, 0.0462),
    (0.0232, 0.0176, 0.6320, 0.0199, 0.0811, 0.1359, 0.0903),
    (0.0211, 0.0019, 0.0022, 0.9228, 0.0050, 0.0042, 0.0428),
    (0.0105, 0.0177, 0.0132, 0.0146, 0.7533, 0.0237, 0.1669),
    (0.0612, 0.0247, 0.0357, 0.0278, 0.0335, 0.7411, 0.0761),
    (0.0181, 0.0051, 0.0086, 0.0313, 0.1072, 0.0280, 0.8016),
)
"""The answers of single people on FERPlus. A row is a majority label of the seven expressions; it holds
the mean share of every answer. They were measured on the 24,925 training faces that
``data_scripts/ferplus.py`` keeps by default: this is the ``transition_matrix`` of
``inject_noise(train.labels, None, 7, "annotator", votes=train.votes)``. Rows and columns are in the
label order of :data:`eacbook.classes.CLASSES`; :func:`single_votes` gives them in that of a data set."""


def symmetric_matrix(rate: float, num_classes: int) -> Tensor:
    """``[K,K]``: 1 - rate on the diagonal, rate / (K - 1) elsewhere."""
    rate, num_classes = check_rate(rate), number_of_classes("num_classes", num_classes)
    matrix = torch.full((num_classes, num_classes), rate / (num_classes - 1), dtype=torch.float64)
    return matrix.fill_diagonal_(1 - rate)


def pair_matrix(
    rate: float,
    num_classes: int,
    confusion: Mapping[int | str, int | str] | None = None,
    classes: Sequence[str] | None = None,
) -> Tensor:
    """``[K,K]``: 1 - rate on the diagonal, rate at the likeliest confusion of each class.

    Args:
        rate: 0 to 1.
        num_classes: K.
        confusion: class to class. Every class must be a key once, as a label, or as a name if
            ``classes`` are given. The default is :func:`likeliest_confusion` of ``classes``.
        classes: K names in label order, as ``faces.classes``.

    Raises:
        InputError: neither ``confusion`` nor ``classes`` is given, or they do not fit.
    """
    rate, num_classes = check_rate(rate), number_of_classes("num_classes", num_classes)
    check_names(classes, num_classes)
    if confusion is None:
        if classes is None:
            raise InputError(
                "pair noise needs the names of the classes: give them as classes=faces.classes, or "
                "give your own table as confusion={0: 1, ...}"
            )
        targets = likeliest_confusion(classes)
    else:
        instance("confusion", confusion, Mapping, "{0: 1, 1: 0}")
        places = {} if classes is None else _places(classes)
        targets = {_place(a, places): _place(b, places) for a, b in confusion.items()}
    everyone = set(range(num_classes))
    if set(targets) != everyone or not set(targets.values()) <= everyone:
        raise InputError(f"confusion must name a class for each of 0 to {num_classes - 1}")
    if any(source == target for source, target in targets.items()):
        raise InputError("confusion maps a class to itself; this is not noise")
    matrix = torch.eye(num_classes, dtype=torch.float64) * (1 - rate)
    for source, target in targets.items():
        matrix[source, target] = rate
    return matrix


def likeliest_confusion(classes: Sequence[str]) -> dict[int, int]:
    """:data:`LIKELIEST_CONFUSION` as labels of a data set, looked up by the names of its classes.

    Args:
        classes: K names in label order; upper and lower case are the same.

    Raises:
        InputError: a class is not in the table, or the data set does not have the class that it is
            confused with.
    """
    places = _places(classes)
    own = "give your own table to inject_noise or pair_matrix, confusion={'%s': '...', ...}"
    confusion = {}
    for name, place in places.items():
        target = LIKELIEST_CONFUSION.get(name)
        shown = cut(classes[place])
        if target is None:
            raise InputError(
                f"pair noise has no confusion for the class {shown!r}, only for "
                f"{', '.join(LIKELIEST_CONFUSION)}: {own % shown}"
            )
        if target not in places:
            raise InputError(
                f"pair noise confuses {shown} with {target}, but the set has no class {target}: "
                f"{own % shown}"
            )
        confusion[place] = places[target]
    return confusion


def single_votes(classes: Sequence[str]) -> Tensor:
    """:data:`SINGLE_VOTES` in the label order of a data set: float32 ``[7,7]``.

    Args:
        classes: the seven expressions, in any order.

    Raises:
        InputError: the data set has other classes; the answers are not known for them.
    """
    places, known = _places(classes), CLASSES[: len(SINGLE_VOTES)]
    if set(places) != set(known):
        raise InputError(
            f"the answers of single people are known for {', '.join(known)}; the set has "
            f"{some(classes, len(CLASSES))}"
        )
    order = [known.index(name) for name in places]
    return torch.tensor(SINGLE_VOTES)[order][:, order]


def check_rate(rate: float) -> float:
    return real_number("rate", rate, at_least=0, at_most=1)


def check_names(classes: Sequence[str] | None, num_classes: int) -> None:
    if classes is not None and len(classes) != num_classes:
        raise InputError(f"{len(classes)} names of classes for {num_classes} classes")


def _plain(name: str) -> str:
    """The form of a name for comparison: one spelling of accents, no difference of case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).strip().casefold())


def _places(classes: Sequence[str]) -> dict[str, int]:
    """The label of each class, by the form of its name for comparison."""
    places: dict[str, int] = {}
    for place, name in enumerate(classes):
        if places.setdefault(_plain(name), place) != place:
            raise InputError(f"two classes are named {cut(name)!r}: the names must be different")
    return places


def _place(named: int | str, places: Mapping[str, int]) -> int:
    """The label of a class in a confusion, which is given by its name or by its label."""
    if not (isinstance(named, str) and places):
        return whole_number("a class in confusion", named)
    if _plain(named) not in places:
        raise InputError(
            f"confusion names the class {cut(named)!r}, and the set has "
            f"{some(list(places), len(CLASSES))}"
        )
    return places[_plain(named)]


def check_matrix(matrix: Tensor | None, num_classes: int) -> Tensor:
    if matrix is None:
        raise InputError("noise of kind 'matrix' needs matrix=, a [K,K] table")
    matrix = tensor_of_numbers("matrix", matrix).double()
    if matrix.shape != (num_classes, num_classes):
        raise InputError(
            f"matrix must be {num_classes} x {num_classes}, got {' x '.join(map(str, matrix.shape))}"
        )
    if not torch.isfinite(matrix).all() or (matrix < 0).any():
        raise InputError("matrix must hold probabilities: finite numbers, none below 0")
    sums = matrix.sum(1)
    worst = int((sums - 1).abs().argmax())
    if abs(sums[worst].item() - 1) > 1e-3:
        raise InputError(f"row {worst} of the matrix sums to {sums[worst]:.6g}, expected 1")
    return matrix / sums[:, None]
