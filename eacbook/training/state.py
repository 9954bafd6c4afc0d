"""The state of a training, which hooks see, and the finished run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from eacbook.augment.batch import Batch, last_places
from eacbook.data.faces import FaceData
from eacbook.extras import load
from eacbook.methods import Method
from eacbook.noise.labels import NoisyLabels
from eacbook.training.batches import batches
from eacbook.training.recipe import Recipe

LAST_EPOCHS = 5
"""The published number is the mean test accuracy over these last epochs, never the best epoch."""


@dataclass
class Training:
    """The state of a training; hooks can read and change it.

    Attributes:
        network: the network in training, with the parts that the method added.
        method, faces, noisy, recipe, optimizer, scheduler: the parts of the training; the images of the
            faces are on the device, unless they are read from a file.
        settings: everything that decides the result, as plain values; see
            :func:`eacbook.training.identity.describe_training`.
        device: the device of the training.
        batch_sizes: the number of faces in each batch of an epoch; see
            :func:`eacbook.training.batches.split_batches`.
        epoch: the number of finished epochs.
        labels: int64 ``[N]`` on the device, the labels to train on: the given labels, unless the method
            changed some.
        threads: the number of CPU threads, one for each free core. A training that continues from a
            checkpoint keeps its number, because the last digits of a sum depend on it.
        losses: the loss and its parts for every batch of this epoch, scalars on the device.
        samples: the values that the method gave for every training face in this epoch: float32 ``[N]``
            or ``[N,K]`` on the device, under the names of the method. A value is NaN if the face did not
            come; if it came several times, the last value counts.
        row: the values of this epoch; hooks add columns after the epoch.
        rows: the rows of all finished epochs.
        records: tensors that hooks record; the first dimension of each is the epoch. They are saved in
            checkpoints and are part of the run.
        stop: a hook sets it to True to end the training after this epoch.
        chosen_epoch: set by a hook that restores the network of an earlier epoch: which epoch it is.
        confusion_matrix: int64 ``[K,K]``, set at the end; see :class:`Run`.
    """

    network: nn.Module
    method: Method
    faces: FaceData
    noisy: NoisyLabels
    recipe: Recipe
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    settings: dict[str, Any]
    device: torch.device
    batch_sizes: list[int]
    labels: Tensor
    threads: int
    epoch: int = 0
    losses: list[dict[str, Tensor]] = field(default_factory=list)
    samples: dict[str, Tensor] = field(default_factory=dict)
    row: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    records: dict[str, Tensor] = field(default_factory=dict)
    stop: bool = False
    chosen_epoch: int | None = None
    confusion_matrix: Tensor | None = None

    @property
    def batches_per_epoch(self) -> int:
        """The number of batches in an epoch."""
        return len(self.batch_sizes)

    def batches(self) -> Iterator[Batch]:
        """The batches of this epoch; see :func:`eacbook.training.batches.batches`."""
        return batches(self.faces, self.noisy, self.recipe, self.epoch, self.device, self.labels)

    def begin_epoch(self) -> None:
        """Start the row of the epoch, and clear the losses of the epoch before."""
        learning_rate = self.scheduler.get_last_lr()[0]
        self.row = {"epoch": self.epoch + 1, "learning_rate": learning_rate}
        self.losses, self.samples = [], {}

    def collect(self, batch: Batch, losses: dict[str, Tensor]) -> None:
        """Store the losses of a batch: scalars for the means of the epoch, other values for each face.

        In a balanced epoch a face may be several times in one batch: then its last place counts.
        """
        scalars = {}
        last = last_places(batch.index) if self.recipe.balanced else slice(None)
        for name, value in losses.items():
            if not name.startswith("sample_"):
                scalars[name] = value.detach()
                continue
            if name == "sample_labels":
                self.labels[batch.index] = value[last]
            if name not in self.samples:
                shape = len(self.labels), *value.shape[1:]
                self.samples[name] = torch.full(
                    shape, math.nan, dtype=torch.float32, device=self.labels.device
                )
            self.samples[name][batch.index] = value.detach().float()[last]
        self.losses.append(scalars)

    def end_epoch(self) -> None:
        """Count the epoch and store its row."""
        self.rows.append(self.row)
        self.epoch += 1

    def to_run(self) -> Run:
        """The run of a finished training."""
        return Run(
            self.network.eval(), self.rows, self.noisy, self.settings, records=self.records,
            chosen_epoch=self.chosen_epoch, threads=self.threads,
            confusion_matrix=self.confusion_matrix,
        )  # fmt: skip


def best_validation_epoch(rows: Sequence[dict[str, Any]]) -> int:
    """The first epoch (from 1) with the best accuracy on the validation faces.

    Args:
        rows: one dictionary per epoch, each with ``validation_accuracy``.
    """
    reached = [row["validation_accuracy"] for row in rows]
    return reached.index(max(reached)) + 1


@dataclass(frozen=True)
class Run:
    """A finished training.

    Attributes:
        network: the trained network.
        rows: one dictionary per epoch: epoch, learning_rate, loss and its parts, test_accuracy,
            mean_class_accuracy (of the test faces), validation_accuracy (if there is a split),
            memorised, recovered, seconds (of training, without evaluation), how the method used the
            labels (selected_right, relabelled, relabelled_rightly), and the columns of further hooks.
        noisy: the training labels.
        settings: everything that decided the result; see
            :func:`eacbook.training.identity.describe_training`.
        stored: True if it was read from disk and not trained now.
        records: tensors that hooks recorded; the first dimension of each is the epoch.
        chosen_epoch: the epoch (from 1) of the network, if a hook chose one, as
            :class:`eacbook.training.hooks.EarlyStopping` does; None means the last epoch.
        threads: the number of CPU threads; another number changes the last digits.
        confusion_matrix: int64 ``[K,K]``, of the network on the test faces, in numbers of faces: rows
            are true classes, columns are predicted classes. None for a run that was stored before
            eacbook counted them; its rows have no mean_class_accuracy either.
    """

    network: nn.Module
    rows: list[dict[str, Any]]
    noisy: NoisyLabels
    settings: dict[str, Any]
    stored: bool = False
    records: dict[str, Tensor] = field(default_factory=dict)
    chosen_epoch: int | None = None
    threads: int | None = None
    confusion_matrix: Tensor | None = None

    @property
    def history(self) -> Any:
        """The rows as a pandas DataFrame, indexed by epoch (from 1)."""
        pandas = load("pandas")  # slow to import, and only readers of tables need it
        return pandas.DataFrame(self.rows).set_index("epoch")

    @property
    def summary(self) -> dict[str, Any]:
        """The main numbers of the run; accuracies and shares are between 0 and 1.

        ``test_accuracy`` is the mean over the last five epochs. ``mean_class_accuracy`` is the mean
        over the same epochs of the accuracy in which every class of the test faces counts equally; it
        is None for a run that was stored before eacbook measured it. ``test_accuracy_last`` is that of
        the last epoch, ``test_accuracy_best`` that of the best one, ``best_epoch``.
        ``validation_accuracy``, for choosing, is a mean over the same epochs; it is None without a
        validation split. ``memorised`` and ``recovered`` belong to the network, which is from
        ``network_epoch``.

        If a hook chose the epoch of the network (early stopping), ``test_accuracy``,
        ``mean_class_accuracy`` and ``validation_accuracy`` are those of this epoch alone: the run has
        no other network. ``epochs`` and ``seconds`` count everything that was trained.
        """
        rows, accuracies = self.rows, [row["test_accuracy"] for row in self.rows]
        network_epoch = self.chosen_epoch or len(rows)
        of_network = rows[network_epoch - 1]
        counted = [of_network] if self.chosen_epoch else rows[-LAST_EPOCHS:]

        def over_counted(name: str) -> float | None:
            if not all(name in row for row in counted):
                return None
            mean: float = sum(row[name] for row in counted) / len(counted)
            return mean

        return {
            "test_accuracy": over_counted("test_accuracy"),
            "mean_class_accuracy": over_counted("mean_class_accuracy"),
            "validation_accuracy": over_counted("validation_accuracy"),
            "test_accuracy_last": accuracies[-1],
            "test_accuracy_best": max(accuracies),
            "best_epoch": accuracies.index(max(accuracies)) + 1,
            "memorised": of_network["memorised"],
            "recovered": of_network["recovered"],
            "network_epoch": network_epoch,
            "epochs": len(rows),
            "seconds": sum(row["seconds"] for row in rows),
        }
