"""Checks of a user's values. Each returns a plain Python value, or raises an error of one sentence.

A number of numpy or torch is accepted as a number (``np.int64(1)``, ``torch.tensor(0.3)``). True, False
and a text are not.
"""

from __future__ import annotations

import errno
import math
import os
import re
from collections.abc import Collection
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from eacbook.errors import InputError

LARGEST = 2**63 - 1
"""The largest whole number that torch knows."""

MOST_CLASSES = 256
"""Labels are kept in one byte each."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,100}")
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?(inf|nan)", re.IGNORECASE)


def whole_number(name: str, value: Any, at_least: int = 0, at_most: int = LARGEST) -> int:
    """A whole number from ``at_least`` to ``at_most``; 7.0 is refused."""
    number = _plain(value)
    whole = isinstance(number, Integral) and not isinstance(number, bool)
    if whole and at_least <= number <= at_most:
        return int(number)
    bounds = f"of at least {at_least}"
    if at_most < LARGEST or (whole and number > at_most):
        bounds = f"from {at_least} to {at_most}"
    raise InputError(f"{name} must be a whole number {bounds}, got {shown(value)}")


def seed_number(name: str, value: Any) -> int:
    """A seed: a whole number from 0 to 2^63 - 1."""
    return whole_number(name, value)


def number_of_classes(name: str, value: Any) -> int:
    """A number of classes, from 2 to :data:`MOST_CLASSES`."""
    return whole_number(name, value, 2, MOST_CLASSES)


def real_number(
    name: str,
    value: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
) -> float:
    """A finite number within its bounds."""
    number = _plain(value)
    if isinstance(number, Real) and not isinstance(number, bool):
        try:
            number = float(number)
        except OverflowError:
            number = math.inf
        if (
            math.isfinite(number)
            and (at_least is None or number >= at_least)
            and (above is None or number > above)
            and (at_most is None or number <= at_most)
            and (below is None or number < below)
        ):
            return number
    limits = {"of at least": at_least, "above": above, "at most": at_most, "below": below}
    bounds = " and ".join(f"{how} {limit:g}" for how, limit in limits.items() if limit is not None)
    if at_least is not None and at_most is not None:
        bounds = f"from {at_least:g} to {at_most:g}"
    finite = "finite " if at_most is None and below is None else ""
    raise InputError(f"{name} must be a {finite}number {bounds}, got {shown(value)}")


def boolean(name: str, value: Any) -> bool:
    """True or False. A number or a text is refused."""
    if isinstance(_plain(value), bool):
        return bool(value)
    raise InputError(f"{name} must be True or False, got {shown(value)}")


def choice(name: str, value: Any, known: Collection[str]) -> str:
    """One of the known names."""
    if isinstance(value, str) and value in known:
        return value
    raise InputError(f"unknown {name} {shown(value)}: expected one of {', '.join(known)}")


def instance(name: str, value: Any, kind: type, example: str) -> Any:
    """An object of the class ``kind``. The example says in the message how to get one."""
    if isinstance(value, kind):
        return value
    raise InputError(f"{name} must be a {kind.__name__}, such as {example}, got {shown(value)}")


def path_name(name: str, value: Any) -> str:
    """The path of a file or folder. It does not have to exist."""
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(path, str):
        raise InputError(f"{name} must be a path, got {shown(value)}")
    try:
        Path(path).stat()
    except ValueError:
        raise InputError(f"{name} is not a path: {shown(path)} contains a NUL character") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"{name} is too long for a path: {shown(path)}") from None
    return path


def tensor_of_numbers(name: str, value: Any):
    """A tensor of numbers on the CPU, of any type and shape."""
    import torch  # slow to import, and the help of the command does not need it

    try:
        return torch.as_tensor(value).cpu()
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{name} must be a tensor of numbers, got {shown(value)}") from None


def row_numbers(name: str, value: Any, count: int):
    """Rows of ``count`` faces, int64 ``[n]`` with n > 0."""
    index = tensor_of_numbers(name, value)
    kinds = ("int64", "int32", "int16", "int8", "uint8")
    if index.ndim != 1 or not len(index) or str(index.dtype).removeprefix("torch.") not in kinds:
        raise InputError(f"{name} must be whole numbers [n] with n > 0, got {shown(value)}")
    index = index.long()
    low, high = index.min().item(), index.max().item()
    if low < 0 or high >= count:
        raise InputError(f"{name} must be from 0 to {count - 1}, got {low} to {high}")
    return index


def read_whole_number(name: str, text: str) -> int:
    """A whole number from a text in the digits 0 to 9."""
    if _WHOLE.fullmatch(text.strip()):
        return int(text)
    raise InputError(f"{name} is {shown(text)}, expected a whole number")


def read_real_number(name: str, text: str) -> float:
    """A number from a text in the digits 0 to 9, such as ``0.3`` or ``1e-3``."""
    if _REAL.fullmatch(text.strip()):
        return float(text)
    raise InputError(f"{name} is {shown(text)}, expected a number")


def read_boolean(name: str, text: str) -> bool:
    """``true`` or ``false`` from a text."""
    if text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    raise InputError(f"{name} is {shown(text)}, expected true or false")


def put(record: Any, **values: Any) -> None:
    """Set checked values on a frozen dataclass, in its ``__post_init__``."""
    for name, value in values.items():
        object.__setattr__(record, name, value)


def shown(value: Any) -> str:
    """A value as one short line for a message."""
    try:
        return shortened(repr(value))
    except Exception:  # an error in the value's own code, or an int with too many digits
        return f"a value of type {type(value).__name__}"


def shortened(text: str, length: int = 80) -> str:
    """A text as one line of at most ``length`` letters."""
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _plain(value: Any) -> Any:
    """A single number of numpy or torch as a Python number; any other value is returned unchanged.

    For a float32, the shortest decimal is returned: ``np.float32(0.3)`` is 0.3, not 0.30000001192092896.
    """
    if getattr(value, "ndim", None) != 0 or not hasattr(value, "item"):
        return value
    try:
        number = value.item()
    except (RuntimeError, TypeError, ValueError):  # a tensor without content
        return value
    if not str(getattr(value, "dtype", "")).endswith("float32"):
        return number
    import numpy  # slow to import, and the help of the command does not need it

    return float(str(numpy.float32(number)))
