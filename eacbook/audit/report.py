"""What an audit found, as plain values: the page is made of it, and ``audit.csv``.

Classes are indices into ``AuditReport.classes``, and rows are positions in the set's images. The
module needs no PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

LOOKED_AT = (0.05, 0.10, 0.20)
"""Shares of the ranking at which the self-test counts."""

How = Literal["equal pixels", "thumbnails", "features"]


@dataclass(frozen=True)
class Found:
    """How many of ``planted`` wrong labels are in the first part of a ranking.

    Attributes:
        count: the number found.
        low, high: a 95 % interval of the share that is found of as many other wrong labels like these,
            from 0 to 1.
    """

    count: int
    low: float
    high: float


@dataclass(frozen=True)
class Suspect:
    """One picture of the set. The audit has one for every row, also for those without doubt.

    Attributes:
        row: position in the images of the set.
        file: its name in the source.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        given: the given label.
        suggested: the most probable class. It is the given label where the network agrees.
        second: the second most probable class.
        p_suggested, p_second: their probabilities, 0 to 1.
        score: 0 to 1, larger is more doubtful. It decides the rank.
        rank: 1 is the most doubtful. All splits share one ranking.
        doubt: 1 minus the probability of the given label.
        mean_loss: mean cross-entropy over the epochs, in nats; None for a row without training.
        neighbours_other: share of the nearest neighbours (by features) with another given label.
        neighbours: rows of the (three) nearest neighbours, the nearest first.
    """

    row: int
    file: str
    split: str
    given: int
    suggested: int
    second: int
    p_suggested: float
    p_second: float
    score: float
    rank: int
    doubt: float
    mean_loss: float | None
    neighbours_other: float
    neighbours: tuple[int, ...]

    @property
    def other(self) -> int:
        """The most probable class that is not the given label."""
        return self.second if self.suggested == self.given else self.suggested


@dataclass(frozen=True)
class SelfTest:
    """Labels that were made wrong on purpose, and how many of them the ranking finds.

    Attributes:
        planted: number of labels made wrong.
        found: for each share of the ranking (:data:`LOOKED_AT`), how many are found there.
        planted_by_class, found_by_class: the same for each class that the planted label *hides*
            (the label before it was changed). Classes without a planted label are left out.
    """

    planted: int
    found: Mapping[float, Found]
    planted_by_class: Mapping[int, int]
    found_by_class: Mapping[int, Mapping[float, Found]]


@dataclass(frozen=True)
class DuplicatePair:
    """Two pictures that are equal or nearly so, and should not be as they are.

    Attributes:
        one, other: their rows.
        distance: 0 for equal pixels; else 1 minus the correlation of their grey thumbnails. For a
            pair that was found by features, one thumbnail may be mirrored.
        how: how the pair was found.
        kind: what is wrong with the pair.
    """

    one: int
    other: int
    distance: float
    how: How
    kind: Literal["labels differ", "across splits", "labels differ, across splits"]


@dataclass(frozen=True)
class TransitionMatrix:
    """The estimated noise of the training labels, each ``[K][K]``.

    A row is the class that the audit takes for true, a column the given label.

    Attributes:
        counts: number of pictures.
        low, high: 95 % interval of the share within the row, 0 to 1.
    """

    counts: tuple[tuple[int, ...], ...]
    low: tuple[tuple[float, ...], ...]
    high: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class AuditReport:
    """All that an audit found.

    Attributes:
        name: short name of the set.
        fingerprint: text that changes with every image and label. It ties decisions to this set.
        classes: K names in label order.
        suspects: every row of the set, by rank.
        self_test: what the ranking finds of known wrong labels.
        duplicates: pairs, the nearest first.
        matrix: the estimated noise.
        settings: how the audit was made: network, weights, epochs, folds, seed, score. Values are
            texts or numbers, and the page lists them under their names. No measured time is among
            them, because the same seed must give the same bytes.
        version: version of eacbook.
    """

    name: str
    fingerprint: str
    classes: tuple[str, ...]
    suspects: tuple[Suspect, ...]
    self_test: SelfTest
    duplicates: tuple[DuplicatePair, ...]
    matrix: TransitionMatrix
    settings: Mapping[str, Any]
    version: str
