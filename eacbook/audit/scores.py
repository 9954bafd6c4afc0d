"""How doubtful every label is: by one EAC training, or by trainings out of fold.

A label is doubtful if the trained network gives it a small probability. EAC hardly memorises wrong
labels, so its network can be asked about the pictures that it was trained on. Two other signs stand
beside this doubt: the mean loss over the epochs (AUM and similar scores use the same records), and the
share of the nearest neighbours in feature space that have another given label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from eacbook.audit.plan import Plan
from eacbook.audit.source import AuditSet
from eacbook.augment.normalise import normalise
from eacbook.data.images import Images, fetch
from eacbook.errors import InputError
from eacbook.experiments.runs import find_or_train
from eacbook.extras import load
from eacbook.methods.eac import EAC
from eacbook.models.networks import WithParts, build_network, evaluation_mode
from eacbook.training.hooks import Progress, SampleLosses
from eacbook.training.state import Run, Training

NEIGHBOURS, SHOWN = 10, 3
"""Neighbours that are counted, and those that the report names."""

BATCH_SIZE, QUERIES = 128, 10_000
"""Pictures that are predicted at once, and rows whose neighbours are searched at once."""


def combine(doubt: Tensor, mean_loss: Tensor, neighbours_other: Tensor) -> Tensor:
    """The score that decides the rank, float64 ``[N]`` from 0 to 1: the doubt alone.

    Args:
        doubt: 1 minus the probability of the given label, ``[N]``.
        mean_loss: mean loss over the epochs, ``[N]`` in nats; NaN for a row without training.
        neighbours_other: share of the nearest neighbours with another given label, ``[N]``.
    """
    return doubt


@dataclass(frozen=True)
class Scores:
    """What the trainings say about every row of a set.

    Attributes:
        given: int64 ``[N]``, the checked labels.
        probabilities: float64 ``[N,K]`` of the network that judges the row.
        mean_loss: float64 ``[N]`` in nats, over the epochs; NaN for a row without training.
        neighbours: int64 ``[N,k]``, rows of the nearest neighbours, the nearest first.
        runs: the trainings.
        judge: int64 ``[N]``, which run judges the row.
    """

    given: Tensor
    probabilities: Tensor
    mean_loss: Tensor
    neighbours: Tensor
    runs: tuple[Run, ...]
    judge: Tensor

    @property
    def doubt(self) -> Tensor:
        """float64 ``[N]``: 1 minus the probability of the given label."""
        return 1 - self.probabilities.gather(1, self.given[:, None]).squeeze(1)

    @property
    def neighbours_other(self) -> Tensor:
        """float64 ``[N]``: the share of the neighbours with another given label."""
        return (self.given[self.neighbours] != self.given[:, None]).double().mean(1)

    @property
    def score(self) -> Tensor:
        """float64 ``[N]``: :func:`combine` of the three signs."""
        return combine(self.doubt, self.mean_loss, self.neighbours_other)

    @property
    def order(self) -> Tensor:
        """int64 ``[N]``: the rows, the most doubtful first; equal scores in the order of rows."""
        return self.score.argsort(descending=True, stable=True)


def score_labels(found: AuditSet, plan: Plan, folder: str | Path, purpose: str = "audit") -> Scores:
    """Train, and judge every row.

    Without folds one network is trained, and judges all rows. With folds a training row is judged by
    the network that did not see it, and the other rows by the mean of all networks.

    Args:
        found: the set.
        plan: from :func:`eacbook.audit.plan.make_plan`.
        folder: the folder of the stored runs. A run that is there is not trained again.
        purpose: a word for the settings of the runs.

    Raises:
        InputError: scikit-learn is not installed, or a stored run is broken.
        KeyboardInterrupt: the training was interrupted; its whole epochs are kept.
    """
    load("sklearn")
    folds = split_folds(found, plan) if plan.folds else [found.trained[:0]]
    count = len(found)
    total = torch.zeros(count, found.num_classes, dtype=torch.float64)
    losses, trained_in = torch.zeros(count, dtype=torch.float64), torch.zeros(count)
    judge, judged = torch.zeros(count, dtype=torch.int64), torch.zeros(count)
    neighbours = torch.zeros(count, min(NEIGHBOURS, count - 1), dtype=torch.int64)
    runs = []
    is_trained = torch.zeros(count, dtype=torch.bool)
    is_trained[found.trained] = True
    for number, held_out in enumerate(folds):
        rows = found.trained[~torch.isin(found.trained, held_out)]
        label = purpose if not plan.folds else f"{purpose}, fold {number + 1} of {plan.folds}"
        run = _train(found, plan, folder, rows, purpose, label)
        runs.append(run)
        losses[rows] += run.records["sample_losses"].double().nanmean(0)
        trained_in[rows] += 1
        asked = ~is_trained if plan.folds else torch.ones(count, dtype=torch.bool)
        asked[held_out] = True
        probabilities, features = predict_with_features(
            run.network, found.pictures.images, plan.size
        )
        total[asked] += probabilities[asked]
        judged[asked] += 1
        judge[asked] = number
        neighbours[asked] = nearest(features, asked.nonzero().squeeze(1), neighbours.shape[1])
    mean_loss = torch.where(trained_in > 0, losses / trained_in.clamp(min=1), torch.nan)
    return Scores(found.given, total / judged[:, None], mean_loss, neighbours, tuple(runs), judge)


def split_folds(found: AuditSet, plan: Plan) -> list[Tensor]:
    """The training rows in folds, stratified by the given label; no person is in two folds.

    Returns:
        For every fold the rows that it holds out, int64 ``[n]``.

    Raises:
        InputError: the other folds hold no picture of a class that a fold holds.
    """
    selection = load("sklearn.model_selection")
    rows = found.trained
    labels = found.given[rows].numpy()
    # numpy's seeds, which scikit-learn uses, end at 2^32.
    options = {"n_splits": plan.folds, "shuffle": True, "random_state": plan.seed % 2**32}
    if found.persons is None:
        parts = selection.StratifiedKFold(**options).split(labels, labels)
    else:
        persons = [found.persons[row] for row in rows.tolist()]
        parts = selection.StratifiedGroupKFold(**options).split(labels, labels, persons)
    folds = []
    for others, held_out in parts:
        unseen = set(labels[held_out].tolist()) - set(labels[others].tolist())
        if unseen:
            name = found.classes[min(unseen)]
            raise InputError(
                f"{plan.folds} folds leave class {name} out of a training, because too few persons have "
                "it: use fewer folds, or one training"
            )
        folds.append(rows[torch.from_numpy(np.asarray(held_out))])
    return folds


class _QuietProgress(Progress):
    """Progress without an accuracy: there is no test of an audit's training."""

    def on_epoch_end(self, training: Training) -> None:
        self._show(training)


def _train(
    found: AuditSet, plan: Plan, folder: str | Path, rows: Tensor, purpose: str, label: str
) -> Run:
    faces, noisy = found.training(rows, purpose)
    network = build_network(
        plan.network, found.num_classes, weights=plan.weights, seed=plan.seed, faces=faces
    )
    return find_or_train(
        EAC(), network, faces, noisy, folder=folder, device=plan.device,
        hooks=[SampleLosses(), _QuietProgress(label)], **plan.recipe,
    )  # fmt: skip


@torch.no_grad()
def predict_with_features(
    network: WithParts, images: Images, size: int | None
) -> tuple[Tensor, Tensor]:
    """Probabilities, float64 ``[N,K]``, and pooled features, float32 ``[N,C]``, on the CPU.

    Args:
        network: a network with ``backbone`` and ``classify``.
        images: uint8 ``[N,C,H,W]``; images in a file are read batch by batch.
        size: height and width of the network's input in pixels; None keeps the stored size.
    """
    device = next(network.parameters()).device
    logits, features = [], []
    with evaluation_mode(network):
        firsts = range(0, len(images), BATCH_SIZE)
        for first in tqdm(firsts, "predictions", unit=" batches", disable=None, leave=False):
            part = images[first : first + BATCH_SIZE].to(device)
            values = network.backbone(normalise(part, size))
            logits.append(network.classify(values)[0].cpu())
            features.append(values.mean((2, 3)).float().cpu())
    return torch.cat(logits).double().softmax(1), torch.cat(features)


def nearest(features: Tensor, rows: Tensor, count: int) -> Tensor:
    """The nearest neighbours of some rows among all rows, by the cosine of the features.

    Args:
        features: float ``[N,C]``.
        rows: int64 ``[n]``, whose neighbours are wanted.
        count: k, less than N.

    Returns:
        int64 ``[n,k]``, the nearest first, without the row itself.
    """
    neighbors = load("sklearn.neighbors")
    unit = functional.normalize(features.float(), dim=1).numpy()
    search = neighbors.NearestNeighbors(n_neighbors=count + 1, algorithm="brute").fit(unit)
    parts = tqdm(rows.split(QUERIES), "neighbours", unit=" parts", disable=None, leave=False)
    found = torch.cat([
        torch.from_numpy(search.kneighbors(unit[part.numpy()], return_distance=False))
        for part in parts
    ])  # fmt: skip
    itself = found == rows[:, None]
    # If many rows have the same features, a row may not be among its own nearest.
    itself[~itself.any(1), -1] = True
    return found[~itself].view(len(rows), count)


@torch.no_grad()
def attention_of_both(
    runs: Sequence[Run],
    judge: Tensor,
    images: Images,
    rows: Tensor,
    classes: Tensor,
    size: int | None,
) -> Tensor:
    """Class activation maps of some rows for two classes each.

    Args:
        runs, judge: as in :class:`Scores`.
        images: all N images.
        rows: int64 ``[M]``.
        classes: int64 ``[M,2]``.
        size: as for :func:`predict_with_features`.

    Returns:
        float32 ``[M,2,h,w]`` on the CPU.
    """
    maps: list[Tensor | None] = [None] * len(rows)
    for number, run in enumerate(runs):
        network: nn.Module = run.network
        device = next(network.parameters()).device
        places = (judge[rows] == number).nonzero().squeeze(1)
        with evaluation_mode(network):
            for part in places.split(BATCH_SIZE):
                pictures = fetch(images, rows[part]).to(device)
                of_all = network(normalise(pictures, size))[1].float().cpu()
                for place, own in zip(part.tolist(), of_all, strict=True):
                    maps[place] = own[classes[place]]
    return torch.stack([one for one in maps if one is not None])
