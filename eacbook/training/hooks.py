"""Hooks: objects that the training loop calls. A hook does not depend on widgets or figures.

You can write your own hook in a few lines::

    class PrintMemorised(Hook):
        def on_epoch_end(self, training):
            print(training.epoch + 1, training.row["memorised"])

    train(EAC(), network, faces, noisy, epochs=10, hooks=[PrintMemorised()])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from tqdm.auto import tqdm

from eacbook.checks import whole_number
from eacbook.errors import InputError
from eacbook.evaluation.evaluate import (
    accuracy,
    confusion_matrix,
    mean_class_accuracy,
    memorised_and_recovered,
    predict,
)
from eacbook.training import distributed
from eacbook.training.state import best_validation_epoch

if TYPE_CHECKING:
    from eacbook.training.state import Training


class Hook:
    """The base of all hooks: the loop calls its methods; override what you need.

    During ``on_epoch_end`` the epoch is not yet counted: ``training.epoch`` is the number of epochs
    before it. A hook can add columns to ``training.row``.
    """

    def describe(self) -> dict[str, Any] | None:
        """Plain values that enter the settings of the run; None for a hook that only watches.

        A hook must describe itself if it changes the result or records something with the run. Then a
        stored run without this hook is not used in its place.
        """
        return None

    def on_train_begin(self, training: Training) -> None:
        """Before the first epoch."""

    def on_batch_end(self, training: Training) -> None:
        """After the step on one batch; its losses are ``training.losses[-1]``."""

    def on_epoch_end(self, training: Training) -> None:
        """After the last batch of an epoch."""

    def on_train_end(self, training: Training) -> None:
        """At the end, also after an interrupt or an error."""


def record(training: Training, name: str, of_this_epoch: torch.Tensor) -> None:
    """Append a tensor of this epoch to the record of this name, on the CPU."""
    row = of_this_epoch.cpu()[None]
    training.records[name] = torch.cat([training.records.get(name, row[:0]), row])


class History(Hook):
    """Adds the losses of the epoch, the test accuracy, and the validation accuracy if there is a split.

    A loss is the mean over the faces: each batch is weighted by its size. The test accuracy is there
    twice: over all test faces, and as the mean over the classes (``mean_class_accuracy``). At the end
    ``training.confusion_matrix`` is that of the test faces in the epoch of the run's network.
    """

    def on_epoch_end(self, training: Training) -> None:
        faces_in = torch.tensor(training.batch_sizes, dtype=torch.float64)
        for name in training.losses[0]:
            values = torch.stack([losses[name] for losses in training.losses]).cpu().double()
            training.row[name] = (values @ faces_in / faces_in.sum()).item()
        faces = training.faces
        for name, split in (("test", faces.test), ("validation", faces.validation)):
            if split is not None:
                logits = predict(training.network, split.images, training.recipe.size)
                training.row[f"{name}_accuracy"] = accuracy(logits, split.labels)
                if name == "test":
                    matrix = confusion_matrix(logits, split.labels)
                    training.row["mean_class_accuracy"] = mean_class_accuracy(matrix)
                    record(training, "confusion_matrix", matrix)

    def on_train_end(self, training: Training) -> None:
        matrices = training.records.pop("confusion_matrix", ())
        # The first epochs have none if they come from the checkpoint of an older eacbook.
        missing = len(training.rows) - len(matrices)
        epoch = (training.chosen_epoch or training.epoch) - missing
        if 0 < epoch <= len(matrices):
            training.confusion_matrix = matrices[epoch - 1]


class Memorisation(Hook):
    """Adds the shares of wrong training labels predicted as the given label and as the true label."""

    def on_train_begin(self, training: Training) -> None:
        self.rows = training.noisy.wrong.nonzero().squeeze(1)

    def on_epoch_end(self, training: Training) -> None:
        memorised = recovered = None
        if len(self.rows):
            images = training.faces.train.images
            logits = predict(training.network, images, training.recipe.size, self.rows)
            memorised, recovered = memorised_and_recovered(logits, training.noisy)
        training.row.update(memorised=memorised, recovered=recovered)


class LabelsUsed(Hook):
    """Adds how the method used the labels, if it selects or changes them.

    * ``selected_right``: the share of right labels among the labels that it selected in this epoch (the
      *label precision* of Han et al., NeurIPS 2018).
    * ``relabelled``: the number of labels that are now different from the given label.
    * ``relabelled_rightly``: the share of these that are now the true label.

    The labels of all epochs are in ``run.records["labels"]``, uint8 ``[epochs, N]``.
    """

    def on_epoch_end(self, training: Training) -> None:
        noisy = training.noisy
        if "sample_selected" in training.samples:
            selected = training.samples["sample_selected"].cpu() == 1
            training.row["selected_right"] = _share(~noisy.wrong[selected])
        if training.method.relabels or "sample_labels" in training.samples:
            labels = training.labels.cpu()
            changed = labels != noisy.given
            training.row["relabelled"] = changed.sum().item()
            training.row["relabelled_rightly"] = _share((labels == noisy.true)[changed])
            record(training, "labels", labels.to(torch.uint8))


def _share(which: torch.Tensor) -> float | None:
    """The share of a mask that is true; None for an empty mask."""
    return which.double().mean().item() if len(which) else None


def built_in_hooks() -> list[Hook]:
    """The hooks that every training has, in their order."""
    return [History(), Memorisation(), LabelsUsed()]


class SampleLosses(Hook):
    """Records the values that the method gives for every training sample in each epoch, e.g. its loss.

    ``run.records["sample_losses"]`` is float32 ``[epochs, N]``: the cross-entropy with the label that
    the sample was trained on. It is measured in the batch of the sample: in training mode, on the
    augmented view, just before the step. Methods that select samples by their loss use the same number,
    and it costs nothing. With ``balanced`` it is NaN if a sample did not come in an epoch; if a sample
    came several times, the last value counts. Other values of the method are recorded under their
    names, e.g. ``sample_importance`` (SCN).

    Raises:
        InputError: the method does not give the losses of its samples.
    """

    def describe(self) -> dict[str, Any]:
        return {"records": "sample_losses"}

    def on_epoch_end(self, training: Training) -> None:
        if "sample_losses" not in training.samples:
            raise InputError(f"{training.method.name} gives no losses of its samples to record")
        for name, values in training.samples.items():
            if name != "sample_labels":  # LabelsUsed records these
                record(training, name, values)


class EarlyStopping(Hook):
    """Stops when the accuracy on the clean validation split has not risen for some epochs.

    The network of the run is then the one with the best accuracy on that split. The history and the
    records of other hooks still contain all trained epochs. ``run.chosen_epoch`` is the epoch of the
    network, and ``run.summary`` reports that epoch.

    Args:
        patience: the number of epochs to wait for a higher accuracy.

    Raises:
        InputError: the patience is not a whole number of at least 1, or the faces have no validation
            split.
    """

    def __init__(self, patience: int = 10):
        self.patience = whole_number("patience", patience, 1)

    def describe(self) -> dict[str, Any]:
        return {"early_stopping": self.patience}

    def on_train_begin(self, training: Training) -> None:
        if training.faces.validation is None:
            raise InputError(
                f"{training.faces.name} has no validation split, which early stopping needs"
            )

    def on_epoch_end(self, training: Training) -> None:
        reached = training.row["validation_accuracy"]
        earlier = [row["validation_accuracy"] for row in training.rows]
        if not earlier or reached > max(earlier):
            for name, tensor in training.network.state_dict().items():
                training.records[f"best.{name}"] = tensor.clone()
        elif len(earlier) - earlier.index(max(earlier)) >= self.patience:
            training.stop = True

    def on_train_end(self, training: Training) -> None:
        best = {
            name: training.records.pop(f"best.{name}", None)
            for name in training.network.state_dict()
        }
        if training.rows and None not in best.values():
            training.network.load_state_dict(best)
            training.chosen_epoch = best_validation_epoch(training.rows)


class Progress(Hook):
    """A progress bar: method, threads of the CPU, epoch, loss, test accuracy and remaining time.

    Args:
        label: the text before the bar; the name of the method by default.
        row: the row of the bar, from 0, where several processes show theirs in one terminal.
    """

    def __init__(self, label: str | None = None, row: int | None = None):
        self.label = label
        self.row = row
        self.bar: Any = None  # tqdm chooses its class, a notebook's or a terminal's

    def on_train_begin(self, training: Training) -> None:
        self.bar = tqdm(
            total=training.recipe.epochs * training.batches_per_epoch,
            initial=training.epoch * training.batches_per_epoch,
            desc=self._describe(training),
            bar_format="{desc} {percentage:3.0f}%|{bar}| elapsed {elapsed}, remaining {remaining}"
            "{postfix}",
            mininterval=0.5,
            disable=not distributed.is_first(),
            position=self.row,
        )
        self.test = ""

    def on_batch_end(self, training: Training) -> None:
        # tqdm decides when to draw. The loss is fetched from the device only then.
        if self.bar.update(1) or len(training.losses) == 1:
            self._show(training)

    def on_epoch_end(self, training: Training) -> None:
        self.test = f", test {training.row['test_accuracy']:.1%}"
        self._show(training)

    def on_train_end(self, training: Training) -> None:
        if self.bar is not None:
            self.bar.close()

    def _describe(self, training: Training) -> str:
        name = self.label or training.method.name
        if training.device.type != "cpu":
            return name
        return f"{name}, {training.threads} thread{'s' if training.threads > 1 else ''}"

    def _show(self, training: Training) -> None:
        loss = training.losses[-1]["loss"].item()
        epoch = f"epoch {training.epoch + 1}/{training.recipe.epochs}"
        self.bar.set_postfix_str(f"{epoch}, loss {loss:.3f}{self.test}", refresh=False)
