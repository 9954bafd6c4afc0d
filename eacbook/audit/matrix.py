"""The estimated noise: which class was taken for which, with counts and intervals.

The counts are those of *confident learning* (Northcutt, Jiang and Chuang, JAIR 2021): a picture counts
for a class if the network gives this class more than the mean that it gives to the pictures labelled
so. If it does so for several classes, the most probable one counts. A picture that reaches no such
mean is not counted.
"""

from __future__ import annotations

import torch
from torch import Tensor

from eacbook.audit.report import TransitionMatrix
from eacbook.audit.self_test import wilson


def confident_counts(probabilities: Tensor, given: Tensor) -> Tensor:
    """Count the pictures for every estimated true class (rows) and given label (columns).

    Args:
        probabilities: ``[N,K]``.
        given: int64 ``[N]``; every class occurs.

    Returns:
        int64 ``[K,K]``.
    """
    classes = probabilities.shape[1]
    means = [probabilities[given == label, label].mean() for label in range(classes)]
    confident = (
        probabilities >= torch.stack(means) - 1e-12
    )  # of equal values the mean can be larger
    counted = confident.any(1)
    likeliest = torch.where(confident, probabilities, -1).argmax(1)
    pairs = likeliest[counted] * classes + given[counted]
    return pairs.bincount(minlength=classes**2).view(classes, classes)


def estimate_matrix(probabilities: Tensor, given: Tensor) -> TransitionMatrix:
    """:func:`confident_counts`, with the Wilson interval of each share within its row."""
    counts = confident_counts(probabilities, given)
    ends = [[wilson(count, sum(row)) for count in row] for row in counts.tolist()]
    return TransitionMatrix(
        tuple(map(tuple, counts.tolist())),
        tuple(tuple(low for low, _ in row) for row in ends),
        tuple(tuple(high for _, high in row) for row in ends),
    )
