"""The checks accept what is right and say what is wrong, and never raise."""

import pandas as pd
import pytest
import torch

from eacbook.exercises import (
    NOT_YET,
    check_best_epoch,
    check_flip_consistency,
    check_right_share,
    check_symmetric_matrix,
)
from eacbook.noise import inject_noise, symmetric_matrix

NOISY = inject_noise(torch.arange(700) % 7, 0.3, 7)
HISTORY = pd.DataFrame(
    {"validation_accuracy": [0.2, 0.6, 0.5], "test_accuracy": [0.1, 0.5, 0.7]}, index=[1, 2, 3]
)


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
