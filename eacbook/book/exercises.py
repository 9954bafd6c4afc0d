"""Checks for the exercises of the book: each prints what is wrong and why, and never raises."""

from __future__ import annotations

import math
from collections.abc import Callable
from inspect import isfunction

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from eacbook.evaluation.attention import region_share
from eacbook.evaluation.evaluate import confusion_matrix, precision_and_recall, sample_losses
from eacbook.methods.eac import flip_consistency
from eacbook.noise.labels import NoisyLabels
from eacbook.noise.matrices import symmetric_matrix

NOT_YET = "Not yet: put your code in place of the three dots and run the cell again."
NO_RETURN = "your function returns nothing. Is `return` missing?"
RIGHT = "Right!"

_findings: dict[Callable[..., None], Callable[..., str]] = {}
"""A check to the function that returns what the check prints."""


def _verdict(check: Callable[..., str | None]) -> Callable[..., None]:
    """Make a check print what is wrong, or that the answer is right."""

    def find(answer, *facts) -> str:
        try:
            wrong = NOT_YET if answer is ... else check(answer, *facts)
        except Exception as error:  # the reader's own code may fail in any way
            wrong = f"your code stopped with {type(error).__name__}: {error}"
        if wrong is NOT_YET:
            if not _has_code(answer):
                return NOT_YET
            wrong = NO_RETURN
        return f"Not quite: {wrong}" if wrong else RIGHT

    def say(answer, *facts) -> None:
        print(find(answer, *facts))

    say.__name__, say.__doc__ = check.__name__, check.__doc__
    _findings[say] = find
    return say


def _has_code(answer) -> bool:
    """Whether this is a function that does something. Three dots are compiled to nothing."""

    def nothing(): ...

    def steps(function: Callable) -> bytes:
        return function.__code__.co_code[::2]  # without the arguments of the operations

    return callable(answer) and not (isfunction(answer) and steps(answer) == steps(nothing))


def _misshapen(value, expected: list[int], meaning: str) -> str | None:
    """A sentence with the expected shape and the one that came; None if they are the same."""
    shape = list(value.shape) if hasattr(value, "shape") else list(np.shape(value))
    if shape == expected:
        return None
    wanted = f"{meaning}, the shape {expected}" if expected else f"one number ({meaning})"
    got = f"the shape {shape}" if shape else "one single number (the shape [])"
    return f"expected {wanted}; got {got}."


def _no_tensor(value) -> str | None:
    """A sentence if a result is no tensor: the notebook goes on with the reader's function."""
    if value is None:
        return NOT_YET
    if isinstance(value, Tensor):
        return None
    return (
        f"expected a tensor of PyTorch; got {type(value).__name__}. The next cells compute with it."
    )


def _no_gradient(value: Tensor) -> str | None:
    """A sentence if a result does not depend on its input for ``backward``."""
    if value.requires_grad:
        return None
    return (
        "the numbers are right, but their gradient is lost, so no network could learn with them: "
        "torch.tensor, item, float, detach and numpy cut it off. Compute with the tensors themselves."
    )


def _not_numbers(values, *meanings: str) -> str | None:
    """A sentence if these are not as many single numbers as there are meanings."""
    names = ", ".join(meanings)
    if not isinstance(values, (tuple, list)) and np.ndim(values) != 1:
        return f"expected {len(meanings)} numbers ({names}); got {type(values).__name__}."
    if len(values) != len(meanings):
        return f"expected {len(meanings)} numbers ({names}); got {len(values)}."
    problems = (_misshapen(v, [], name) for v, name in zip(values, meanings, strict=True))
    return next(filter(None, problems), None)


def yours_or_ours(yours: Callable, ours: Callable, check: Callable[..., None]) -> Callable:
    """The function of the reader if the check finds it right, otherwise ours; it says which one.

    So a notebook can go on with the result of an exercise, whether it is solved or not.

    Args:
        yours: the function of the reader.
        ours: a function of the package that does the same.
        check: the check of the exercise, e.g. :func:`check_flip_consistency`.
    """
    solved = _findings[check](yours) == RIGHT
    print(f"{yours.__name__}: {'your own code' if solved else 'our code, until yours is right'}")
    return yours if solved else ours


@_verdict
def check_cross_entropy(answer: Callable[[Tensor, Tensor], Tensor]) -> str | None:
    """Is this function (logits [B,K], labels [B]) -> the cross-entropy of every sample [B], in nats?"""
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0], [-1.0, 1.5, 0.5], [0.3, 2.0, 0.1]])
    labels = torch.tensor([0, 2, 0, 1])
    result = answer(logits, labels)
    if problem := _no_tensor(result):
        return problem
    result = result.to(logits.dtype)
    if problem := _misshapen(result, [4], "one loss for each of 4 faces"):
        of_shapes = {
            (4, 1): "Take the only column of it: [:, 0].",
            (4, 3): "Keep only the loss of each face's label.",
            (): "Leave out the mean (or the sum) over the faces.",
        }
        return " ".join(filter(None, [problem, of_shapes.get(tuple(result.shape))]))
    right = sample_losses(logits, labels)
    if torch.allclose(result, right, atol=1e-5):
        return _no_gradient(answer(logits.clone().requires_grad_(), labels))
    of_labels = logits.gather(1, labels[:, None])[:, 0]
    hints = {
        "those are the probabilities of the labels; the loss is minus their logarithm.": (
            -right
        ).exp(),
        "the sign is wrong: a loss is never negative.": -right,
        "those are bits; nats need the natural logarithm.": right / math.log(2),
        "that is the logarithm to base 10; nats need the natural logarithm.": right / math.log(10),
        "those are the logits of the labels; make probabilities of all logits first.": of_labels,
        "that is minus the logits of the labels; make probabilities of all logits first.": -of_labels,
        "the softmax went down the faces; the probabilities of each face, a row, must sum to 1.": (
            -logits.log_softmax(0).gather(1, labels[:, None])[:, 0]
        ),
        "that is the loss of the likeliest class; take the class of the label.": (
            -logits.log_softmax(1).amax(1)
        ),
    }
    for hint, values in hints.items():
        if torch.allclose(result, values, atol=1e-5):
            return hint
    return f"expected {_rounded(right)}, got {_rounded(result)}."


@_verdict
def check_class_logits(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> str | None:
    """Is this function (features [B,C,h,w], weights [K,C], bias [K]) -> [B,K] pooling and classifier?"""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn((2, 5, 3, 4), generator=generator)
    weights = torch.randn((7, 5), generator=generator)
    bias = torch.randn(7, generator=generator)
    try:
        result = answer(features, weights, bias)
    except RuntimeError as error:
        if type(error) is not RuntimeError:  # not a product of shapes that do not fit
            raise
        return (
            f"your code stopped with RuntimeError: {error}. Look at the shapes: the mean over the "
            "places is [B, C], the weights are [K, C], and [B, C] @ [C, K] gives [B, K]. "
            "weights.T is [C, K]."
        )
    if problem := _no_tensor(result):
        return problem
    if problem := _misshapen(result, [2, 7], "a logit for each of 2 faces and 7 classes"):
        if result.shape == (7, 2):
            return f"{problem} Faces are rows and classes are columns."
        return f"{problem} Take the mean over the two last axes of the features first."
    result = result.to(features.dtype)
    right = functional.linear(features.mean((2, 3)), weights, bias)
    if torch.allclose(result, right, atol=1e-5):
        return None
    hints = {
        "the bias is missing.": right - bias,
        "that is the sum over the places; take their mean.": 12 * (right - bias) + bias,
        "that is the largest place of each feature map; take the mean of all places.": (
            functional.linear(features.amax((2, 3)), weights, bias)
        ),
        "those are probabilities; logits come before the softmax.": right.softmax(1),
    }
    for hint, values in hints.items():
        if torch.allclose(result, values, atol=1e-5):
            return hint
    return "the shape is right, the numbers are not: sum_c W[k, c] * mean of map c, plus b[k]."


@_verdict
def check_confusion_matrix(answer: Callable[[Tensor, Tensor, int], Tensor]) -> str | None:
    """Is this function (true [N], predicted [N], K) -> [K,K] with true classes as rows?"""
    true = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
    predicted = torch.tensor([0, 0, 1, 1, 0, 2, 1, 1])
    result = answer(true, predicted, 4)
    if problem := _no_tensor(result):
        return problem
    if problem := _misshapen(result, [4, 4], "4 classes (one of them has no face here)"):
        return problem
    right = confusion_matrix(functional.one_hot(predicted, 4).float(), true)
    if torch.equal(result.long(), right) and torch.equal(result.double(), right.double()):
        return None
    hints = {
        "rows and columns are exchanged: a row is a true class.": right.T,
        "a cell is 1 at most: several faces with the same pair must add up.": right.clamp(max=1),
    }
    for hint, values in hints.items():
        if torch.equal(result.double(), values.double()):
            return hint
    if result.is_floating_point() and (result.nan_to_num().sum(1) <= 1.001).all():
        return "those are shares; give the numbers of faces."
    return f"expected {right.tolist()}, got {[_rounded(row) for row in result]}."


def _rounded(values: Tensor) -> list[float]:
    return [round(value, 3) for value in values.tolist()]


@_verdict
def check_symmetric_matrix(answer: Callable[[float, int], Tensor]) -> str | None:
    """Is this function (rate, K) -> [K,K] the transition matrix of symmetric noise?"""
    matrix = answer(0.3, 7)
    if problem := _no_tensor(matrix):
        return problem
    matrix = matrix.to(torch.float64)
    if problem := _misshapen(matrix, [7, 7], "a row and a column for each of 7 classes"):
        return problem
    sums, others = matrix.sum(1), matrix[~torch.eye(7, dtype=torch.bool)]
    if torch.allclose(others, torch.tensor(0.05, dtype=torch.float64)) and not torch.allclose(
        matrix.diagonal(), torch.tensor(0.7, dtype=torch.float64)
    ):
        return (
            f"a label should stay right with probability 0.7; on your diagonal is {matrix[0, 0]:.3f}. "
            "The other places are right."
        )
    if not torch.allclose(sums, torch.ones(7, dtype=torch.float64)):
        return (
            f"row 0 sums to {sums[0]:.3f}. A face gets some label, so every row must sum to 1: how "
            "is the rate shared among the *other* classes?"
        )
    if not torch.allclose(matrix.diagonal(), torch.full((7,), 0.7, dtype=torch.float64)):
        return (
            f"a label should stay right with probability 0.7, yours with {matrix[0, 0]:.3f}. Can a "
            "wrong label be its own class in your code?"
        )
    if not torch.allclose(matrix, symmetric_matrix(0.3, 7)):
        return "symmetric means that all the wrong classes are equally likely."
    other = answer(0.5, 3).to(torch.float64)
    if problem := _misshapen(other, [3, 3], "for 3 classes a row and a column each"):
        return problem
    if not torch.allclose(other, symmetric_matrix(0.5, 3)):
        return "it is right for 7 classes, but not for 3 at a rate of 0.5."
    return None


@_verdict
def check_right_share(answer: float, noisy: NoisyLabels, label: int) -> str | None:
    """Is this the share of right labels among the faces that were given ``label``?"""
    given = noisy.given == label
    share = (noisy.true[given] == label).double().mean().item()
    row = noisy.empirical_matrix[label, label].item()
    if problem := _misshapen(answer, [], "a share"):
        return problem
    answer = float(answer)
    if abs(answer - share) < 1e-4:
        return None
    if abs(answer - row) < 1e-4:
        return (
            "that is from a row of the matrix: the share of the faces of the class that kept their "
            "label. The question goes the other way: among the faces that *were given* this label (a "
            "column of the counts), what share really belongs to this class?"
        )
    if answer == noisy.counts[label, label]:
        return "that is a number of faces; divide it by the number of all faces with this label."
    if abs(answer - 100 * share) < 1:
        return "that looks like percent. Give the share, between 0 and 1, and do not round it."
    if abs(answer - (1 - share)) < 0.01:
        return "that is the share of the *wrong* ones among these labels; take the right ones."
    if abs(answer - share) < 0.01:
        return (
            "that is close. Compute it from `counts`, the labels that were drawn, not from the rate. Do "
            "not round it."
        )
    return (
        f"{answer:.4f} is not right. Take the column of `counts` that belongs to this label, of the "
        "noise that the task names."
    )


@_verdict
def check_flip_consistency(answer: Callable[[Tensor, Tensor], Tensor]) -> str | None:
    """Is this function (maps, maps_of_mirror) -> scalar EAC's consistency term?"""
    generator = torch.Generator().manual_seed(0)
    maps, other = torch.randn((2, 2, 3, 4, 5), generator=generator)
    result = answer(maps, other)
    if problem := _no_tensor(result):
        return problem
    if problem := _misshapen(result, [], "the mean over all values"):
        return problem
    result = result.to(maps.dtype)
    right = flip_consistency(maps, other)
    if torch.isclose(result, right):
        return _no_gradient(answer(maps.clone().requires_grad_(), other))
    hints = {
        "the maps of the mirror image were not flipped back before comparing them.": (
            (maps - other) ** 2
        ).mean(),
        "the maps were flipped upside down; a mirror exchanges left and right, the last axis.": (
            (maps - other.flip(-2)) ** 2
        ).mean(),
        "the order of the images was turned around; a mirror exchanges left and right, the last axis.": (
            (maps - other.flip(0)) ** 2
        ).mean(),
        "the classes were turned around; a mirror exchanges left and right, the last axis.": (
            (maps - other.flip(1)) ** 2
        ).mean(),
        "the maps were turned around in both directions; a mirror exchanges left and right alone, the "
        "last axis.": ((maps - other.flip(-2, -1)) ** 2).mean(),
        "the differences must be squared.": (maps - other.flip(-1)).mean(),
        "that is the sum; EAC takes the mean over images, classes and places.": (
            (maps - other.flip(-1)) ** 2
        ).sum(),
        "the differences must be squared; you took their absolute values.": (
            (maps - other.flip(-1)).abs()
        ).mean(),
        "square each difference first, and take the mean then.": (
            (maps - other.flip(-1)).mean() ** 2
        ),
        "that is the square root of the mean; EAC takes no root.": right.sqrt(),
    }
    for hint, value in hints.items():
        if torch.isclose(result, value):
            return hint
    return f"got {result.item():.4f} where {right.item():.4f} was expected."


@_verdict
def check_best_epoch(answer: int, history) -> str | None:
    """Is this the epoch (from 1) with the best validation accuracy?"""
    if problem := _misshapen(answer, [], "an epoch"):
        return problem
    if float(answer) % 1:
        return (
            f"{float(answer):.3f} is an accuracy; give the epoch in which it was reached (idxmax)."
        )
    answer, validation = int(answer), history["validation_accuracy"]
    best, tempting = validation.idxmax(), history["test_accuracy"].idxmax()
    if answer in history.index and validation[answer] == validation.max():  # there may be several
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
    if problem := _no_tensor(maps):
        return problem
    meaning = "a map of 3 x 4 for each of 2 faces and 7 classes"
    if problem := _misshapen(maps, [2, 7, 3, 4], meaning):
        return f"{problem} Which axis is summed over? The one that both have: the channels."
    maps = maps.to(features.dtype)
    right = torch.einsum("kc,bchw->bkhw", weights, features)
    if torch.allclose(maps, right, atol=1e-5):
        return None
    if torch.allclose(maps, right / 5, atol=1e-5):
        return "that is the mean over the channels; the classifier sums over them."
    if torch.allclose(maps, right.clamp(min=0), atol=1e-5):
        return "keep the negative part: without it the mean of the map is not the logit."
    return "the shape is right, the numbers are not: every channel counts with its weight W[k, c]."


@_verdict
def check_region_share(answer: Callable[[Tensor, Tensor], Tensor]) -> str | None:
    """Is this function (attention [h,w], inside [h,w] in 0-1) -> the share of attention inside?"""
    generator = torch.Generator().manual_seed(0)
    attention = torch.rand((6, 6), generator=generator)
    inside = (torch.rand((6, 6), generator=generator) < 0.3).float()
    result = answer(attention, inside)
    if problem := _no_tensor(result):
        return problem
    if problem := _misshapen(result, [], "a sum over the places, divided by another"):
        return problem
    result = result.to(attention.dtype)
    right = region_share(attention, inside.bool())
    if torch.isclose(result, right):
        return None
    if torch.isclose(result, (attention * inside).sum()):
        return "that is the sum inside; divide it by the sum over all places."
    if torch.isclose(result, (attention * inside).sum() / inside.sum()):
        return (
            "that is the mean attention inside; the question is which part of all of it is inside."
        )
    return f"got {result.item():.4f} where {right.item():.4f} was expected."


@_verdict
def check_precision_and_recall(answer: Callable[[Tensor, Tensor], tuple]) -> str | None:
    """Is this function (suspected [N], wrong [N]) -> (precision, recall)?"""
    suspected = torch.tensor([1, 1, 1, 1, 0, 0, 0, 0, 0, 0]).bool()
    wrong = torch.tensor([1, 1, 1, 0, 1, 1, 0, 0, 0, 0]).bool()
    result = answer(suspected, wrong)
    if result is None:
        return NOT_YET
    if problem := _not_numbers(result, "precision", "recall"):
        return problem
    precision, recall = (float(value) for value in result)
    right = precision_and_recall(suspected, wrong)
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
    kept = answer(losses, 0.3)
    if problem := _no_tensor(kept):
        return problem
    if kept.dtype == torch.bool:
        return "that marks the rows; give their numbers (nonzero() or argsort() help)."
    if kept.ndim != 1:
        return _misshapen(kept, [7], "the numbers of 7 rows")
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
    if problem := _no_tensor(result):
        return problem
    if problem := _misshapen(result, [6], "a label for each of the 6 faces"):
        return problem
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
    if problem := _no_tensor(result):
        return problem
    if problem := _misshapen(result, [6], "True or False for each of the 6 faces"):
        return problem
    if result.dtype != torch.bool:
        return f"expected True or False for each of the 6 faces, got {result.dtype}."
    right = torch.tensor([False, False, True, False, True, True])
    if torch.equal(result, right):
        return None
    if torch.equal(result, ~right):
        return "those are the labels that agree with their neighbours; suspect the others."
    return f"expected {right.tolist()}, got {result.tolist()}."


@_verdict
def check_along_the_ranking(answer: Callable[[Tensor], tuple]) -> str | None:
    """Is this function (wrong in the order of the ranking [N]) -> precision [N], recall [N]?"""
    ranked = torch.tensor([True, True, False, True, False, False, True, False])
    result = answer(ranked)
    if result is None:
        return NOT_YET
    if not isinstance(result, (tuple, list, Tensor)) or len(result) != 2:
        return "expected two results: the precision at each place, and the recall at each place."
    for name, values in zip(("precision", "recall"), result, strict=True):
        if problem := _no_tensor(values) or _misshapen(values, [8], f"the {name} at each place"):
            return problem
    precision, recall = (values.double() for values in result)
    found = ranked.cumsum(0).double()
    of_precision, of_recall = found / torch.arange(1, 9), found / 4
    if torch.allclose(precision, of_precision) and torch.allclose(recall, of_recall):
        return None
    if torch.allclose(precision, of_recall) and torch.allclose(recall, of_precision):
        return "the two are exchanged: return the precision first."
    if not torch.allclose(recall, of_recall):
        return (
            "the recall divides the wrong labels found so far by *all* wrong labels. Here it ends at "
            f"1, yours ends at {recall[-1]:.3f}."
        )
    return (
        "the precision divides the wrong labels found so far by the number of labels looked at. At "
        f"the third place it is 2 / 3, yours is {precision[2]:.3f}."
    )


@_verdict
def check_margin(answer: Callable[[Tensor, Tensor], Tensor]) -> str | None:
    """Is this function (probabilities [N,K], given [N]) -> another class's lead over the given [N]?"""
    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.1, 0.4]])
    given = torch.tensor([0, 2, 2])
    result = answer(probabilities, given)
    if problem := _no_tensor(result):
        return problem
    if problem := _misshapen(result, [3], "a number for each of the 3 labels"):
        return problem
    result = result.float()
    right = torch.tensor([-0.5, 0.3, 0.1])
    if torch.allclose(result, right):
        return None
    if torch.allclose(result, -right):
        return "the sign is the other way round: a doubtful label must have the larger number."
    if torch.allclose(result, right.clamp(min=0)):
        return (
            "take the largest probability of *another* class. The given label itself must not count, "
            "also where it is the most probable one."
        )
    expected = ", ".join(f"{value:.1f}" for value in right)
    return f"expected {expected}; got {', '.join(f'{value:.2f}' for value in result)}."


@_verdict
def check_first_of_each_class(answer: Callable[[Tensor, Tensor, int], Tensor]) -> str | None:
    """Is this function (score [N], given [N], count) -> rows of the most doubtful of each class?"""
    score = torch.tensor([0.1, 0.9, 0.8, 0.7, 0.2, 0.3, 0.6, 0.05])
    given = torch.tensor([1, 0, 0, 0, 1, 1, 0, 2])
    result = answer(score, given, 2)
    if problem := _no_tensor(result):
        return problem
    rows = [int(row) for row in result]
    if sorted(rows) == [1, 2, 4, 5, 7]:
        return None
    if rows == [1, 2]:
        return "those are the first two of *all* labels. Take the first two of each given class."
    if len(set(rows)) != len(rows):
        return f"a row comes twice: {rows}."
    return (
        f"expected the rows 1, 2 (class 0), 5, 4 (class 1) and 7 (class 2, which has only one), got "
        f"{rows}."
    )


@_verdict
def check_exchange(answer: Callable[[Tensor, Tensor, int], tuple]) -> str | None:
    """Is this function (losses of one [B], of the other [B], count) -> rows each one learns from?"""
    one = torch.tensor([0.1, 0.2, 1.5, 2.0, 0.3, 0.9])
    other = torch.tensor([1.9, 0.1, 0.2, 0.3, 1.2, 2.1])
    result = answer(one, other, 3)
    if result is None:
        return NOT_YET
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        return "expected two results: the rows for the one, and the rows for the other."
    for rows in result:
        if np.ndim(rows) != 1:
            return _misshapen(rows, [3], "the numbers of 3 rows for each network")
    found = [set(torch.as_tensor(rows).flatten().tolist()) for rows in result]
    least_of_one, least_of_other = {0, 1, 4}, {1, 2, 3}
    if found == [least_of_other, least_of_one]:
        return None
    if found == [least_of_one, least_of_other]:
        return "here each network learns from its own choice and its own mistakes: exchange them."
    if any(len(rows) != 3 for rows in found):
        return f"with a count of 3 each learns from 3 samples, not from {[len(rows) for rows in found]}."
    return (
        f"the first one should learn from rows {sorted(least_of_other)}, the other one from "
        f"{sorted(least_of_one)}; yours are {sorted(found[0])} and {sorted(found[1])}."
    )


@_verdict
def check_relabel(answer: Callable[[Tensor, Tensor, Tensor, float], Tensor]) -> str | None:
    """Is this function (probabilities [B,K], labels [B], low bool [B], margin) -> labels SCN's rule?"""
    probabilities = torch.tensor(
        [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.4, 0.35, 0.25], [0.1, 0.1, 0.8], [0.1, 0.1, 0.8]]
    )
    labels = torch.tensor([0, 1, 1, 0, 0])
    low = torch.tensor([True, True, True, True, False])
    result = answer(probabilities, labels, low, 0.2)
    if problem := _no_tensor(result):
        return problem
    if problem := _misshapen(result, [5], "a label for each of the 5 faces"):
        return problem
    result = result.long()
    right = torch.tensor([0, 0, 1, 2, 0])
    if torch.equal(result, right):
        return None
    if torch.equal(result, torch.tensor([0, 0, 1, 2, 2])):
        return "row 4 is in the high group and keeps its label (the published code changes it)."
    if torch.equal(result, torch.tensor([0, 0, 0, 2, 0])):
        return "row 2 keeps its label: 0.40 is more than 0.35, but not by more than the margin."
    return f"expected {right.tolist()}, got {result.tolist()}."


@_verdict
def check_majority_rule(answer: Callable[[list[int]], int | None]) -> str | None:
    """Is this function (ten counts of votes) -> column or None the majority rule of FERPlus?"""
    clear, singles = [1, 9, 0, 0, 0, 0, 0, 0, 0, 0], [4, 1, 1, 1, 1, 1, 1, 0, 0, 0]
    half, most, scattered = [5, 0, 0, 5, 0, 0, 0, 0, 0, 0], [0, 4, 3, 3, 0, 0, 0, 0, 0, 0], [1] * 10
    others = [[0, 0, 0, 0, 0, 0, 0, 2, 8, 0], [3, 0, 1, 0, 5, 0, 0, 0, 0, 1]]
    if not _has_code(answer):  # None may be an answer
        return NOT_YET
    hints = (
        (clear, 1, "column 1 has nine of ten votes, so it is the label."),
        (singles, 0, "a single vote counts as none: of 4, 1, 1, 1, 1, 1, 1 only the 4 remain."),
        (half, None, "half is not a majority: more than half of the remaining votes are needed."),
        (most, None, "4 of 10 votes are the most, but not more than half: no label."),
        (scattered, None, "if every vote is a single one, none remains, and there is no label."),
        (others[0], 8, "unknown (column 8) can win, too; whether to drop the image comes later."),
        (others[1], 4, "5 of the 8 remaining votes are more than half."),
    )
    for votes, right, hint in hints:
        found = answer(list(votes))
        if found is None and right is None:
            continue
        if found is None or right is None or int(found) != right:
            return f"for the votes {votes} yours gives {found}. {hint[0].upper()}{hint[1:]}"
    return None


@_verdict
def check_copies(answer: Callable[[Tensor, Tensor], Tensor]) -> str | None:
    """Is this function (training images, test images) -> which test images are in both sets [n]?"""
    generator = torch.Generator().manual_seed(0)
    train = torch.randint(256, (5, 1, 4, 4), generator=generator, dtype=torch.uint8)
    brighter = train[0].clamp(max=254) + (torch.arange(16).view(1, 4, 4) == 5).to(torch.uint8)
    test = torch.stack([train[3], brighter, train[2], train[4].flip(-1), train[1]])
    result = answer(train, test[:4])
    if problem := _no_tensor(result):
        return problem
    if problem := _misshapen(result, [4], "True or False for each of the 4 test images"):
        return f"there were 5 training and 4 test images. {problem[0].upper()}{problem[1:]}"
    result, right = result.bool(), torch.tensor([True, False, True, False])
    if torch.equal(result, right):
        return None
    if torch.equal(result, ~right):
        return "those are the test images that are new; mark the others."
    if torch.equal(result, torch.tensor([False, False, True, False])):
        return "a copy need not be in the same row: compare with all the training images."
    if result[3]:
        return "the last one has the same pixels in another order: compare them place by place."
    if result[1]:
        return "the second one differs from a training image in one pixel: it is not an exact copy."
    return f"expected {right.tolist()}, got {result.tolist()}."


@_verdict
def check_area_under_curve(answer: Callable[[Tensor, Tensor], float | Tensor | None]) -> str | None:
    """Is this function (scores [N], wrong [N]) -> ROC AUC, a wrong one's chance to rank higher?"""
    scores = torch.tensor([0.1, 0.4, 0.4, 0.8, 0.9, 0.2])
    wrong = torch.tensor([False, True, False, True, False, False])
    result = answer(scores, wrong)
    if result is None:
        return NOT_YET
    result = torch.as_tensor(result, dtype=torch.float64)
    if problem := _misshapen(result, [], "the mean over all pairs"):
        return problem
    found, right = result.item(), 5.5 / 8
    if abs(found - right) < 1e-6:
        return None
    hints = {
        1 - right: "that is the chance that the *right* label ranks higher: take 1 minus it.",
        5 / 8: "two labels of the same score were counted as lost; count a tie as half.",
        6 / 8: "two labels of the same score were counted as won; count a tie as half.",
        5.5: "that is the number of pairs won; divide it by the number of pairs.",
    }
    for value, hint in hints.items():
        if abs(found - value) < 1e-6:
            return hint
    return f"of 2 x 4 pairs 5 are won and 1 is a tie: 5.5 / 8 = 0.6875, yours is {found:.4f}."


@_verdict
def check_flattery(answer: Callable[[np.ndarray], float]) -> str | None:
    """Is this function (test accuracies of the epochs [E]) -> the best minus the mean of the last 5?"""
    accuracies = np.array([0.2, 0.5, 0.7, 0.6, 0.65, 0.55, 0.6, 0.5])
    result = answer(accuracies)
    if result is None:
        return NOT_YET
    if problem := _misshapen(result, [], "a difference of two shares"):
        return problem
    found, right = float(result), 0.7 - 0.58
    if abs(found - right) < 1e-6:
        return None
    hints = {
        "that is the best epoch itself; subtract the mean of the last five.": 0.7,
        "that is the mean of the last five; by how much is the best epoch higher?": 0.58,
        "the right size, but the wrong sign: the best epoch is never lower.": -right,
        "the number is right; give it as a share between 0 and 1.": 100 * right,
        "that compares with the last epoch alone; take the mean of the last five.": 0.7 - 0.5,
        "you looked for the best epoch among the last five; look among all.": 0.65 - 0.58,
        "that compares with the mean of all epochs; take the last five.": 0.7 - accuracies.mean(),
    }
    for hint, value in hints.items():
        if abs(found - value) < 1e-6:
            return hint
    return (
        f"of {accuracies.tolist()} the best is 0.70 and the mean of the last five 0.58: 0.12, "
        f"yours is {found:.4f}."
    )


@_verdict
def check_mean_and_spread(answer: Callable[[np.ndarray], tuple]) -> str | None:
    """Is this function (accuracies of the seeds [S]) -> (mean, standard deviation with S - 1)?"""
    accuracies = np.array([0.80, 0.86, 0.81])
    result = answer(accuracies)
    if result is None:
        return NOT_YET
    if problem := _not_numbers(result, "the mean", "the standard deviation"):
        return problem
    mean, spread = (float(value) for value in result)
    right = accuracies.mean(), accuracies.std(ddof=1)
    if np.allclose((mean, spread), right, atol=1e-6):
        return None
    if np.allclose((spread, mean), right, atol=1e-6):
        return "the two are exchanged: the mean first."
    if abs(mean - right[0]) > 1e-6:
        return f"the mean of 0.80, 0.86 and 0.81 is {right[0]:.4f}, yours is {mean:.4f}."
    hints = {
        "that divides by the number of seeds (numpy does this without ddof=1). The mean comes "
        "from the same three numbers, so divide by one less.": accuracies.std(),
        "that is the standard error of the mean; the table shows the spread itself.": (
            right[1] / 3**0.5
        ),
        "that is the variance; take its square root.": right[1] ** 2,
        "that is the range, from the lowest to the highest.": np.ptp(accuracies),
    }
    for hint, value in hints.items():
        if abs(spread - value) < 1e-6:
            return hint
    return f"the spread of 0.80, 0.86 and 0.81 is {right[1]:.4f}, yours is {spread:.4f}."


@_verdict
def check_paired(answer: Callable[[np.ndarray, np.ndarray], tuple]) -> str | None:
    """Is this function (A [S], B [S]) -> (seeds in which A wins, mean of A - B, its standard error)?"""
    one, other = np.array([0.90, 0.85, 0.80, 0.88]), np.array([0.88, 0.84, 0.77, 0.89])
    result = answer(one, other)
    if result is None:
        return NOT_YET
    if problem := _not_numbers(result, "seeds in which A is better", "the mean", "its error"):
        return problem
    wins, mean, error = (float(value) for value in result)
    gains = one - other
    if abs(mean + gains.mean()) < 1e-6:
        return "that is B minus A: a positive difference should mean that A is better."
    if abs(wins - 3) > 1e-6:
        return f"A is better in 3 of these 4 seeds, yours says {wins:g}."
    if abs(mean - gains.mean()) > 1e-6:
        return f"the mean of 0.02, 0.01, 0.03 and -0.01 is {gains.mean():.4f}, yours is {mean:.4f}."
    right = gains.std(ddof=1) / 2
    if abs(error - right) < 1e-6:
        return None
    apart = ((one.var(ddof=1) + other.var(ddof=1)) / 4) ** 0.5
    hints = {
        "that is the spread of the differences; the error of their *mean* is smaller by the square "
        "root of the number of seeds.": 2 * right,
        "the spread is divided by the *square root* of the number of seeds.": right / 2,
        "divide by the number of seeds minus one in the spread (ddof=1).": gains.std() / 2,
        "that is the error for two methods with *different* seeds. Take the differences first, "
        "seed by seed, and then their spread.": apart,
    }
    for hint, value in hints.items():
        if abs(error - value) < 1e-6:
            return hint
    return f"the standard error of that mean is {right:.4f}, yours is {error:.4f}."
