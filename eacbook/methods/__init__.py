"""The methods, one file a paper, and how they are named in a text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, Field, asdict, fields

from eacbook.checks import (
    choice,
    instance,
    read_boolean,
    read_real_number,
    read_whole_number,
    shortened,
    shown,
)
from eacbook.errors import InputError
from eacbook.methods.baseline import Baseline
from eacbook.methods.eac import EAC
from eacbook.methods.method import Method
from eacbook.methods.rul import RUL
from eacbook.methods.scn import SCN
from eacbook.methods.small_loss import SmallLoss

__all__ = [
    "EAC",
    "METHODS",
    "RUL",
    "SCN",
    "Baseline",
    "Method",
    "SmallLoss",
    "build_method",
    "describe_method",
    "parse_method",
]

METHODS: dict[str, type[Method]] = {
    method.name: method for method in (Baseline, SmallLoss, SCN, RUL, EAC)
}


def build_method(name: str, **hyperparameters) -> Method:
    """A method by name.

    Raises:
        InputError: unknown method, a hyperparameter that it does not have, or one that it needs.
    """
    known = _known(name, hyperparameters)
    for key in known:
        if known[key].default is MISSING and key not in hyperparameters:
            raise InputError(f"{name} must be told its {key}")
    return METHODS[name](**hyperparameters)


def _known(name: str, wanted: Iterable[str]) -> dict[str, Field]:
    """The hyperparameters of a method, when all that are wanted are among them."""
    known = {field.name: field for field in fields(METHODS[choice("method", name, METHODS)])}
    unknown = ", ".join(sorted(set(wanted) - set(known)))
    if unknown:
        raise InputError(f"{name} has no {shortened(unknown)}: it has {', '.join(known)}")
    return known


def describe_method(method: Method) -> dict:
    """Name and hyperparameters as plain values; :func:`build_method` takes them back."""
    return {"name": method.name, **asdict(method)}


def parse_method(text: str, *, noise_rate: float | None = None) -> Method:
    """A method from a text: ``"eac"``, or with hyperparameters ``"eac:weight=2,erasing=false"``.

    Args:
        text: a name, or a name, a colon and ``key=value`` with commas between.
        noise_rate: what a method that must be told the noise rate is told, unless the text has one.

    Raises:
        InputError: unknown method or hyperparameter, or a value that cannot be read.
    """
    text = instance("method", text, str, "'eac' or 'eac:weight=2'")
    name, colon, rest = text.partition(":")
    texts = {}
    for part in rest.split(",") if colon else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key in texts:
            raise InputError(
                f"method {shown(text)}: expected key=value once for each key, got {shown(part)}"
            )
        texts[key] = value
    given = {"noise_rate": noise_rate} if name == SmallLoss.name and noise_rate is not None else {}
    for key, field in _known(name, texts).items():
        if key in texts:
            given[key] = READ[field.type](f"method {shown(text)}: {key}", texts[key])
    return build_method(name, **given)


READ = {
    "int": read_whole_number,
    "float": read_real_number,
    "float | None": read_real_number,
    "bool": read_boolean,
}
"""How a hyperparameter of each type is read from a text."""
