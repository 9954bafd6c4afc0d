"""Confusions of classes, and precision and recall of suspecting labels."""

import math

import torch

from eacbook.evaluation.evaluate import (
    accuracy,
    confusion_matrix,
    mean_class_accuracy,
    precision_and_recall,
)


def test_precision_and_recall_by_hand():
    suspected = torch.tensor([True, True, True, True, False, False])
    flipped = torch.tensor([True, False, False, True, True, False])
    assert precision_and_recall(suspected, flipped) == (2 / 4, 2 / 3)
    nothing = torch.zeros(6, dtype=torch.bool)
    precision, recall = precision_and_recall(nothing, flipped)
    assert math.isnan(precision) and recall == 0
    precision, recall = precision_and_recall(suspected, nothing)
    assert precision == 0 and math.isnan(recall)


def test_confusions_by_hand():
    """Four classes, the last one without a face: rows are true classes, columns are predicted ones."""
    labels = torch.tensor([0, 0, 0, 0, 1, 2, 2])
    predicted = torch.tensor([0, 0, 1, 3, 2, 2, 2])
    logits = torch.nn.functional.one_hot(predicted, 4).float()
    matrix = confusion_matrix(logits, labels)
    assert matrix.tolist() == [[2, 1, 0, 1], [0, 0, 1, 0], [0, 0, 2, 0], [0, 0, 0, 0]]
    assert matrix.dtype == torch.int64
    assert matrix.trace() / matrix.sum() == accuracy(logits, labels) == 4 / 7
    assert mean_class_accuracy(matrix) == (2 / 4 + 0 + 1) / 3, "classes that occur count equally"
    assert math.isnan(mean_class_accuracy(torch.zeros(4, 4, dtype=torch.int64)))
