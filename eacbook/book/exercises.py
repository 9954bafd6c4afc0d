"""Checks for the exercises of the book: each prints what is wrong and why, and never raises."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from eacbook.evaluation.attention import region_share
from eacbook.evaluation.evaluate import precision_and_recall
from eacbook.methods.eac import flip_consistency
from eacbook.noise.labels import NoisyLabels
from eacbook.noise.matrices import symmetric_matrix

NOT_YET = "Not yet: put your code in place of the three dots and run the cell again."


def _verdict(check: Callable[..., str | None]) -> Callable[..., None]:
    """Make a check print what is wrong, or that the answer is right."""

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
            f"a label should stay right with probability 0.7, yours with {matrix[0, 0]:.3f}. Can a "
            "wrong label be its own class in your code?"
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
    row = noisy.empirical_matrix[label, label].item()
    answer = float(answer)
    if abs(answer - share) < 1e-4:
        return None
    if abs(answer - row) < 1e-4:
        return (
            "that is from a row of the matrix: the share of the faces of the class that kept their "
            "label. The question goes the other way: among the faces that *were given* this label (a "
            "column of the counts), what share really belongs to this class?"
        )
    if abs(answer - 100 * share) < 1e-2:
        return "the number is right; give it as a share between 0 and 1."
    return f"{answer:.4f} is not right. Take the column of noisy.counts that belongs to this label."


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
        "the differences must be squared; you took their absolute values.": (
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
        return "keep the negative part: without it the mean of the map is not the logit."
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


@_verdict
def check_exchange(answer: Callable[[Tensor, Tensor, int], tuple]) -> str | None:
    """Is this function (losses of one [B], of the other [B], count) -> rows each one learns from?"""
    one = torch.tensor([0.1, 0.2, 1.5, 2.0, 0.3, 0.9])
    other = torch.tensor([1.9, 0.1, 0.2, 0.3, 1.2, 2.1])
    result = answer(one, other, 3)
    if result is None:
        return NOT_YET
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
    if result is None:
        return NOT_YET
    result = torch.as_tensor(result).long()
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
    if all(answer(list(votes)) is None for votes in (clear, *others)):
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
    if result is None:
        return NOT_YET
    result = torch.as_tensor(result)
    if result.shape != (4,):
        return (
            "there were 5 training and 4 test images: expected True or False for each of the 4, got "
            f"the shape {list(result.shape)}."
        )
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
    if result.ndim:
        return f"expected one number, got a tensor of shape {list(result.shape)}: take the mean."
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
    if np.ndim(result):
        return f"expected one number, got {np.size(result)} of them."
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
