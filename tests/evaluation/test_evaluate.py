"""Precision and recall of suspecting labels."""

import math

import torch

from eacbook.evaluation.evaluate import precision_and_recall


def test_precision_and_recall_by_hand():
    suspected = torch.tensor([True, True, True, True, False, False])
    flipped = torch.tensor([True, False, False, True, True, False])
    assert precision_and_recall(suspected, flipped) == (2 / 4, 2 / 3)
    nothing = torch.zeros(6, dtype=torch.bool)
    precision, recall = precision_and_recall(nothing, flipped)
    assert math.isnan(precision) and recall == 0
    precision, recall = precision_and_recall(suspected, nothing)
    assert precision == 0 and math.isnan(recall)
