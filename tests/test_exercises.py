"""The checks accept what is right and say what is wrong, and never raise."""

import pandas as pd
import pytest
import torch

from eacbook.evaluate import precision_and_recall
from eacbook.exercises import (
    NOT_YET,
    check_best_epoch,
    check_class_activation_maps,
    check_flip_consistency,
    check_kept_by_loss,
    check_majority_of_neighbours,
    check_precision_and_recall,
    check_region_share,
    check_right_share,
    check_suspects,
    check_symmetric_matrix,
)
from eacbook.noise import inject_noise, symmetric_matrix

NOISY = inject_noise(torch.arange(700) % 7, 0.3, 7)
HISTORY = pd.DataFrame(
    {"validation_accuracy": [0.2, 0.6, 0.5], "test_accuracy": [0.1, 0.5, 0.7]}, index=[1, 2, 3]
)


def activation_maps(features, weights):
    return torch.einsum("kc,bchw->bkhw", weights, features)


def uniform(rate, k):
    """The mistake of letting a label be flipped to itself."""
    return torch.full((k, k), rate / k) + torch.eye(k) * (1 - rate)


@pytest.mark.parametrize(
    ("check", "answer", "says"),
    [
        (check_symmetric_matrix, symmetric_matrix, "Right!"),
        (check_symmetric_matrix, lambda rate, k: None, NOT_YET),
        (check_symmetric_matrix, lambda rate, k: torch.eye(3), "7 x 7"),
        (check_symmetric_matrix, lambda rate, k: torch.eye(k) * 0.7, "sums to 0.700"),
        (check_symmetric_matrix, uniform, "its own class"),
        (check_symmetric_matrix, lambda rate, k: symmetric_matrix(0.3, 7), "not for 3"),
        (check_symmetric_matrix, lambda rate, k: 1 / 0, "ZeroDivisionError"),
        (check_flip_consistency, lambda a, b: ((a - b.flip(-1)) ** 2).mean(), "Right!"),
        (check_flip_consistency, lambda a, b: None, NOT_YET),
        (check_flip_consistency, lambda a, b: ((a - b) ** 2).mean(), "not flipped back"),
        (check_flip_consistency, lambda a, b: ((a - b.flip(-2)) ** 2).mean(), "upside down"),
        (check_flip_consistency, lambda a, b: ((a - b.flip(-1)) ** 2).sum(), "the sum"),
        (check_flip_consistency, lambda a, b: (a - b.flip(-1)).abs().mean(), "squared"),
        (check_flip_consistency, lambda a, b: (a - b.flip(-1)) ** 2, "one number"),
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
        (check_majority_of_neighbours, lambda n, y: y[n], "one label for each"),
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
        (0.123, "column of noisy.counts"),
        ("many", "ValueError"),
    ],
)
def test_check_of_the_right_share(answer, says, capsys):
    check_right_share(answer, NOISY, 1)
    assert says in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "says"),
    [(..., NOT_YET), (2, "Right!"), (3, "peeking"), (1, "count from 1"), (9, "not at its highest")],
)
def test_check_of_the_best_epoch(answer, says, capsys):
    check_best_epoch(answer, HISTORY)
    assert says in capsys.readouterr().out
