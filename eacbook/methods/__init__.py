"""The methods, one file a paper, and how they are named in a text."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import MISSING, asdict, fields

from eacbook.errors import InputError
from eacbook.methods.baseline import Baseline
from eacbook.methods.eac import EAC, WEIGHTS
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
    if name not in METHODS:
        raise InputError(f"unknown method {name!r}: expected one of {', '.join(METHODS)}")
    known = {field.name: field for field in fields(METHODS[name])}
    unknown = sorted(set(hyperparameters) - set(known))
    if unknown:
        raise InputError(f"{name} has no {', '.join(unknown)}: it has {', '.join(known)}")
    needed = [key for key, field in known.items() if field.default is MISSING]
    for key in needed:
        if key not in hyperparameters:
            raise InputError(f"{name} must be told its {key}")
    return METHODS[name](**hyperparameters)


def describe_method(method: Method) -> dict:
    """Name and hyperparameters as plain values; :func:`build_method` takes them back."""
    return {"name": method.name, **asdict(method)}


def parse_method(
    text: str, *, network: str | None = None, noise_rate: float | None = None
) -> Method:
    """A method from a text: ``"eac"``, or with hyperparameters ``"eac:weight=2,erasing=false"``.

    Args:
        text: a name, or a name, a colon and ``key=value`` with commas between.
        network: EAC takes the weight for the network of this name unless the text has one.
        noise_rate: what a method that must be told the noise rate is told, unless the text has one.

    Raises:
        InputError: unknown method or hyperparameter, or a value that cannot be read.
    """
    name, _, rest = text.partition(":")
    if name not in METHODS:
        raise InputError(f"unknown method {name!r}: expected one of {', '.join(METHODS)}")
    kinds = typing.get_type_hints(METHODS[name])
    given = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key in given:
            raise InputError(f"method {text!r}: expected key=value once for each key, got {part!r}")
        given[key] = READ[kinds.get(key, str)](value, f"method {text!r}: {key}")
    defaults = {}
    if name == EAC.name and network in WEIGHTS:
        defaults["weight"] = WEIGHTS[network]
    if name == SmallLoss.name and noise_rate is not None:
        defaults["noise_rate"] = noise_rate
    return build_method(name, **defaults | given)


def _number(kind: type) -> Callable[[str, str], float]:
    def read(value: str, what: str) -> float:
        try:
            return kind(value)
        except ValueError:
            wanted = "a whole number" if kind is int else "a number"
            raise InputError(f"{what} is {value!r}, expected {wanted}") from None

    return read


def _yes_or_no(value: str, what: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise InputError(f"{what} is {value!r}, expected true or false")
    return value.lower() == "true"


READ = {int: _number(int), float: _number(float), bool: _yes_or_no, str: lambda value, what: value}
"""How a hyperparameter of each type is read from a text."""
