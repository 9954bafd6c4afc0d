"""Checks for the book's exercises: each says what is wrong and why, and never raises."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from eacbook.attention import flip_consistency, region_share
from eacbook.evaluate import precision_and_recall
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


@_verdict
def check_class_activation_maps(answer: Callable[[Tensor, Tensor], Tensor]) -> str | None:
    """Is this function (features [B,C,h,w], weights [K,C]) -> [B,K,h,w] the class activation map?"""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn((2, 5, 3, 4), generator=generator)
    weights = torch.randn((7, 5), generator=generator)
    maps = answer(features, weights)
    if maps is None:
        return NOT_YET
    maps = torch.as_tensor(maps)
    if maps.shape != (2, 7, 3, 4):
        return (
            f"expected a map of 3 x 4 for each of 2 faces and 7 classes, [2, 7, 3, 4], got "
            f"{list(maps.shape)}. Which axis is summed over? The one that both have: the channels."
        )
    right = torch.einsum("kc,bchw->bkhw", weights, features)
    if torch.allclose(maps, right, atol=1e-5):
        return None
    if torch.allclose(maps, right / 5, atol=1e-5):
        return "that is the mean over the channels; the classifier sums over them."
    if torch.allclose(maps, right.clamp(min=0), atol=1e-5):
        return "leave the negative part in: without it the mean of the map is not the logit."
    return "the shape is right, the numbers are not: every channel counts with its weight W[k, c]."


@_verdict
def check_region_share(answer: Callable[[Tensor, Tensor], Tensor]) -> str | None:
    """Is this function (attention [h,w], inside [h,w] in 0-1) -> the share of attention inside?"""
    generator = torch.Generator().manual_seed(0)
    attention = torch.rand((6, 6), generator=generator)
    inside = (torch.rand((6, 6), generator=generator) < 0.3).float()
    result = answer(attention, inside)
    if result is None:
        return NOT_YET
    result = torch.as_tensor(result)
    if result.ndim:
        return (
            f"expected one number, got a tensor of shape {list(result.shape)}: sum over the places."
        )
    right = region_share(attention, inside.bool())
    if torch.isclose(result, right):
        return None
    if torch.isclose(result, (attention * inside).sum()):
        return "that is the sum inside; divide it by the sum over all places."
    if torch.isclose(result, (attention * inside).sum() / inside.sum()):
        return (
            "that is the mean attention inside; the question is which part of all of it lies there."
        )
    return f"got {result.item():.4f} where {right.item():.4f} was expected."


@_verdict
def check_precision_and_recall(answer: Callable[[Tensor, Tensor], tuple]) -> str | None:
    """Is this function (suspected [N], flipped [N]) -> (precision, recall)?"""
    suspected = torch.tensor([1, 1, 1, 1, 0, 0, 0, 0, 0, 0]).bool()
    flipped = torch.tensor([1, 1, 1, 0, 1, 1, 0, 0, 0, 0]).bool()
    result = answer(suspected, flipped)
    if result is None:
        return NOT_YET
    precision, recall = (float(value) for value in result)
    right = precision_and_recall(suspected, flipped)
    if abs(precision - right[0]) + abs(recall - right[1]) < 1e-6:
        return None
    if abs(precision - right[1]) + abs(recall - right[0]) < 1e-6:
        return "the two are exchanged: precision is a share of the *suspected* labels."
    return (
        "with 4 suspected labels of which 3 are wrong, and 5 wrong labels in all, precision is "
        f"3/4 and recall 3/5; yours are {precision:.2f} and {recall:.2f}."
    )


@_verdict
def check_kept_by_loss(answer: Callable[[Tensor, float], Tensor]) -> str | None:
    """Does this function (losses [N], assumed rate) -> rows keep the 1 - rate smallest losses?"""
    losses = torch.tensor([0.5, 2.0, 0.1, 3.0, 0.2, 0.9, 1.5, 0.3, 0.7, 0.8])
    result = answer(losses, 0.3)
    if result is None:
        return NOT_YET
    kept = torch.as_tensor(result)
    if kept.dtype == torch.bool:
        return "that marks the rows; give their numbers (nonzero() or argsort() help)."
    right = {0, 2, 4, 5, 7, 8, 9}
    found = set(kept.flatten().tolist())
    if found == right:
        return None
    if found == set(range(10)) - right:
        return "those are the labels to be thrown away; keep the others."
    if len(found) == 3:
        return "an assumed rate of 30 % means that 70 % are kept."
    return (
        f"of 10 labels, rows {sorted(right)} have the 7 smallest losses; yours are {sorted(found)}."
    )


@_verdict
def check_majority_of_neighbours(answer: Callable[[Tensor, Tensor], Tensor]) -> str | None:
    """Is this function (rows of the neighbours [n,k], labels [n]) -> their most frequent label [n]?"""
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    neighbours = torch.tensor([[1, 2, 3], [0, 2, 4], [3, 4, 0], [4, 5, 4], [3, 5, 5], [3, 4, 1]])
    result = answer(neighbours, labels)
    if result is None:
        return NOT_YET
    result = torch.as_tensor(result)
    if result.shape != (6,):
        return f"expected one label for each of the 6 faces, got the shape {list(result.shape)}."
    right = torch.tensor([0, 0, 1, 1, 2, 1])
    if torch.equal(result.long(), right):
        return None
    if torch.equal(result.long(), neighbours.mode(1).values):
        return "that is the most frequent *row*; look up the labels of the rows first."
    return f"expected {right.tolist()}, got {result.tolist()}."


@_verdict
def check_suspects(answer: Callable[[Tensor, Tensor], Tensor]) -> str | None:
    """Is this function (rows of the neighbours [n,k], given labels [n]) -> who is suspected [n]?"""
    given = torch.tensor([0, 0, 0, 1, 1, 2])
    neighbours = torch.tensor([[1, 2, 3], [0, 2, 4], [3, 4, 0], [4, 5, 4], [3, 5, 5], [3, 4, 1]])
    result = answer(neighbours, given)
    if result is None:
        return NOT_YET
    result = torch.as_tensor(result)
    if result.shape != (6,) or result.dtype != torch.bool:
        return (
            f"expected True or False for each of the 6 faces, got {result.dtype} of the shape "
            f"{list(result.shape)}."
        )
    right = torch.tensor([False, False, True, False, True, True])
    if torch.equal(result, right):
        return None
    if torch.equal(result, ~right):
        return "those are the labels that agree with their neighbours; suspect the others."
    return f"expected {right.tolist()}, got {result.tolist()}."
