"""The whole state of a training, saved after every epoch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from eacbook.checks import path_name
from eacbook.errors import InputError
from eacbook.files import read_tensors, write_tensors
from eacbook.training import distributed
from eacbook.training.hooks import Hook
from eacbook.training.identity import check_storable

if TYPE_CHECKING:
    from eacbook.training.state import Training


MOST_THREADS = 1024
"""A checkpoint with more threads than this is damaged."""


class Checkpoint(Hook):
    """Saves the whole state after every epoch; the next start continues from it.

    The state is one safetensors file with a checksum, replaced atomically; there is no pickle in it. A
    run that was killed can be started again with the same settings. It then ends as if it had never been
    killed: on the CPU to the last bit, and on CUDA too, unless ``deterministic`` is False. A damaged
    file is refused.

    Args:
        path: the path of the file.

    Attributes:
        epoch: the number of epochs that are saved in the file.

    Raises:
        InputError: the file is broken, cannot be read, or was written under other settings.
    """

    def __init__(self, path: str | Path):
        self.path, self.epoch = Path(path_name("path", path)), 0

    def on_train_begin(self, training: Training) -> None:
        check_storable(training.settings)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self._load(training)

    def on_epoch_end(self, training: Training) -> None:
        if not distributed.is_first():
            return
        optimizer = training.optimizer.state_dict()
        tensors = {f"network.{name}": t for name, t in training.network.state_dict().items()}
        tensors |= {f"records.{name}": t for name, t in training.records.items()}
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
        except Exception as error:  # torch raises many kinds of errors if something does not fit
            raise self._broken(error) from error
        self.epoch = training.epoch

    def _broken(self, error: Exception) -> InputError:
        reason = str(error).partition("\n")[0][:120]
        return InputError(
            f"the checkpoint {self.path} is broken ({reason}); remove it to train from the start"
        )

    def _restore(
        self, training: Training, tensors: dict[str, torch.Tensor], facts: dict[str, Any]
    ) -> None:
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
                    # The file stores no memory layout; the fused step needs that of the parameter.
                    moments[name] = torch.empty_like(parameter).copy_(moment)
                elif moment.dim():
                    raise ValueError(f"the optimizer's {name} is not of a parameter's shape")
        training.scheduler.load_state_dict(facts["scheduler"])
        training.records.update(part("records"))
        training.labels.copy_(labels)
        training.epoch, training.rows, training.stop = epoch, rows, stop
        training.threads = threads


def say_what_is_kept(training: Training, checkpoints: Sequence[Checkpoint]) -> str:
    """A sentence: where a training was interrupted, and how many of its epochs are saved."""
    kept = "none of its epochs is kept"
    for checkpoint in checkpoints:
        if checkpoint.epoch:
            kept = f"its first {checkpoint.epoch} epochs are kept in {checkpoint.path}"
    at, epochs = min(training.epoch + 1, training.recipe.epochs), training.recipe.epochs
    return f"the training was interrupted in epoch {at} of {epochs}; {kept}"


def _check_form(found: object, expected: object, where: str) -> None:
    """Check that plain values have the form of the expected ones.

    They need the same keys, lengths and types, and all numbers must be finite.

    Raises:
        ValueError: the form is different.
    """
    if isinstance(expected, dict) and isinstance(found, dict) and found.keys() == expected.keys():
        for name, value in expected.items():
            _check_form(found[name], value, f"{where}.{name}")
    elif isinstance(expected, list) and isinstance(found, list) and len(found) == len(expected):
        for one, other in zip(found, expected, strict=True):
            _check_form(one, other, where)
    elif isinstance(expected, (dict, list)) or not _are_alike(found, expected):
        raise ValueError(f"{where} is not what this training has")


def _are_alike(found: Any, expected: Any) -> bool:
    numbers = (int, float)
    if type(found) in numbers and type(expected) in numbers:
        finite: bool = abs(found) < 2**63  # neither NaN nor infinite
        return finite
    return type(found) is type(expected)
