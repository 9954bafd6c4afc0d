"""The methods, one file for each paper, and how to read a method from a text.

To add a method, add a file here and a line in :data:`METHODS`. The file of a method needs PyTorch. It is
loaded only when the method is used; the help of the command line reads only the names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from eacbook.methods.baseline import Baseline
    from eacbook.methods.coteaching import CoTeaching
    from eacbook.methods.eac import EAC
    from eacbook.methods.elr import ELR
    from eacbook.methods.method import Method
    from eacbook.methods.resup import ReSup
    from eacbook.methods.rul import RUL
    from eacbook.methods.scn import SCN

__all__ = [
    "EAC",
    "ELR",
    "METHODS",
    "RUL",
    "SCN",
    "Baseline",
    "CoTeaching",
    "Method",
    "ReSup",
    "build_method",
    "describe_method",
    "parse_method",
]


class _Methods(MutableMapping[str, "type[Method]"]):
    """Name to class; a class that is given as ``"module:Class"`` is loaded at the first use."""

    def __init__(self, **places: str | type[Method]):
        self._places = places

    def __getitem__(self, name: str) -> type[Method]:
        place = self._places[name]
        cls: type[Method] = resolve_name(place) if isinstance(place, str) else place
        return cls

    def __setitem__(self, name: str, place: str | type[Method]) -> None:
        self._places[name] = place

    def __delitem__(self, name: str) -> None:
        del self._places[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def places(self) -> list[str]:
        """The classes that are given as ``"module:Class"``."""
        return [place for place in self._places.values() if isinstance(place, str)]


METHODS = _Methods(
    baseline="eacbook.methods.baseline:Baseline",
    coteaching="eacbook.methods.coteaching:CoTeaching",
    scn="eacbook.methods.scn:SCN",
    rul="eacbook.methods.rul:RUL",
    elr="eacbook.methods.elr:ELR",
    resup="eacbook.methods.resup:ReSup",
    eac="eacbook.methods.eac:EAC",
)
"""Name to class of every method, in the order of the rows of a table."""


def __getattr__(name: str) -> object:
    """The class of a method, or the base class, loaded when it is first imported from here."""
    if name == "Method":
        return resolve_name(f"{__name__}.method:Method")
    for place in METHODS.places():
        if place.endswith(f":{name}"):
            return resolve_name(place)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def build_method(name: str, **hyperparameters: Any) -> Method:
    """A method by name.

    Raises:
        InputError: the method is unknown, it does not have a given hyperparameter, or a required one is
            missing.
    """
    known = _known(name, hyperparameters)
    for key in known:
        if known[key].default is MISSING and key not in hyperparameters:
            raise InputError(f"{name} needs a value for {key}")
    return METHODS[name](**hyperparameters)


def _check_dataclass(method: type[Method]) -> None:
    if not is_dataclass(method):
        raise InputError(
            f"the method {method.__name__} is not a dataclass: write @dataclass(frozen=True) above it"
        )


def _known(name: str, wanted: Iterable[str]) -> dict[str, Field[Any]]:
    """The hyperparameters of a method.

    Raises:
        InputError: the method is unknown, is not a dataclass, or does not have one of the wanted
            hyperparameters.
    """
    method = METHODS[choice("method", name, METHODS)]
    _check_dataclass(method)
    known = {field.name: field for field in fields(method)}
    unknown = ", ".join(sorted(set(wanted) - set(known)))
    if unknown:
        raise InputError(f"{name} has no {shortened(unknown)}: it has {', '.join(known)}")
    return known


def describe_method(method: Method) -> dict[str, Any]:
    """Name and hyperparameters as plain values; :func:`build_method` accepts them.

    A hyperparameter of None is left out: the method does without it.

    Raises:
        InputError: the method has no name, or is not a dataclass.
    """
    own = type(method).__name__
    if not isinstance(getattr(method, "name", None), str):
        raise InputError(f'the method {own} has no name: give its class name = "..."')
    _check_dataclass(type(method))
    used = {key: value for key, value in asdict(method).items() if value is not None}
    return {"name": method.name, **used}


def parse_method(text: str, *, noise_rate: float | None = None) -> Method:
    """A method from a text: ``"eac"``, or with hyperparameters ``"eac:weight=2,erasing=false"``.

    Args:
        text: a name; or a name, a colon, and ``key=value`` pairs separated by commas.
        noise_rate: the noise rate for a method that needs one, unless the text has one.

    Raises:
        InputError: the method or a hyperparameter is unknown, or a value cannot be read.
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
    given = {}
    for key, field in _known(name, texts).items():
        if key == "noise_rate" and noise_rate is not None:
            given[key] = noise_rate
        if key in texts:
            # The type of a reader's own class may be a class, and not its name.
            kind = getattr(field.type, "__name__", field.type)
            if kind not in READ:
                raise InputError(
                    f"method {shown(text)}: {key} is of type {kind}, which cannot be read from a text: "
                    "build the method in Python"
                )
            given[key] = READ[kind](f"method {shown(text)}: {key}", texts[key])
    return build_method(name, **given)


READ: dict[object, Callable[[str, str], float]] = {
    "int": read_whole_number,
    "int | None": read_whole_number,
    "float": read_real_number,
    "float | None": read_real_number,
    "bool": read_boolean,
}
"""How a hyperparameter of each type is read from a text."""
