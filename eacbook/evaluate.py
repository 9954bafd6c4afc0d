"""What a trained network says of faces: predictions, accuracy, memorised and recovered labels."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from eacbook.augment import normalise
from eacbook.checks import row_numbers, whole_number
from eacbook.images import Images, fetch
from eacbook.networks import evaluation_mode
from eacbook.noise import NoisyLabels

BATCH_SIZE = 128


@torch.no_grad()
def predict(
    network: nn.Module, images: Images, size: int | None = None, rows: Tensor | None = None
) -> Tensor:
    """Logits ``[N,K]`` on the CPU, in evaluation mode.

    Args:
        network: gives ``(logits, maps)``.
        images: uint8 ``[N,C,H,W]`` on any device, or in a file, which is read batch by batch.
        size: pixels at which the network works; None keeps the stored size.
        rows: int64 ``[n]``, of these images alone; the logits are then ``[n,K]``.
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
    """Share of ``[N,K]`` logits whose largest entry is the label ``[N]``."""
    return (logits.argmax(1) == labels).double().mean().item()


def memorised_and_recovered(logits_of_flipped: Tensor, noisy: NoisyLabels) -> tuple[float, float]:
    """Shares of the wrong training labels predicted as given, and as the true class.

    Args:
        logits_of_flipped: ``[F,K]``, of the F > 0 training faces whose label is wrong, in order.
        noisy: the training labels.

    Returns:
        ``(memorised, recovered)``.
    """
    flipped = noisy.flipped
    return (
        accuracy(logits_of_flipped, noisy.given[flipped]),
        accuracy(logits_of_flipped, noisy.true[flipped]),
    )


def sample_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of every sample, ``[N]`` in nats, from logits ``[N,K]`` and labels ``[N]``."""
    return functional.cross_entropy(logits, labels, reduction="none")


def loss_shares(
    losses: Tensor, flipped: Tensor, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Histograms of the losses of right and of wrong labels, as shares of each.

    Args:
        losses: float ``[N]``, in nats; labels whose loss is not a number are left out.
        flipped: bool ``[N]``, which labels are wrong.
        edges: ``[n+1]``; the last step holds all that lies beyond, too.

    Returns:
        Two ``[n]``, each with the sum 1 (or 0 where there is no such label).
    """
    values, wrong = losses.clamp(max=float(edges[-1])).numpy(), flipped.numpy()
    known = ~np.isnan(values)
    counts = [np.histogram(values[known & (wrong == kind)], edges)[0] for kind in (False, True)]
    return tuple(count / max(count.sum(), 1) for count in counts)


def precision_and_recall(suspected: Tensor, flipped: Tensor) -> tuple[float, float]:
    """How well suspected labels, bool ``[N]``, match the wrong ones, bool ``[N]``.

    Returns:
        ``(precision, recall)``: the share of the suspected that are wrong (not a number if none is
        suspected), and the share of the wrong that are suspected (not a number if none is wrong).
    """
    found = (suspected & flipped).sum().item()
    counts = suspected.sum().item(), flipped.sum().item()
    return tuple(found / count if count else math.nan for count in counts)
