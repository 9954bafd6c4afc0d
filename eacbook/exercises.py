"""Checks for the book's exercises: each says what is wrong and why, and never raises."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from eacbook.attention import flip_consistency
from eacbook.noise import NoisyLabels, symmetric_matrix

NOT_YET = "Not yet: put your code in place of the three dots and run the cell again."


def _verdict(check: Callable[..., str | None]) -> Callable[..., None]:
    """Print what a check found wrong, or that the answer is right."""

    def say(answer, *facts) -> None:
        try:
            wrong = NOT_YET if answer is ... else check(answer, *facts)
        except Exception as error:  # the reader's own code may fail in any way
            wrong = f"your code stopped with {type(error).__name__}: {error}"
        if wrong is not NOT_YET:
            wrong = f"Not quite: {wrong}" if wrong else "Right!"
        print(wrong)

    say.__name__, say.__doc__ = check.__name__, check.__doc__
    return say


@_verdict
def check_symmetric_matrix(answer: Callable[[float, int], Tensor]) -> str | None:
    """Is this function (rate, K) -> [K,K] the transition matrix of symmetric noise?"""
    matrix = answer(0.3, 7)
    if matrix is None:
        return NOT_YET
    matrix = torch.as_tensor(matrix, dtype=torch.float64)
    if matrix.shape != (7, 7):
        return f"expected a table of 7 x 7 numbers, got {' x '.join(map(str, matrix.shape))}."
    sums = matrix.sum(1)
    if not torch.allclose(sums, torch.ones(7, dtype=torch.float64)):
        return (
            f"row 0 sums to {sums[0]:.3f}. A face gets some label, so every row must sum to 1: how "
            "is the rate shared among the *other* classes?"
        )
    if not torch.allclose(matrix.diagonal(), torch.full((7,), 0.7, dtype=torch.float64)):
        return (
            f"a label should stay right with probability 0.7, yours with {matrix[0, 0]:.3f}. Was a "
            "face allowed to be flipped to its own class?"
        )
    if not torch.allclose(matrix, symmetric_matrix(0.3, 7)):
        return "symmetric means that all the wrong classes are equally likely."
    other = torch.as_tensor(answer(0.5, 3), dtype=torch.float64)
    if other.shape != (3, 3) or not torch.allclose(other, symmetric_matrix(0.5, 3)):
        return "it is right for 7 classes, but not for 3 at a rate of 0.5."
    return None


@_verdict
def check_right_share(answer: float, noisy: NoisyLabels, label: int) -> str | None:
    """Is this the share of right labels among the faces that were given ``label``?"""
    given = noisy.given == label
    share = (noisy.true[given] == label).double().mean().item()
    row = noisy.drawn[label, label].item()
    answer = float(answer)
    if abs(answer - share) < 1e-4:
        return None
    if abs(answer - row) < 1e-4:
        return (
            "that is a row of the matrix: the share of the class's faces that kept their label. The "
            "question goes the other way: among the faces that *were given* this label (a column "
            "of the counts), how many really are of this class?"
        )
    if abs(answer - 100 * share) < 1e-2:
        return "the number is right; give it as a share between 0 and 1."
    return f"{answer:.4f} is not it. Take the column of noisy.counts that belongs to this label."


@_verdict
def check_flip_consistency(answer: Callable[[Tensor, Tensor], Tensor]) -> str | None:
    """Is this function (maps, maps_of_mirror) -> scalar EAC's consistency term?"""
    generator = torch.Generator().manual_seed(0)
    maps, other = torch.randn((2, 2, 3, 4, 5), generator=generator)
    result = answer(maps, other)
    if result is None:
        return NOT_YET
    result = torch.as_tensor(result, dtype=maps.dtype)
    if result.ndim:
        return f"expected one number, got a tensor of shape {list(result.shape)}: take the mean."
    right = flip_consistency(maps, other)
    if torch.isclose(result, right):
        return None
    hints = {
        "the maps of the mirror image were not flipped back before comparing them.": (
            (maps - other) ** 2
        ).mean(),
        "the maps were flipped upside down; a mirror exchanges left and right, the last axis.": (
            (maps - other.flip(-2)) ** 2
        ).mean(),
        "that is the sum; EAC takes the mean over images, classes and places.": (
            (maps - other.flip(-1)) ** 2
        ).sum(),
        "the differences must be squared, not taken absolutely.": (
            (maps - other.flip(-1)).abs()
        ).mean(),
    }
    for hint, value in hints.items():
        if torch.isclose(result, value):
            return hint
    return f"got {result.item():.4f} where {right.item():.4f} was expected."


@_verdict
def check_best_epoch(answer: int, history) -> str | None:
    """Is this the epoch (from 1) with the best validation accuracy?"""
    best, tempting = history["validation_accuracy"].idxmax(), history["test_accuracy"].idxmax()
    if answer == best:
        return None
    if answer == tempting:
        return "that epoch is best on the *test* faces. Choosing with them is peeking."
    if answer == best - 1:
        return "epochs count from 1 here; the history's index is the epoch itself."
    return f"in epoch {answer} the validation accuracy is not at its highest."
