"""Evaluate a trained network: predictions, accuracy, confusions, memorised and recovered labels."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from eacbook.augment.normalise import normalise
from eacbook.checks import row_numbers, whole_number
from eacbook.data.images import Images, fetch
from eacbook.models.networks import evaluation_mode
from eacbook.noise.labels import NoisyLabels

BATCH_SIZE = 128


@torch.no_grad()
def predict(
    network: nn.Module, images: Images, size: int | None = None, rows: Tensor | None = None
) -> Tensor:
    """Logits ``[N,K]`` on the CPU, in evaluation mode.

    Args:
        network: returns ``(logits, maps)``.
        images: uint8 ``[N,C,H,W]`` on any device, or in a file, which is read batch by batch.
        size: height and width of the network's input in pixels; None keeps the stored size.
        rows: int64 ``[n]``, predict only these images; the logits are then ``[n,K]``.
    """
    device = next(network.parameters()).device
    size = size if size is None else whole_number("size", size, 1)
    rows = rows if rows is None else row_numbers("rows", rows, len(images))
    if rows is None:
        parts = (images[first : first + BATCH_SIZE] for first in range(0, len(images), BATCH_SIZE))
    else:
        parts = (fetch(images, part) for part in rows.split(BATCH_SIZE))
    with evaluation_mode(network):
        logits = [network(normalise(part.to(device), size))[0] for part in parts]
    return torch.cat(logits).float().cpu()


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """The share of samples whose largest logit, of ``[N,K]``, is that of the label, ``[N]``."""
    return (logits.argmax(1) == labels).double().mean().item()


def confusion_matrix(logits: Tensor, labels: Tensor) -> Tensor:
    """How often each class was predicted as each other one.

    Args:
        logits: ``[N,K]``; the prediction is the class with the largest logit.
        labels: int64 ``[N]``, the true classes.

    Returns:
        int64 ``[K,K]``, numbers of samples: rows are true classes, columns are predicted classes.
    """
    num_classes = logits.shape[1]
    pairs = labels * num_classes + logits.argmax(1)
    return pairs.bincount(minlength=num_classes**2).view(num_classes, num_classes)


def mean_class_accuracy(matrix: Tensor) -> float:
    """The accuracy of each class, averaged over the classes: every class counts equally.

    Args:
        matrix: int64 ``[K,K]``, from :func:`confusion_matrix`.

    Returns:
        The mean, 0 to 1, over the classes that have a sample; NaN if there is no sample at all.
    """
    samples = matrix.sum(1)
    return (matrix.diagonal() / samples.double())[samples > 0].mean().item()


def memorised_and_recovered(logits_of_wrong: Tensor, noisy: NoisyLabels) -> tuple[float, float]:
    """Shares of the wrong training labels that are predicted as given, and as the true class.

    Args:
        logits_of_wrong: ``[F,K]``, of the F > 0 training faces with a wrong label, in order.
        noisy: the training labels.

    Returns:
        ``(memorised, recovered)``.
    """
    wrong = noisy.wrong
    return (
        accuracy(logits_of_wrong, noisy.given[wrong]),
        accuracy(logits_of_wrong, noisy.true[wrong]),
    )


def sample_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of every sample, ``[N]`` in nats, from logits ``[N,K]`` and labels ``[N]``."""
    return functional.cross_entropy(logits, labels, reduction="none")


def loss_shares(losses: Tensor, wrong: Tensor, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Histograms of the losses of the right labels and of the wrong labels, as shares.

    Args:
        losses: float ``[N]``, in nats; labels with the loss NaN are left out.
        wrong: bool ``[N]``, which labels are wrong.
        edges: ``[n+1]``; larger losses are counted in the last step.

    Returns:
        Two arrays ``[n]``; the sum of each is 1 (or 0 if there are no such labels).
    """
    values, is_wrong = losses.clamp(max=float(edges[-1])).numpy(), wrong.numpy()
    known = ~np.isnan(values)
    counts = [np.histogram(values[known & (is_wrong == kind)], edges)[0] for kind in (False, True)]
    of_right, of_wrong = (count / max(count.sum(), 1) for count in counts)
    return of_right, of_wrong


def precision_and_recall(suspected: Tensor, wrong: Tensor) -> tuple[float, float]:
    """How well suspected labels, bool ``[N]``, match the wrong ones, bool ``[N]``.

    Returns:
        ``(precision, recall)``: the share of the suspected labels that are wrong (NaN if none is
        suspected), and the share of the wrong labels that are suspected (NaN if none is wrong).
    """
    found = (suspected & wrong).sum().item()
    counts = suspected.sum().item(), wrong.sum().item()
    precision, recall = (found / count if count else math.nan for count in counts)
    return precision, recall
