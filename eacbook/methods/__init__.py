"""The methods, one file a paper: a network and a batch in, a loss out, and nothing else known."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import ClassVar, Protocol

from torch import Tensor, nn

from eacbook.augment import Batch
from eacbook.errors import InputError
from eacbook.methods.baseline import Baseline
from eacbook.methods.eac import EAC

__all__ = ["EAC", "METHODS", "Baseline", "Method", "build_method", "describe_method"]


class Method(Protocol):
    """A frozen dataclass of hyperparameters with one method."""

    name: ClassVar[str]

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The scalar to minimise under ``"loss"``, and its parts (scalars) under their own names.

        Under ``"sample_losses"``, ``[B]``: the cross-entropy of each sample with its given label, as
        the method sees it; what :class:`eacbook.hooks.SampleLosses` keeps.
        """


METHODS: dict[str, type[Method]] = {method.name: method for method in (Baseline, EAC)}


def build_method(name: str, **hyperparameters) -> Method:
    """A method by name.

    Raises:
        InputError: unknown method, or a hyperparameter that it does not have.
    """
    if name not in METHODS:
        raise InputError(f"unknown method {name!r}: expected one of {', '.join(METHODS)}")
    known = [field.name for field in fields(METHODS[name])]
    unknown = sorted(set(hyperparameters) - set(known))
    if unknown:
        raise InputError(f"{name} has no {', '.join(unknown)}: it has {', '.join(known)}")
    return METHODS[name](**hyperparameters)


def describe_method(method: Method) -> dict:
    """Name and hyperparameters as plain values; :func:`build_method` takes them back."""
    return {"name": method.name, **asdict(method)}
