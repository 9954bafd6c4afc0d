"""The checks accept what is right and say what is wrong, and never raise."""

import re
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from eacbook.book.exercises import (
    NOT_YET,
    check_along_the_ranking,
    check_area_under_curve,
    check_best_epoch,
    check_class_activation_maps,
    check_class_logits,
    check_confusion_matrix,
    check_copies,
    check_cross_entropy,
    check_exchange,
    check_first_of_each_class,
    check_flattery,
    check_flip_consistency,
    check_kept_by_loss,
    check_majority_of_neighbours,
    check_majority_rule,
    check_margin,
    check_mean_and_spread,
    check_paired,
    check_precision_and_recall,
    check_region_share,
    check_relabel,
    check_right_share,
    check_suspects,
    check_symmetric_matrix,
    yours_or_ours,
)
from eacbook.evaluation.evaluate import precision_and_recall, sample_losses
from eacbook.methods.eac import flip_consistency
from eacbook.noise.inject import inject_noise
from eacbook.noise.matrices import symmetric_matrix

NOISY = inject_noise(torch.arange(700) % 7, 0.3, 7)
HISTORY = pd.DataFrame(
    {"validation_accuracy": [0.2, 0.6, 0.5, 0.6], "test_accuracy": [0.1, 0.5, 0.7, 0.6]},
    index=[1, 2, 3, 4],
)


def activation_maps(features, weights):
    return torch.einsum("kc,bchw->bkhw", weights, features)


def uniform(rate, k):
    """The mistake of letting a label be flipped to itself."""
    return torch.full((k, k), rate / k) + torch.eye(k) * (1 - rate)


def three_dots(maps, maps_of_mirror):
    """Nothing but words."""
    ...


def unfinished(*_):
    raise NotImplementedError


def no_return(maps, maps_of_mirror):
    ((maps - maps_of_mirror.flip(-1)) ** 2).mean()


@pytest.mark.parametrize(
    ("check", "answer", "says"),
    [
        (check_symmetric_matrix, symmetric_matrix, "Right!"),
        (check_symmetric_matrix, lambda rate, k: None, NOT_YET),
        (check_symmetric_matrix, lambda rate, k: torch.eye(3), "[7, 7]; got the shape [3, 3]"),
        (check_symmetric_matrix, lambda rate, k: torch.eye(k) * 0.7, "sums to 0.700"),
        (check_symmetric_matrix, uniform, "its own class"),
        (
            check_symmetric_matrix,
            lambda rate, k: (1 - rate) * torch.eye(k) + rate / (k - 1),
            "on your diagonal is 0.750",
        ),
        (check_symmetric_matrix, lambda rate, k: symmetric_matrix(0.3, 7), "[3, 3]"),
        (check_symmetric_matrix, lambda rate, k: 1 / 0, "ZeroDivisionError"),
        (check_flip_consistency, lambda a, b: ((a - b.flip(-1)) ** 2).mean(), "Right!"),
        (check_flip_consistency, lambda a, b: None, NOT_YET),
        (check_flip_consistency, three_dots, NOT_YET),
        (check_flip_consistency, no_return, "Not quite: your function returns nothing"),
        (check_flip_consistency, lambda a, b: print(a), "Is `return` missing?"),
        (check_flip_consistency, partial(no_return), "Is `return` missing?"),
        (check_flip_consistency, lambda a, b: ((a - b.flip(1)) ** 2).mean(), "the classes were"),
        (check_flip_consistency, lambda a, b: ((a - b.flip(2, 3)) ** 2).mean(), "both directions"),
        (check_flip_consistency, lambda a, b: (a - b.flip(-1)).mean(), "must be squared"),
        (check_flip_consistency, lambda a, b: ((a - b) ** 2).mean(), "not flipped back"),
        (check_flip_consistency, lambda a, b: ((a - b.flip(-2)) ** 2).mean(), "upside down"),
        (check_flip_consistency, lambda a, b: ((a - b.flip(0)) ** 2).mean(), "order of the images"),
        (
            check_flip_consistency,
            lambda a, b: flip_consistency(a, b).item(),
            "tensor of PyTorch; got float",
        ),
        (check_flip_consistency, lambda a, b: flip_consistency(a, b).detach(), "gradient is lost"),
        (check_flip_consistency, lambda a, b: ((a - b.flip(-1)) ** 2).sum(), "the sum"),
        (check_flip_consistency, lambda a, b: (a - b.flip(-1)).abs().mean(), "squared"),
        (check_flip_consistency, lambda a, b: (a - b.flip(-1)) ** 2, "one number"),
        (check_flip_consistency, lambda a, b: (a - b.flip(-1)).mean() ** 2, "square each"),
        (check_flip_consistency, lambda a, b: flip_consistency(a, b) ** 0.5, "square root"),
        (check_class_activation_maps, activation_maps, "Right!"),
        (check_class_activation_maps, lambda f, w: None, NOT_YET),
        (check_class_activation_maps, lambda f, w: activation_maps(f, w).sum(1), "7 classes"),
        (check_class_activation_maps, lambda f, w: activation_maps(f, w) / 5, "mean over"),
        (check_class_activation_maps, lambda f, w: activation_maps(f, w).relu(), "negative"),
        (check_class_activation_maps, lambda f, w: 2 * activation_maps(f, w), "the numbers"),
        (check_region_share, lambda a, i: (a * i).sum() / a.sum(), "Right!"),
        (check_region_share, lambda a, i: None, NOT_YET),
        (check_region_share, lambda a, i: a * i, "one number"),
        (check_region_share, lambda a, i: (a * i).sum(), "divide"),
        (check_region_share, lambda a, i: (a * i).sum() / i.sum(), "which part"),
        (check_precision_and_recall, precision_and_recall, "Right!"),
        (check_precision_and_recall, lambda s, f: None, NOT_YET),
        (check_precision_and_recall, lambda s, f: precision_and_recall(f, s), "exchanged"),
        (check_precision_and_recall, lambda s, f: (0.1, 0.2), "0.10 and 0.20"),
        (check_kept_by_loss, lambda x, r: x.argsort()[: round(len(x) * (1 - r))], "Right!"),
        (check_kept_by_loss, lambda x, r: None, NOT_YET),
        (check_kept_by_loss, lambda x, r: x < 1, "marks the rows"),
        (check_kept_by_loss, lambda x, r: x.argsort()[7:], "thrown away"),
        (check_kept_by_loss, lambda x, r: x.argsort()[:3], "70 %"),
        (check_majority_of_neighbours, lambda n, y: y[n].mode(1).values, "Right!"),
        (check_majority_of_neighbours, lambda n, y: None, NOT_YET),
        (check_majority_of_neighbours, lambda n, y: n.mode(1).values, "most frequent *row*"),
        (check_majority_of_neighbours, lambda n, y: y[n], "a label for each of the 6 faces"),
        (check_suspects, lambda n, y: y[n].mode(1).values != y, "Right!"),
        (check_suspects, lambda n, y: None, NOT_YET),
        (check_suspects, lambda n, y: y[n].mode(1).values == y, "agree with"),
        (check_suspects, lambda n, y: y[n].mode(1).values, "True or False"),
    ],
)
def test_check_of_a_function(check, answer, says, capsys):
    check(answer)
    assert says in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (..., NOT_YET),
        (NOISY.counts[1, 1] / NOISY.counts[:, 1].sum(), "Right!"),
        (NOISY.counts[1, 1] / NOISY.counts[1].sum(), "the other way"),
        (100 * NOISY.counts[1, 1] / NOISY.counts[:, 1].sum(), "between 0 and 1"),
        (
            round(100 * NOISY.counts[1, 1].item() / NOISY.counts[:, 1].sum().item()),
            "looks like percent",
        ),
        (1 - NOISY.counts[1, 1] / NOISY.counts[:, 1].sum(), "share of the *wrong* ones"),
        (0.123, "column of `counts`"),
        (NOISY.counts[1, 1], "a number of faces; divide it"),
        (NOISY.counts[1, 1] / NOISY.counts[:, 1].sum() + 0.004, "that is close"),
        ("many", "ValueError"),
    ],
)
def test_check_of_the_right_share(answer, says, capsys):
    check_right_share(answer, NOISY, 1)
    assert says in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (..., NOT_YET),
        (2, "Right!"),
        (4, "Right!"),  # as good as epoch 2
        (3, "peeking"),
        (0.75, "0.750 is an accuracy"),
        (1, "count from 1"),
        (9, "not at its highest"),
    ],
)
def test_check_of_the_best_epoch(answer, says, capsys):
    check_best_epoch(answer, HISTORY)
    assert says in capsys.readouterr().out


def small(losses, count):
    return losses.argsort()[:count]


def relabelled(probabilities, labels, low, margin):
    highest, predicted = probabilities.max(1)
    doubted = highest - probabilities[torch.arange(len(labels)), labels] > margin
    return torch.where(doubted & low, predicted, labels)


@pytest.mark.parametrize(
    ("check", "answer", "says"),
    [
        (check_exchange, lambda a, b, n: None, NOT_YET),
        (check_exchange, lambda a, b, n: (small(b, n), small(a, n)), "Right!"),
        (check_exchange, lambda a, b, n: (small(a, n), small(b, n)), "exchange"),
        (check_exchange, lambda a, b, n: (small(b, 2), small(a, 2)), "not from [2, 2]"),
        (check_exchange, lambda a, b, n: (small(-b, n), small(-a, n)), "yours are [0, 4, 5]"),
        (check_relabel, lambda p, y, low, m: None, NOT_YET),
        (check_relabel, relabelled, "Right!"),
        (check_relabel, lambda p, y, low, m: relabelled(p, y, low | True, m), "high group"),
        (check_relabel, lambda p, y, low, m: relabelled(p, y, low, 0.0), "not by more than"),
        (check_relabel, lambda p, y, low, m: y, "expected [0, 0, 1, 2, 0]"),
    ],
)
def test_checks_of_the_methods(check, answer, says, capsys):
    check(answer)
    assert says in capsys.readouterr().out


def majority(votes, least=2, share=0.5):
    """The column of the majority; with other numbers the usual mistakes."""
    kept = [count if count >= least else 0 for count in votes]
    return kept.index(max(kept)) if max(kept) > share * sum(kept) else None


def in_any(train, test, most=0):
    differences = train[None].int() - test[:, None].int()
    return (differences.abs() <= most).flatten(2).all(2).any(1)


def total(images):
    return images.sum((1, 2, 3), keepdim=True)


def pairs_won(scores, wrong, tie=0.5):
    higher, lower = scores[wrong][:, None], scores[~wrong]
    return ((higher > lower).double() + tie * (higher == lower)).mean()


@pytest.mark.parametrize(
    ("check", "answer", "says"),
    [
        (check_majority_rule, majority, "Right!"),
        (check_majority_rule, lambda votes: None, NOT_YET),
        (check_majority_rule, lambda votes: None if votes else 1, "Column 1 has nine of ten"),
        (check_majority_rule, lambda votes: majority(votes, least=1), "A single vote"),
        (check_majority_rule, lambda votes: majority(votes, share=0.49), "Half is not"),
        (check_majority_rule, lambda votes: majority(votes, share=0.3), "Half is not"),
        (check_majority_rule, lambda votes: votes.index(max(votes)), "Half is not"),
        (check_majority_rule, lambda votes: majority(votes) or None, "only the 4 remain"),
        (check_majority_rule, lambda votes: max(votes) / 0, "ZeroDivisionError"),
        (check_copies, in_any, "Right!"),
        (check_copies, lambda train, test: None, NOT_YET),
        (check_copies, lambda train, test: ~in_any(train, test), "are new"),
        (check_copies, lambda train, test: in_any(test, train), "each of the 4"),
        (check_copies, lambda train, test: (train[:4] == test).flatten(1).all(1), "same row"),
        (check_copies, lambda train, test: in_any(*map(total, (train, test))), "another order"),
        (check_copies, lambda train, test: in_any(train, test, most=1), "not an exact copy"),
        (check_area_under_curve, pairs_won, "Right!"),
        (check_area_under_curve, lambda scores, wrong: None, NOT_YET),
        (check_area_under_curve, lambda scores, wrong: pairs_won(scores, ~wrong), "take 1 minus it"),
        (check_area_under_curve, lambda scores, wrong: pairs_won(scores, wrong, 0), "as lost"),
        (check_area_under_curve, lambda scores, wrong: pairs_won(scores, wrong, 1), "as won"),
        (check_area_under_curve, lambda scores, wrong: 8 * pairs_won(scores, wrong), "divide it"),
        (check_area_under_curve, lambda scores, wrong: scores, "one number"),
        (check_area_under_curve, lambda scores, wrong: 0.9, "0.9000"),
    ],
)  # fmt: skip
def test_check_of_an_audit(check, answer, says, capsys):
    check(answer)
    assert re.search(says, capsys.readouterr().out)


def along(ranked):
    found = ranked.cumsum(0)
    return found / torch.arange(1, len(ranked) + 1), found / ranked.sum()


def margin(probabilities, given, itself=-1.0):
    own = probabilities.gather(1, given[:, None])
    others = probabilities if itself is None else probabilities.scatter(1, given[:, None], itself)
    return others.amax(1) - own[:, 0]


def first_of_each(score, given, count):
    order = score.argsort(descending=True)
    return torch.cat([order[given[order] == label][:count] for label in given.unique()])


@pytest.mark.parametrize(
    ("check", "answer", "says"),
    [
        (check_along_the_ranking, along, "Right!"),
        (check_along_the_ranking, lambda ranked: torch.stack(along(ranked)), "Right!"),
        (check_along_the_ranking, lambda ranked: None, NOT_YET),
        (check_along_the_ranking, lambda ranked: along(ranked)[::-1], "exchanged"),
        (check_along_the_ranking, lambda r: (along(r)[0], r.cumsum(0) / 8), "ends at 0.500"),
        (check_along_the_ranking, lambda r: (r.cumsum(0) / 4, along(r)[1]), "yours is 0.500"),
        (check_along_the_ranking, lambda r: (0.5, 1.0), "tensor of PyTorch; got float"),
        (check_along_the_ranking, lambda r: (r[:3], r), "the precision at each place, the shape"),
        (check_along_the_ranking, lambda r: along(r)[0], "expected two results"),
        (check_margin, margin, "Right!"),
        (check_margin, lambda p, given: margin(p.double(), given), "Right!"),
        (check_margin, lambda p, given: None, NOT_YET),
        (check_margin, lambda p, given: -margin(p, given), "other way round"),
        (check_margin, lambda p, given: margin(p, given, None), "must not count"),
        (check_margin, lambda p, given: p.amax(1), "expected -0.5, 0.3, 0.1; got 0.70"),
        (check_margin, lambda p, given: p, "the shape"),
        (check_first_of_each_class, first_of_each, "Right!"),
        (check_first_of_each_class, lambda score, given, count: None, NOT_YET),
        (
            check_first_of_each_class,
            lambda s, g, count: s.topk(count).indices,
            r"of \*all\* labels",
        ),
        (check_first_of_each_class, lambda s, g, count: torch.tensor([1, 1, 2]), "comes twice"),
        (check_first_of_each_class, lambda s, g, count: torch.tensor([0, 1, 7]), "only one"),
    ],
)
def test_check_of_a_ranking(check, answer, says, capsys):
    check(answer)
    assert re.search(says, capsys.readouterr().out)


def mean_and_spread(accuracies, ddof=1):
    return accuracies.mean(), accuracies.std(ddof=ddof)


def paired(one, other, ddof=1, root=0.5):
    gains = one - other
    return (gains > 0).sum(), gains.mean(), gains.std(ddof=ddof) / len(gains) ** root


def unpaired(one, other):
    return 3, (one - other).mean(), np.hypot(one.std(ddof=1), other.std(ddof=1)) / 2


@pytest.mark.parametrize(
    ("check", "answer", "says"),
    [
        (check_flattery, lambda a: a.max() - a[-5:].mean(), "Right!"),
        (check_flattery, lambda a: None, NOT_YET),
        (
            check_flattery,
            lambda a: a - a[-5:].mean(),
            "one number (a difference of two shares); got the shape [8]",
        ),
        (check_flattery, lambda a: a.max(), "best epoch itself"),
        (check_flattery, lambda a: a[-5:].mean(), "mean of the last five; by how much"),
        (check_flattery, lambda a: a[-5:].mean() - a.max(), "wrong sign"),
        (check_flattery, lambda a: 100 * (a.max() - a[-5:].mean()), "between 0 and 1"),
        (check_flattery, lambda a: a.max() - a[-1], "last epoch alone"),
        (check_flattery, lambda a: a[-5:].max() - a[-5:].mean(), "among the last five"),
        (check_flattery, lambda a: a.max() - a.mean(), "mean of all epochs"),
        (check_flattery, lambda a: a.max() - a[:5].mean(), "yours is 0.1700"),
        (check_mean_and_spread, mean_and_spread, "Right!"),
        (check_mean_and_spread, lambda a: None, NOT_YET),
        (check_mean_and_spread, lambda a: mean_and_spread(a)[::-1], "exchanged"),
        (check_mean_and_spread, lambda a: (np.median(a), a.std()), "yours is 0.8100"),
        (check_mean_and_spread, lambda a: mean_and_spread(a, ddof=0), "one less"),
        (check_mean_and_spread, lambda a: (a.mean(), a.std(ddof=1) / 3**0.5), "standard error"),
        (check_mean_and_spread, lambda a: (a.mean(), a.var(ddof=1)), "variance"),
        (check_mean_and_spread, lambda a: (a.mean(), np.ptp(a)), "range"),
        (check_mean_and_spread, lambda a: (a.mean(), 0.5), "yours is 0.5000"),
        (check_mean_and_spread, lambda a: a.mean(), "expected 2 numbers"),
        (check_paired, paired, "Right!"),
        (check_paired, lambda a, b: None, NOT_YET),
        (check_paired, lambda a, b: paired(b, a), "B minus A"),
        (check_paired, lambda a, b: (0.75, *paired(a, b)[1:]), "3 of these 4"),
        (check_paired, lambda a, b: (3, 0.1, 0.1), "yours is 0.1000"),
        (check_paired, lambda a, b: paired(a, b, root=0), "of their *mean*"),
        (check_paired, lambda a, b: paired(a, b, root=1), "square root"),
        (check_paired, lambda a, b: paired(a, b, ddof=0), "minus one"),
        (check_paired, unpaired, "seed by seed"),
        (check_paired, lambda a, b: (*paired(a, b)[:2], 0.5), "yours is 0.5000"),
    ],
)
def test_check_of_a_table(check, answer, says, capsys):
    check(answer)
    assert says in capsys.readouterr().out


def class_logits(features, weights, bias):
    return features.mean((2, 3)) @ weights.T + bias


def counted(true, predicted, k):
    return (k * true + predicted).bincount(minlength=k * k).view(k, k)


def row_shares(matrix):
    return matrix / matrix.sum(1, keepdim=True)  # not a number for a class without a face


def marked(true, predicted, k):
    """The mistake of setting a cell where it should be counted up."""
    matrix = torch.zeros(k, k)
    matrix[true, predicted] = 1
    return matrix


@pytest.mark.parametrize(
    ("check", "answer", "says"),
    [
        (check_cross_entropy, sample_losses, "Right!"),
        (check_cross_entropy, lambda x, y: None, NOT_YET),
        (check_cross_entropy, lambda x, y: sample_losses(x, y).mean(), "[4]; got one single number"),
        (check_cross_entropy, lambda x, y: sample_losses(x, y)[:, None], "the only column"),
        (check_cross_entropy, lambda x, y: sample_losses(x, y).mean(), "Leave out the mean"),
        (check_cross_entropy, lambda x, y: -x.log_softmax(1), "the loss of each face's label"),
        (check_cross_entropy, lambda x, y: sample_losses(x, y).tolist(), "got list"),
        (check_cross_entropy, lambda x, y: sample_losses(x, y).detach(), "gradient is lost"),
        (check_cross_entropy, lambda x, y: (-sample_losses(x, y)).exp(), "minus their logarithm"),
        (check_cross_entropy, lambda x, y: -sample_losses(x, y), "never negative"),
        (check_cross_entropy, lambda x, y: sample_losses(x, y) / np.log(2), "bits"),
        (check_cross_entropy, lambda x, y: sample_losses(x, y) / np.log(10), "to base 10"),
        (check_cross_entropy, lambda x, y: -x[torch.arange(4), y], "minus the logits"),
        (check_cross_entropy, lambda x, y: x[torch.arange(4), y], "logits of the labels"),
        (check_cross_entropy, lambda x, y: -x.log_softmax(0)[torch.arange(4), y], "down the faces"),
        (check_cross_entropy, lambda x, y: sample_losses(x, x.argmax(1)), "likeliest class"),
        (check_cross_entropy, lambda x, y: torch.zeros(4), "expected [0.17, 1.099"),
        (check_class_logits, class_logits, "Right!"),
        (check_class_logits, lambda f, w, b: None, NOT_YET),
        (check_class_logits, lambda f, w, b: activation_maps(f, w), "[2, 7]; got the shape [2, 7, 3"),
        (check_class_logits, lambda f, w, b: class_logits(f, w, b).T, "Faces are rows"),
        (check_class_logits, lambda f, w, b: class_logits(f, w, 0), "bias is missing"),
        (check_class_logits, lambda f, w, b: f.mean((2, 3)) @ w + b, "weights.T is [C, K]"),
        (check_class_logits, lambda f, w, b: f.mean((1, 2)) @ w.T + b, "over the places is [B, C]"),
        (check_class_logits, unfinished, "stopped with NotImplementedError"),
        (check_class_logits, lambda f, w, b: class_logits(12 * f, w, b), "take their mean"),
        (check_class_logits, lambda f, w, b: f.amax((2, 3)) @ w.T + b, "largest place"),
        (check_class_logits, lambda f, w, b: class_logits(f, w, b).softmax(1), "probabilities"),
        (check_class_logits, lambda f, w, b: class_logits(f, -w, b), "the numbers are not"),
        (check_confusion_matrix, counted, "Right!"),
        (check_confusion_matrix, lambda t, p, k: None, NOT_YET),
        (check_confusion_matrix, lambda t, p, k: counted(t, p, 3), "[4, 4]; got"),
        (check_confusion_matrix, lambda t, p, k: counted(p, t, k), "exchanged"),
        (check_confusion_matrix, marked, "add up"),
        (check_confusion_matrix, lambda t, p, k: counted(t, p, k).numpy(), "got ndarray"),
        (check_confusion_matrix, lambda t, p, k: counted(t, p, k) / 8, "shares"),
        (check_confusion_matrix, lambda t, p, k: row_shares(counted(t, p, k)), "shares"),
        (check_confusion_matrix, lambda t, p, k: counted(t, p, k) + 1, "expected [[2, 1"),
    ],
)  # fmt: skip
def test_check_of_the_primer(check, answer, says, capsys):
    check(answer)
    assert says in capsys.readouterr().out


RIGHT_REAL_NUMBERS = [
    (check_symmetric_matrix, symmetric_matrix),
    (check_flip_consistency, flip_consistency),
    (check_class_activation_maps, activation_maps),
    (check_region_share, lambda a, i: (a * i).sum() / a.sum()),
    (check_margin, margin),
    (check_cross_entropy, sample_losses),
    (check_class_logits, class_logits),
]
RIGHT_TENSORS = [
    *RIGHT_REAL_NUMBERS,
    (check_kept_by_loss, lambda x, r: x.argsort()[: round(len(x) * (1 - r))]),
    (check_majority_of_neighbours, lambda n, y: y[n].mode(1).values),
    (check_suspects, lambda n, y: y[n].mode(1).values != y),
    (check_first_of_each_class, first_of_each),
    (check_copies, in_any),
    (check_confusion_matrix, counted),
]


@pytest.mark.parametrize(("check", "answer"), RIGHT_TENSORS)
def test_right_numbers_that_are_no_tensor_are_refused_because_the_notebook_computes_with_them(
    check, answer, capsys
):
    check(answer)
    check(lambda *inputs: answer(*inputs).numpy())
    right, refused = capsys.readouterr().out.splitlines()
    assert right == "Right!"
    assert refused.startswith("Not quite: expected a tensor of PyTorch; got ")


@pytest.mark.parametrize(("check", "answer"), RIGHT_REAL_NUMBERS)
def test_right_numbers_in_double_precision_are_right(check, answer, capsys):
    check(lambda *inputs: answer(*inputs).double())
    assert capsys.readouterr().out == "Right!\n"


def test_a_notebook_goes_on_with_a_solved_exercise_and_with_an_open_one(capsys):
    def mine(maps, maps_of_mirror):
        return ((maps - maps_of_mirror.flip(-1)) ** 2).mean()

    def open_one(maps, maps_of_mirror):
        pass

    def failing(maps, maps_of_mirror):
        raise ValueError

    assert yours_or_ours(mine, flip_consistency, check_flip_consistency) is mine
    assert "mine: your own code" in capsys.readouterr().out
    for other in (open_one, failing):
        assert yours_or_ours(other, flip_consistency, check_flip_consistency) is flip_consistency
        assert "our code" in capsys.readouterr().out


SHAPES = [
    (check_symmetric_matrix, lambda rate, k: torch.ones(k), "[7, 7]", "[7]"),
    (check_flip_consistency, lambda m, o: m, "one number", "[2, 3, 4, 5]"),
    (check_class_activation_maps, lambda f, w: f, "[2, 7, 3, 4]", "[2, 5, 3, 4]"),
    (check_region_share, lambda a, i: a * i, "one number", "[6, 6]"),
    (check_precision_and_recall, lambda s, w: s.sum(), "2 numbers (precision, recall)", "Tensor"),
    (check_precision_and_recall, lambda s, w: (s, w), "one number (precision)", "[10]"),
    (check_kept_by_loss, lambda x, r: x.argsort()[:7, None], "[7]", "[7, 1]"),
    (check_majority_of_neighbours, lambda n, y: y[n], "[6]", "[6, 3]"),
    (check_suspects, lambda n, y: y[n] != y[:, None], "[6]", "[6, 3]"),
    (check_exchange, lambda a, b, n: b, "two results", ""),
    (check_exchange, lambda a, b, n: (b[0], a), "[3]", "[]"),
    (check_relabel, lambda p, y, low, m: p, "[5]", "[5, 3]"),
    (check_copies, lambda a, b: b == b, "[4]", "[4, 1, 4, 4]"),
    (check_area_under_curve, lambda s, w: s[w][:, None] > s[~w], "one number", "[2, 4]"),
    (check_flattery, lambda a: a, "one number", "[8]"),
    (check_mean_and_spread, lambda a: a.mean(), "2 numbers (the mean, the standard", "float64"),
    (check_paired, lambda a, b: (a, b, b), "one number (seeds in which A is better)", "[4]"),
]


@pytest.mark.parametrize(("check", "answer", "expected", "found"), SHAPES)
def test_a_wrong_shape_is_told_which_one_is_expected(capsys, check, answer, expected, found):
    check(answer)
    said = capsys.readouterr().out
    assert said.startswith("Not quite: ") and "expected" in said.lower()
    assert expected in said and found in said


def test_a_wrong_shape_of_a_single_answer(capsys):
    check_right_share(torch.ones(7), NOISY, 6)
    check_best_epoch(HISTORY["test_accuracy"], HISTORY)
    shares, epochs = capsys.readouterr().out.splitlines()
    assert "one number (a share); got the shape [7]" in shares
    assert "one number (an epoch); got the shape [4]" in epochs
