"""A digest of the user's own code in a training, so that an edited loss does not find an old run.

The digest covers the code that is loaded (bytecode, constants, defaults). It does not cover the text of
the file, which may have changed after the import. So comments do not count, and another minor version
of Python gives another digest.

* These classes count, with their base classes: the method, every part of the network, and the hooks
  that describe themselves.
* Everything that these classes refer to by name counts, too: helper functions, constants and classes,
  in a notebook or in the user's files. The code of installed packages is not followed any further.
* eacbook's own code does not count: :data:`eacbook.training.identity.VERSION` stands for it. So a
  reworded message does not make all stored runs invalid. torch, torchvision and Python's standard
  library do not count, either. But a function that the user put into one of their classes counts.
"""

from __future__ import annotations

import dis
import enum
import functools
import hashlib
import inspect
import os
import re
import sys
import sysconfig
import types
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path, PurePath

import numpy as np
import torch
from torch import Tensor, nn

from eacbook.files import raw_bytes

_PLAIN = (
    type(None), bool, int, float, complex, str, bytes, type(...), range, slice, re.Pattern, PurePath,
    enum.Enum, np.generic, torch.dtype, torch.device, torch.Size,
)  # fmt: skip
_LIBRARIES = ("eacbook", "torch", "torchvision")
_STANDARD = tuple(sysconfig.get_paths()[name] + os.sep for name in ("stdlib", "platstdlib"))
_INSTALLED = re.compile(r"[\\/](site|dist)-packages[\\/]")
_OF_MODULES = frozenset(vars(nn.Module()))
_OF_CLASSES = frozenset((
    "__module__", "__dict__", "__weakref__", "__doc__", "__qualname__", "__firstlineno__",
    "__static_attributes__", "__annotations__", "__annotate__", "__annotate_func__", "__slots__",
    "__annotations_cache__", "__dataclass_fields__", "__dataclass_params__", "__match_args__",
    "__abstractmethods__", "_abc_impl", "__orig_bases__", "__parameters__", "__type_params__",
))  # fmt: skip


_OF_DATACLASSES = frozenset((
    "__init__", "__repr__", "__eq__", "__hash__", "__lt__", "__le__", "__gt__", "__ge__",
    "__setattr__", "__delattr__", "__replace__",
))  # fmt: skip


def describe_code(*parts: object) -> str | None:
    """The digest of the user's own code in a method, a network or hooks; None where there is none."""
    walk = _walked(parts)
    return walk.digest.hexdigest()[:16] if walk.found else None


def without_source(*parts: object) -> str | None:
    """The name of a function of the user whose source is not available (``exec``, a prompt), or None."""
    return next(iter(_walked(parts).sourceless), None)


def describe_structure(network: nn.Module) -> str:
    """A digest of the parts of a network and of their hyperparameters, as torch prints them."""
    return hashlib.sha256(_printed(network).encode()).hexdigest()[:16]


def _printed(value: object) -> str:
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _walked(parts: Sequence[object]) -> _Walk:
    walk = _Walk()
    for part in parts:
        walk.value(part)
    return walk


class _Walk:
    """Visits once everything that some values contain and refer to."""

    def __init__(self) -> None:
        self.digest, self.found = hashlib.sha256(), False
        self.sourceless: list[str] = []
        self._seen: dict[int, tuple[int, object]] = {}
        self._modules: set[tuple[int, frozenset[str]]] = set()

    def value(self, value: object) -> None:
        if isinstance(value, _PLAIN):
            self._add(type(value).__name__, repr(value))
            return
        if id(value) in self._seen:
            self._add("again", self._seen[id(value)][0])
            return
        self._seen[id(value)] = len(self._seen), value  # kept, so that the id is not reused
        if isinstance(value, (list, tuple)):
            self._add("sequence", len(value))
            for item in value:
                self.value(item)
        elif isinstance(value, (set, frozenset)):
            self._add("set", *sorted(map(_printed, value)))
        elif isinstance(value, Mapping):
            self._add("mapping", len(value))
            for key, item in value.items():
                self.value(key)
                self.value(item)
        elif isinstance(value, Tensor):
            self._add("tensor", str(value.dtype), value.shape)
            self.digest.update(raw_bytes(value))
        elif isinstance(value, np.ndarray):
            self._add("array", value.dtype.str, value.shape)
            plain = value.dtype != object
            self.digest.update(value.tobytes() if plain else _printed(value).encode())
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, types.MethodType):
            self.value([value.__func__, value.__self__])
        elif isinstance(value, (staticmethod, classmethod)):
            self.value(value.__func__)
        elif isinstance(value, property):
            self.value([value.fget, value.fset])
        elif isinstance(value, functools.cached_property):
            self.value(value.func)
        elif isinstance(value, functools.partial):
            self.value([value.func, value.args, value.keywords])
        elif isinstance(value, types.CodeType):
            self._code(value)
        elif isinstance(value, types.ModuleType):
            self._add("module", value.__name__)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, nn.Module):
            self._network(value)
        else:
            self._instance(value)

    def _add(self, *parts: object) -> None:
        self.digest.update(repr(parts).encode("utf-8", "backslashreplace"))

    def _instance(self, value: object) -> None:
        self.value(type(value))
        if hasattr(value, "__wrapped__"):  # e.g. behind functools.cache
            self.value(value.__wrapped__)
        elif is_dataclass(value) or not _is_of_library(type(value)):
            self.value(getattr(value, "__dict__", None))

    def _network(self, network: nn.Module) -> None:
        self._add("network", _printed(network))
        for part in network.modules():
            own_class = not _is_of_library(type(part))
            self.value(type(part))
            for name, value in vars(part).items():
                hooks = name in _OF_MODULES and name.endswith("hooks")
                if hooks:
                    self.value(list(value.values()))
                elif name not in _OF_MODULES and (
                    own_class or isinstance(value, (types.FunctionType, types.MethodType))
                ):
                    self._add(name)
                    self.value(value)

    def _class(self, cls: type) -> None:
        of_library = _is_of_library(cls)
        self._add("class", cls.__qualname__)
        self.found |= not of_library
        for base in cls.__mro__[1:]:
            self.value(base)
        for name, member in vars(cls).items():
            descriptor = inspect.isdatadescriptor(member) and not isinstance(member, property)
            if name in _OF_CLASSES or descriptor:
                continue
            inner = inspect.unwrap(getattr(member, "__func__", member))
            filename = inner.__code__.co_filename if isinstance(inner, types.FunctionType) else None
            written_by_dataclass = "__dataclass_params__" in vars(cls) and name in _OF_DATACLASSES
            if filename == "<string>" and written_by_dataclass:
                continue
            if of_library and (filename is None or _place(filename) == "library"):
                continue
            self._add(name)
            self.value(member)

    def _function(self, function: types.FunctionType) -> None:
        code = function.__code__
        place = _place(code.co_filename)
        inner = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
        if place == "library":
            self._add("function", function.__module__, function.__qualname__)
            self.value([value for value in inner if isinstance(value, types.FunctionType)])
            return
        self.found = True
        if not _has_source(function):
            self.sourceless.append(function.__qualname__)
        self._code(code)
        self.value([function.__defaults__, function.__kwdefaults__, inner])
        if place == "own":
            names = _names(code)
            for name in sorted(_globals(code)):
                if name in function.__globals__:
                    self._add(name)
                    self._referred(function.__globals__[name], names)

    def _referred(self, value: object, names: frozenset[str]) -> None:
        """Add what a function refers to; for a module of the user, only the names that are used."""
        filename = getattr(value, "__file__", None)
        if not isinstance(value, types.ModuleType) or not filename or _place(filename) != "own":
            self.value(value)
            return
        if (id(value), names) in self._modules:
            return
        self._modules.add((id(value), names))
        for name in sorted(names & vars(value).keys()):
            item = vars(value)[name]
            self._add(name)
            self._referred(item, names)

    def _code(self, code: types.CodeType) -> None:
        self._add(
            code.co_name, code.co_code, code.co_names, code.co_varnames, code.co_freevars,
            code.co_cellvars, code.co_flags, getattr(code, "co_exceptiontable", b""),
        )  # fmt: skip
        for constant in code.co_consts:
            self.value(constant)


def _is_of_library(cls: type) -> bool:
    """Whether a class really is from Python, torch, torchvision or eacbook, as its module says."""
    package = cls.__module__.partition(".")[0]
    if package not in _LIBRARIES and package not in sys.stdlib_module_names:
        return False
    found: object = sys.modules.get(cls.__module__)
    for name in cls.__qualname__.split("."):
        found = getattr(found, name, None)
    in_c = not cls.__flags__ & (1 << 9)
    return package != "__main__" and (found is cls or in_c)


def _place(filename: str) -> str:
    """Where a file belongs: ``"library"``, ``"installed"`` (another package) or ``"own"``."""
    if filename.startswith("<frozen") or filename.startswith(_folders()):
        return "library"
    if _INSTALLED.search(filename):
        return "installed"
    return "library" if filename.startswith(_STANDARD) else "own"


def _folders() -> tuple[str, ...]:
    loaded = (getattr(sys.modules.get(name), "__file__", None) for name in _LIBRARIES)
    return tuple(str(Path(filename).parent) + os.sep for filename in loaded if filename)


def _has_source(function: types.FunctionType) -> bool:
    if function.__code__.co_filename == "<string>":
        return False
    try:
        return bool(inspect.getsource(function))
    except (OSError, TypeError, IndexError, SyntaxError):
        return False


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # the name has no value yet
        return False


def _codes(code: types.CodeType) -> list[types.CodeType]:
    """The code of a function and of everything that is defined in it."""
    inner = [part for part in code.co_consts if isinstance(part, types.CodeType)]
    return [code, *(deeper for part in inner for deeper in _codes(part))]


def _names(code: types.CodeType) -> frozenset[str]:
    return frozenset(name for part in _codes(code) for name in part.co_names)


def _globals(code: types.CodeType) -> frozenset[str]:
    return frozenset(
        step.argval
        for part in _codes(code)
        for step in dis.get_instructions(part)
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    )
