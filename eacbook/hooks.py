"""What watches the training loop. A hook knows the training and nothing of widgets or figures.

A hook of your own is a few lines::

    class PrintFlipped(Hook):
        def after_epoch(self, training):
            print(training.epoch + 1, training.row["memorised"])

    train(EAC(), network, faces, noisy, epochs=10, hooks=[PrintFlipped()])
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tqdm.auto import tqdm

from eacbook import processes
from eacbook.checks import path_name, whole_number
from eacbook.errors import InputError
from eacbook.evaluate import accuracy, memorised_and_recovered, predict
from eacbook.files import read_tensors, write_tensors

if TYPE_CHECKING:
    from eacbook.training import Training


class Hook:
    """Called by the loop; override what you need.

    During ``after_epoch`` the epoch is not yet counted: ``training.epoch`` epochs were finished
    before it, and ``training.row`` is the row to which a hook adds its columns.
    """

    def describe(self) -> dict | None:
        """Plain values that enter the run's settings; None for a hook that only watches.

        A hook that decides the outcome, or keeps something with the run, must describe itself, so
        that a stored run is not taken for one that was trained without it.
        """
        return None

    def on_start(self, training: Training) -> None:
        """Before the first epoch."""

    def after_batch(self, training: Training) -> None:
        """After the step on one batch; its losses are ``training.losses[-1]``."""

    def after_epoch(self, training: Training) -> None:
        """After the last batch of an epoch."""

    def on_end(self, training: Training) -> None:
        """At the end, also after an interrupt or an error."""


def keep(training: Training, name: str, of_this_epoch: torch.Tensor) -> None:
    """Add a tensor of this epoch to those that are kept under the same name, on the CPU."""
    row = of_this_epoch.cpu()[None]
    training.kept[name] = torch.cat([training.kept.get(name, row[:0]), row])


class History(Hook):
    """Adds the epoch's losses, the test accuracy and, where there is a split, the validation's.

    A loss is the mean over the faces: each batch counts by its size.
    """

    def after_epoch(self, training: Training) -> None:
        faces_in = torch.tensor(training.batch_sizes, dtype=torch.float64)
        for name in training.losses[0]:
            values = torch.stack([losses[name] for losses in training.losses]).cpu().double()
            training.row[name] = (values @ faces_in / faces_in.sum()).item()
        faces = training.faces
        for name, split in (("test", faces.test), ("validation", faces.validation)):
            if split is not None:
                logits = predict(training.network, split.images, training.recipe.size)
                training.row[f"{name}_accuracy"] = accuracy(logits, split.labels)


class Memorisation(Hook):
    """Adds the shares of wrong training labels that are predicted as given and as the true class."""

    def on_start(self, training: Training) -> None:
        self.rows = training.noisy.flipped.nonzero().squeeze(1)

    def after_epoch(self, training: Training) -> None:
        memorised = recovered = None
        if len(self.rows):
            images = training.faces.train.images
            logits = predict(training.network, images, training.recipe.size, self.rows)
            memorised, recovered = memorised_and_recovered(logits, training.noisy)
        training.row.update(memorised=memorised, recovered=recovered)


class LabelsUsed(Hook):
    """Adds what the method made of the labels, where it selects or changes them.

    * ``selected_right``: the share of right labels among those that it selected in this epoch (the
      *label precision* of Han et al., NeurIPS 2018);
    * ``relabelled``: how many labels are by now another one than the given one, and
      ``relabelled_rightly``: the share of them that is the true one. All labels of all epochs are in
      ``run.kept["labels"]``, uint8 ``[epochs, N]``.
    """

    def after_epoch(self, training: Training) -> None:
        noisy = training.noisy
        if "sample_selected" in training.samples:
            selected = training.samples["sample_selected"].cpu() == 1
            training.row["selected_right"] = _share(~noisy.flipped[selected])
        if "sample_labels" in training.samples:
            labels = training.labels.cpu()
            changed = labels != noisy.given
            training.row["relabelled"] = changed.sum().item()
            training.row["relabelled_rightly"] = _share((labels == noisy.true)[changed])
            keep(training, "labels", labels.to(torch.uint8))


def _share(which: torch.Tensor) -> float | None:
    """How much of a mask is true; None where there is nothing to count."""
    return which.double().mean().item() if len(which) else None


class SampleLosses(Hook):
    """Keeps what the method says of every training sample in each epoch: its loss, above all.

    ``run.kept["sample_losses"]`` is float32 ``[epochs, N]``, the cross-entropy with the label it was
    trained on when the sample's batch came: in training mode, on the augmented view, just before the
    step. That is what methods which select samples by their loss go by, and it costs nothing. With
    ``balanced`` it is not a number where a sample did not come in an epoch, and the last one where it
    came several times. Beside it stands what else the method says, e.g.
    ``sample_importance`` (SCN).

    Raises:
        InputError: the method does not give the losses of its samples.
    """

    def describe(self) -> dict:
        return {"keeps": "sample_losses"}

    def after_epoch(self, training: Training) -> None:
        if "sample_losses" not in training.samples:
            raise InputError(f"{training.method.name} gives no losses of its samples to keep")
        for name, values in training.samples.items():
            if name != "sample_labels":  # which LabelsUsed keeps
                keep(training, name, values)


class EarlyStopping(Hook):
    """Stops when the accuracy on the clean validation split has not risen for a while.

    Leaves the network as it was at its best on that split. The history, and what other hooks keep, stay
    those of all trained epochs; ``run.chosen_epoch`` says of which one the network is, and
    ``run.summary`` reports that epoch.

    Args:
        patience: epochs to wait for a rise.

    Raises:
        InputError: the patience is no whole number of at least 1, or the faces have no validation split.
    """

    def __init__(self, patience: int = 10):
        self.patience = whole_number("patience", patience, 1)

    def describe(self) -> dict:
        return {"early_stopping": self.patience}

    def on_start(self, training: Training) -> None:
        if training.faces.validation is None:
            raise InputError(f"{training.faces.name} has no validation split to stop by")

    def after_epoch(self, training: Training) -> None:
        reached = training.row["validation_accuracy"]
        earlier = [row["validation_accuracy"] for row in training.rows]
        if not earlier or reached > max(earlier):
            for name, tensor in training.network.state_dict().items():
                training.kept[f"best.{name}"] = tensor.clone()
        elif len(earlier) - earlier.index(max(earlier)) >= self.patience:
            training.stop = True

    def on_end(self, training: Training) -> None:
        best = {
            name: training.kept.pop(f"best.{name}", None) for name in training.network.state_dict()
        }
        if training.rows and None not in best.values():
            training.network.load_state_dict(best)
            reached = [row["validation_accuracy"] for row in training.rows]
            training.chosen_epoch = reached.index(max(reached)) + 1


class Progress(Hook):
    """A progress bar: method, threads of the CPU, epoch, loss, test accuracy and the time left.

    Args:
        label: what stands before the bar; the method's name by default.
    """

    def __init__(self, label: str | None = None):
        self.label = label
        self.bar = None

    def on_start(self, training: Training) -> None:
        self.bar = tqdm(
            total=training.recipe.epochs * training.batches_per_epoch,
            initial=training.epoch * training.batches_per_epoch,
            desc=self._describe(training),
            bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed} gone, {remaining} left{postfix}",
            mininterval=0.5,
            disable=not processes.is_first(),
        )
        self.test = ""

    def after_batch(self, training: Training) -> None:
        # tqdm decides when to draw; only then is the loss fetched from the device.
        if self.bar.update(1) or len(training.losses) == 1:
            self._show(training)

    def after_epoch(self, training: Training) -> None:
        self.test = f", test {training.row['test_accuracy']:.1%}"
        self._show(training)

    def on_end(self, training: Training) -> None:
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


MOST_THREADS = 1024
"""A checkpoint that says more is damaged."""


class Checkpoint(Hook):
    """Saves the whole state after every epoch and goes on from it at the next start.

    One safetensors file with a checksum, replaced in one go; no pickle. A run that was killed and is
    started again with the same settings ends as if it had never been killed (on the CPU to the last
    bit). A damaged file is refused.

    Args:
        path: of the file.

    Attributes:
        epoch: how many epochs are kept in the file.

    Raises:
        InputError: the file is broken, cannot be read, or was written under other settings.
    """

    def __init__(self, path: str | Path):
        self.path, self.epoch = Path(path_name("path", path)), 0

    def on_start(self, training: Training) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self._load(training)

    def after_epoch(self, training: Training) -> None:
        if not processes.is_first():
            return
        optimizer = training.optimizer.state_dict()
        tensors = {f"network.{name}": t for name, t in training.network.state_dict().items()}
        tensors |= {f"kept.{name}": t for name, t in training.kept.items()}
        tensors["labels"] = training.labels
        for index, state in optimizer["state"].items():
            tensors |= {f"optimizer.{index}.{name}": t for name, t in state.items()}
        facts = {
            "settings": training.settings,
            "epoch": training.epoch + 1,
            "rows": [*training.rows, training.row],
            "param_groups": optimizer["param_groups"],
            "scheduler": training.scheduler.state_dict(),
            "stop": training.stop,
            "threads": training.threads,
        }
        write_tensors(self.path, tensors, {"facts": json.dumps(facts)})
        self.epoch = training.epoch + 1

    def _load(self, training: Training) -> None:
        try:
            tensors, about = read_tensors(self.path)
            facts = json.loads(about["facts"])
            settings = facts["settings"]
        except OSError as error:
            raise InputError(
                f"the checkpoint {self.path} cannot be read ({error.strerror or error})"
            ) from error
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise self._broken(error) from error
        if settings != json.loads(json.dumps(training.settings)):
            raise InputError(
                f"the checkpoint {self.path} was written under other settings; remove it or choose "
                "another folder"
            )
        try:
            self._restore(training, tensors, facts)
        except Exception as error:  # what does not fit can raise anything at all in torch
            raise self._broken(error) from error
        self.epoch = training.epoch

    def _broken(self, error: Exception) -> InputError:
        reason = str(error).partition("\n")[0][:120]
        return InputError(
            f"the checkpoint {self.path} is broken ({reason}); remove it to train from the start"
        )

    def _restore(self, training: Training, tensors: dict[str, torch.Tensor], facts: dict) -> None:
        def part(name: str) -> dict[str, torch.Tensor]:
            prefix = name + "."
            return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}

        epoch, rows, stop, threads = (facts[name] for name in ("epoch", "rows", "stop", "threads"))
        if type(epoch) is not int or not 1 <= epoch <= training.recipe.epochs:
            raise ValueError(f"its epoch is {epoch!r}")
        if [row["epoch"] for row in rows] != list(range(1, epoch + 1)) or type(stop) is not bool:
            raise ValueError("its rows are not those of its epochs")
        if type(threads) is not int or not 1 <= threads <= MOST_THREADS:
            raise ValueError(f"its number of threads is {threads!r}")
        groups = training.optimizer.state_dict()["param_groups"]
        _check_form(facts["param_groups"], json.loads(json.dumps(groups)), "param_groups")
        schedule = training.scheduler.state_dict()
        _check_form(facts["scheduler"], json.loads(json.dumps(schedule)), "scheduler")
        for name, tensor in (part("network") | part("optimizer")).items():
            if not tensor.isfinite().all():
                raise ValueError(f"{name} holds NaN or infinity")
        labels = tensors["labels"]
        if labels.shape != training.labels.shape or labels.dtype != training.labels.dtype:
            raise ValueError("its labels are not those of the training faces")
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in part("optimizer").items():
            index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
        training.network.load_state_dict(part("network"))
        training.optimizer.load_state_dict({"state": state, "param_groups": facts["param_groups"]})
        for parameter, moments in training.optimizer.state.items():
            for name, moment in moments.items():
                if moment.shape == parameter.shape:
                    # The file knows no memory layout, and the fused step wants the parameter's own.
                    moments[name] = torch.empty_like(parameter).copy_(moment)
                elif moment.dim():
                    raise ValueError(f"the optimizer's {name} is not of a parameter's shape")
        training.scheduler.load_state_dict(facts["scheduler"])
        training.kept.update(part("kept"))
        training.labels.copy_(labels)
        training.epoch, training.rows, training.stop = epoch, rows, stop
        training.threads = threads


def _check_form(found: object, expected: object, where: str) -> None:
    """Whether plain values have the form of others: the same keys, lengths and types, all finite."""
    if isinstance(expected, dict) and isinstance(found, dict) and found.keys() == expected.keys():
        for name, value in expected.items():
            _check_form(found[name], value, f"{where}.{name}")
    elif isinstance(expected, list) and isinstance(found, list) and len(found) == len(expected):
        for one, other in zip(found, expected, strict=True):
            _check_form(one, other, where)
    elif isinstance(expected, (dict, list)) or not _are_alike(found, expected):
        raise ValueError(f"{where} is not what this training has")


def _are_alike(found: object, expected: object) -> bool:
    numbers = (int, float)
    if type(found) in numbers and type(expected) in numbers:
        return abs(found) < 2**63  # neither NaN nor infinite
    return type(found) is type(expected)
