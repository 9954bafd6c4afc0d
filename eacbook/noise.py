"""Label noise: transition matrices, corrupted labels, and the noisy-label files that papers share.

A transition matrix T holds T[i, j] = P(given label j | true label i); its rows sum to one. Symmetric
noise of rate r keeps a label with 1 - r and sends it to each of the other K - 1 classes with
r / (K - 1) (van Rooyen et al., NeurIPS 2015); pair noise sends it to one similar class (Han et al.,
Co-teaching, NeurIPS 2018); annotator noise is what single people really answered.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from eacbook.checks import (
    LARGEST,
    boolean,
    choice,
    instance,
    number_of_classes,
    real_number,
    seed_number,
    tensor_of_numbers,
    whole_number,
)
from eacbook.classes import CLASSES
from eacbook.errors import InputError
from eacbook.label_files import (
    cut,
    match_label_file,
    read_label_columns,
    read_label_file,  # noqa: F401 - public here, beside noise_from_file
    some,
    write_label_file,  # noqa: F401
)

KINDS = ("symmetric", "pair", "matrix", "annotator")

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
"""The table behind pair noise: what single annotators of FERPlus take each expression for most often,
as in :data:`SINGLE_VOTES` (contempt by the same count over 8 classes)."""


SINGLE_VOTES = (
    (0.7923, 0.0856, 0.0035, 0.0347, 0.0110, 0.0152, 0.0578),
    (0.1733, 0.6472, 0.0158, 0.0130, 0.0732, 0.0313, 0.0462),
    (0.0232, 0.0176, 0.6320, 0.0199, 0.0811, 0.1359, 0.0903),
    (0.0211, 0.0019, 0.0022, 0.9228, 0.0050, 0.0042, 0.0428),
    (0.0105, 0.0177, 0.0132, 0.0146, 0.7533, 0.0237, 0.1669),
    (0.0612, 0.0247, 0.0357, 0.0278, 0.0335, 0.7411, 0.0761),
    (0.0181, 0.0051, 0.0086, 0.0313, 0.1072, 0.0280, 0.8016),
)
"""How single people answered on FERPlus: for each majority label of the seven expressions (a row) the
mean share of every answer, on the 24,925 training faces that ``data_scripts/ferplus.py`` keeps by
default. Measured as ``inject_noise(train.labels, None, 7, "annotator", votes=train.votes).asked``. The
rows and columns are in the label order of :data:`eacbook.classes.CLASSES`; :func:`single_votes` has them
in the order of a set."""


@dataclass(frozen=True)
class NoisyLabels:
    """Labels as they are given to the network, beside the truth.

    Attributes:
        given: int64 ``[N]``, what the network is trained on.
        true: int64 ``[N]``.
        asked: float64 ``[K,K]``, the transition matrix asked for.
        settings: what made them (kind, rate, seed, ...), as plain values.
    """

    given: Tensor
    true: Tensor
    asked: Tensor
    settings: dict

    @property
    def flipped(self) -> Tensor:
        """bool ``[N]``: which labels are wrong."""
        return self.given != self.true

    @property
    def rate(self) -> float:
        """Share of wrong labels that was really drawn."""
        return self.flipped.double().mean().item()

    def take(self, index: Tensor) -> NoisyLabels:
        """The labels at ``index`` (int64 ``[n]``), in that order."""
        return replace(self, given=self.given[index], true=self.true[index])

    @property
    def counts(self) -> Tensor:
        """int64 ``[K,K]``: how many faces of true class i were given label j."""
        num_classes = len(self.asked)
        pairs = self.true * num_classes + self.given
        return pairs.bincount(minlength=num_classes**2).view(num_classes, num_classes)

    @property
    def drawn(self) -> Tensor:
        """float64 ``[K,K]``: the transition matrix that was really drawn; a class without a face
        keeps the row asked for."""
        counts = self.counts.double()
        totals = counts.sum(1, keepdim=True)
        return torch.where(totals > 0, counts / totals.clamp(min=1), self.asked)


def symmetric_matrix(rate: float, num_classes: int) -> Tensor:
    """``[K,K]``: 1 - rate on the diagonal, rate / (K - 1) elsewhere."""
    rate, num_classes = _rate(rate), number_of_classes("num_classes", num_classes)
    matrix = torch.full((num_classes, num_classes), rate / (num_classes - 1), dtype=torch.float64)
    return matrix.fill_diagonal_(1 - rate)


def pair_matrix(
    rate: float,
    num_classes: int,
    confusion: Mapping[int | str, int | str] | None = None,
    classes: Sequence[str] | None = None,
) -> Tensor:
    """``[K,K]``: 1 - rate on the diagonal, rate at each class's likeliest confusion.

    Args:
        rate: 0 to 1.
        num_classes: K.
        confusion: class to class, every class once as a key, by label or, where ``classes`` are given,
            by name; by default :func:`likeliest_confusion` of ``classes``.
        classes: K names in label order, as ``faces.classes``.

    Raises:
        InputError: neither ``confusion`` nor ``classes`` is given, or they do not fit.
    """
    rate, num_classes = _rate(rate), number_of_classes("num_classes", num_classes)
    _check_names(classes, num_classes)
    if confusion is None:
        if classes is None:
            raise InputError(
                "pair noise goes by the names of the classes: give them as classes=faces.classes, or "
                "give a table of your own as confusion={0: 1, ...}"
            )
        confusion = likeliest_confusion(classes)
    else:
        instance("confusion", confusion, Mapping, "{0: 1, 1: 0}")
        places = {} if classes is None else _places(classes)
        confusion = {_place(a, places): _place(b, places) for a, b in confusion.items()}
    everyone = set(range(num_classes))
    if set(confusion) != everyone or not set(confusion.values()) <= everyone:
        raise InputError(f"confusion must name a class for each of 0 to {num_classes - 1}")
    if any(source == target for source, target in confusion.items()):
        raise InputError("confusion sends a class to itself, which is no noise")
    matrix = torch.eye(num_classes, dtype=torch.float64) * (1 - rate)
    for source, target in confusion.items():
        matrix[source, target] = rate
    return matrix


def likeliest_confusion(classes: Sequence[str]) -> dict[int, int]:
    """:data:`LIKELIEST_CONFUSION` by name, as labels of a set.

    Args:
        classes: K names in label order; upper and lower case are the same.

    Raises:
        InputError: a class is no expression that the table has, or the set lacks the class that it is
            taken for.
    """
    places = _places(classes)
    own = "give a table of your own to inject_noise or pair_matrix, confusion={'%s': '...', ...}"
    confusion = {}
    for name, place in places.items():
        target = LIKELIEST_CONFUSION.get(name)
        shown = cut(classes[place])
        if target is None:
            raise InputError(
                f"pair noise does not know what the class {shown!r} is taken for, only "
                f"{', '.join(LIKELIEST_CONFUSION)}: {own % shown}"
            )
        if target not in places:
            raise InputError(
                f"pair noise takes {shown} for {target}, and the set has no class {target}: "
                f"{own % shown}"
            )
        confusion[place] = places[target]
    return confusion


def single_votes(classes: Sequence[str]) -> Tensor:
    """:data:`SINGLE_VOTES` in the order of a set: float32 ``[7,7]``.

    Args:
        classes: the seven expressions, in any order.

    Raises:
        InputError: the set has other classes, of which these answers say nothing.
    """
    places, known = _places(classes), CLASSES[: len(SINGLE_VOTES)]
    if set(places) != set(known):
        raise InputError(
            f"the answers of single people are known for {', '.join(known)}; the set has "
            f"{some(classes, len(CLASSES))}"
        )
    order = [known.index(name) for name in places]
    return torch.tensor(SINGLE_VOTES)[order][:, order]


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
        rate: share of wrong labels, 0 to 1; None for ``"matrix"`` and ``"annotator"``, where the
            matrix or the people decide.
        num_classes: K.
        kind: ``"symmetric"``, ``"pair"``, ``"matrix"`` or ``"annotator"``.
        seed: every (kind, rate, seed) draws its own noise, so that the sets of wrong labels of two
            rates are not nested, as in the papers' files.
        exact: draw exactly round(rate x N) wrong labels (for a matrix: the nearest whole numbers in
            every row); False draws every label independently, as the papers did.
        classes: K names in label order, as ``faces.classes``. ``"pair"`` needs them, or a
            ``confusion``: what a class is most easily taken for goes by its name, and a number of
            classes does not say which ones they are.
        confusion: for ``"pair"``, see :func:`pair_matrix`.
        matrix: for ``"matrix"``, float ``[K,K]`` with rows that sum to one.
        votes: for ``"annotator"``, int ``[N,K]`` annotators' votes; the given label is one vote,
            drawn. Faces without a vote for any of the K classes keep their label.

    Raises:
        InputError: an argument is out of range or missing for this kind.
    """
    num_classes = number_of_classes("num_classes", num_classes)
    labels = _check_labels(labels, num_classes)
    _check_names(classes, num_classes)
    kind = choice("kind of noise", kind, KINDS)
    rate = None if rate is None else _rate(rate)
    seed, exact = seed_number("seed", seed), boolean("exact", exact)
    generator = torch.Generator().manual_seed(_stream(kind, rate, seed))
    settings = {"kind": kind, "rate": rate, "seed": seed, "exact": exact}
    if kind in ("symmetric", "pair"):
        if rate is None:
            raise InputError(f"{kind} noise needs a rate between 0 and 1")
        asked = (
            symmetric_matrix(rate, num_classes)
            if kind == "symmetric"
            else pair_matrix(rate, num_classes, confusion, classes)
        )
        count = round(rate * len(labels))
        given = (
            _exact_count(labels, asked, count, generator)
            if exact
            else _independent(labels, asked, generator)
        )
        if confusion is not None:
            settings["matrix"] = asked.tolist()
    elif kind == "matrix":
        _no_rate(rate, kind)
        asked = _check_matrix(matrix, num_classes)
        draw = _exact_rows if exact else _independent
        given = draw(labels, asked, generator)
        settings["matrix"] = asked.tolist()
    else:
        _no_rate(rate, kind)
        ballots = _check_votes(votes, labels, num_classes)
        given = torch.multinomial(ballots, 1, generator=generator).squeeze(1)
        # The matrix asked for is what the votes say on average over the faces of each class.
        shares = ballots / ballots.sum(1, keepdim=True)
        asked = torch.eye(num_classes, dtype=torch.float64)
        for label in labels.unique():
            asked[label] = shares[labels == label].mean(0)
    return NoisyLabels(given, labels, asked, settings)


def noise_from_file(
    path: str | Path, files: Sequence[str], labels: Tensor, num_classes: int, first: int = 1
) -> NoisyLabels:
    """The labels of a noisy-label file, matched to a face set by file name.

    Args:
        path: read by :func:`eacbook.label_files.read_label_file`: the label is the second column.
        files: N names of the face set's images; compared as
            :func:`eacbook.label_files.match_label_file` says.
        labels: int64 ``[N]``, the true classes.
        num_classes: K.
        first: the label of the first class in the file, 1 or 0.

    Returns:
        The labels; ``settings["columns"]`` says how many columns the file has, where there are more
        than two.

    Raises:
        InputError: a label without an image, an image without a label, or a label out of range.
    """
    labels = _check_labels(labels, number_of_classes("num_classes", num_classes))
    table, columns = read_label_columns(path, first)
    given = match_label_file(path, table, files)
    for name, label in table.items():
        if label >= num_classes:
            other = first == 0 and label == num_classes
            raise InputError(
                f"{path}: {cut(name)} has label {label + first} of {num_classes} classes that count "
                f"from {first}" + "; do those of this file count from 1?" * other
            )
    given = torch.tensor(given, dtype=torch.int64)
    settings = {"kind": "file", "file": Path(path).name}
    if columns > 2:
        settings["columns"] = columns
    noisy = NoisyLabels(given, labels, torch.eye(num_classes, dtype=torch.float64), settings)
    return NoisyLabels(given, labels, noisy.drawn, settings)


def _independent(labels: Tensor, asked: Tensor, generator: torch.Generator) -> Tensor:
    return torch.multinomial(asked[labels], 1, generator=generator).squeeze(1)


def _exact_count(labels: Tensor, asked: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Exactly ``count`` wrong labels, drawn among all; where they go follows the matrix."""
    given = labels.clone()
    wrong = torch.randperm(len(labels), generator=generator)[:count]
    if count:
        elsewhere = asked.clone().fill_diagonal_(0)
        given[wrong] = _independent(labels[wrong], elsewhere, generator)
    return given


def _exact_rows(labels: Tensor, asked: Tensor, generator: torch.Generator) -> Tensor:
    """For every class, the whole numbers nearest to its row (largest remainders first)."""
    given = labels.clone()
    for label in labels.unique():
        faces = (labels == label).nonzero().squeeze(1)
        shares = asked[label] * len(faces)
        counts = shares.floor().long()
        missing = len(faces) - int(counts.sum())
        counts[(shares - counts).argsort(descending=True, stable=True)[:missing]] += 1
        targets = torch.arange(len(asked)).repeat_interleave(counts)
        given[faces[torch.randperm(len(faces), generator=generator)]] = targets
    return given


def _stream(kind: str, rate: float | None, seed: int) -> int:
    """A generator seed of its own for every (kind, rate, seed)."""
    basis_points = 10_001 if rate is None else round(rate * 10_000)
    number = (seed * len(KINDS) + KINDS.index(kind)) * 10_002 + basis_points
    return number & LARGEST


def _rate(rate: float) -> float:
    return real_number("rate", rate, at_least=0, at_most=1)


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


def _check_names(classes: Sequence[str] | None, num_classes: int) -> None:
    if classes is not None and len(classes) != num_classes:
        raise InputError(f"{len(classes)} names of classes for {num_classes} classes")


def _plain(name: str) -> str:
    """A name as it is compared: one spelling of accents, no difference of case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).strip().casefold())


def _places(classes: Sequence[str]) -> dict[str, int]:
    """The label of each class by its name as it is compared."""
    places: dict[str, int] = {}
    for place, name in enumerate(classes):
        if places.setdefault(_plain(name), place) != place:
            raise InputError(
                f"two classes are named {cut(name)!r}: a name must tell which one it is"
            )
    return places


def _place(named: int | str, places: Mapping[str, int]) -> int:
    """The label of a class that is named in a confusion, by its name or by its label."""
    if not (isinstance(named, str) and places):
        return whole_number("a class in confusion", named)
    if _plain(named) not in places:
        raise InputError(
            f"confusion names the class {cut(named)!r}, and the set has "
            f"{some(list(places), len(CLASSES))}"
        )
    return places[_plain(named)]


def _check_matrix(matrix: Tensor | None, num_classes: int) -> Tensor:
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
