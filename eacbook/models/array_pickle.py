"""Read a pickle of numpy arrays without calling anything that is in it.

A pickle is a program for a small stack machine. Most instructions make plain data. A few look up a name
(GLOBAL, STACK_GLOBAL), call it (REDUCE) or give it a state (BUILD); with these a hostile file can take
over a computer. Here the machine of the standard library keeps only the instructions that make plain
data. The only allowed names are those that numpy itself writes. Each name stands for a record of this
module, which stores its arguments. Nothing is imported, and no numpy object is made before the whole
file is read and its sizes are checked.

The published weights of VGGFace2's ResNet-50 have this form, written by Python 2.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

_PLAIN_DATA = """
    PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1
    STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT
    PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET GLOBAL STACK_GLOBAL
"""

_CODES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")
_DIMENSIONS = 8


def read_array_pickle(data: bytes) -> dict[str, Tensor]:
    """The arrays of a pickled dictionary, by name; values that are not arrays are left out.

    Args:
        data: the whole file, of any pickle protocol, from Python 2 or 3.

    Raises:
        pickle.UnpicklingError: the file has an instruction, a name or a size that arrays do not need.
        Exception: the file is broken; this can be an exception of many kinds.
    """
    records = _ArrayUnpickler(io.BytesIO(data), encoding="latin-1").load()
    if type(records) is not dict:
        raise pickle.UnpicklingError("it is not a dictionary")
    arrays = {name: array for name, array in records.items() if isinstance(array, _Array)}
    # In a pickle, many arrays can share one text. As tensors they would not share it.
    if sum(len(array.data) for array in arrays.values()) > len(data):
        raise pickle.UnpicklingError("its arrays would be larger than the file")
    return {name: array.tensor() for name, array in arrays.items()}


class _DType:
    """Stands for ``numpy.dtype``: the arguments of the call, and the state that is set later."""

    def __init__(self, code: object, *_: object):
        if code not in _CODES:
            raise pickle.UnpicklingError("an array holds something other than numbers")
        self.code = code
        self.order = "="

    def set_state(self, _version: object, order: object, *rest: object) -> None:
        if order not in ("<", ">", "|", "=") or any(part is not None for part in rest[:3]):
            raise pickle.UnpicklingError("an array holds something other than numbers")
        self.order = order

    def numpy(self) -> np.dtype:
        return np.dtype(self.order + self.code)


class _Array:
    """Stands for an array: its bytes (or latin-1 text, as written by Python 2), type and shape."""

    data: bytes | bytearray | str = b""

    def set_state(
        self, _version: object, shape: object, dtype: object, fortran: object, data: object
    ) -> None:
        if not isinstance(dtype, _DType) or not isinstance(data, bytes | bytearray | str):
            raise pickle.UnpicklingError("an array holds something other than numbers")
        if (
            type(shape) is not tuple
            or not all(type(n) is int and n >= 0 for n in shape)
            or len(shape) > _DIMENSIONS
        ):
            raise pickle.UnpicklingError("an array has no proper shape")
        if math.prod(shape) * dtype.numpy().itemsize != len(data):
            raise pickle.UnpicklingError("an array's shape does not fit its data")
        self.shape, self.dtype, self.fortran, self.data = shape, dtype, fortran, data

    def tensor(self) -> Tensor:
        data = self.data.encode("latin-1") if isinstance(self.data, str) else self.data
        dtype = self.dtype.numpy()
        array = np.frombuffer(data, dtype).reshape(self.shape, order="F" if self.fortran else "C")
        return torch.from_numpy(array.astype(dtype.newbyteorder("="), order="C"))


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _scalar(dtype: object, data: object) -> _Array:
    return _from_buffer(data, dtype, (), "C")


def _from_buffer(data: object, dtype: object, shape: object, order: object) -> _Array:
    array = _Array()
    array.set_state(1, shape, dtype, order == "F", data)
    return array


def _encode(text: object, _encoding: object) -> object:
    """Python 3 writes bytes as latin-1 text with this call; we can use the text itself."""
    return text


def _ordered_dict() -> dict[str, object]:
    return {}


# The name of numpy's array class is only used as an argument; here it is nothing that can be called.
_NAMES: dict[tuple[str, str], object] = {
    ("numpy", "ndarray"): None,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): _ordered_dict,
}
for _package in ("numpy.core", "numpy._core"):  # before numpy 2, and since
    _NAMES[f"{_package}.multiarray", "_reconstruct"] = _reconstruct
    _NAMES[f"{_package}.multiarray", "scalar"] = _scalar
    _NAMES[f"{_package}.numeric", "_frombuffer"] = _from_buffer


class _ArrayUnpickler(pickle._Unpickler):
    """The pickle machine of the standard library, in Python, with a shorter list of instructions.

    The machine in C cannot be restricted, and a file can make it fill the memory with one large index.
    """

    stack: list[Any]
    append: Callable[[object], None]
    pop_mark: Callable[[], list[Any]]
    dispatch: ClassVar[dict[int, Callable[..., None]]] = {
        getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]]
        for name in _PLAIN_DATA.split()
    }

    def load(self) -> object:
        try:
            return super().load()
        except KeyError as error:
            raise pickle.UnpicklingError(f"instruction {error} makes no array") from error

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which arrays do not need")
        return _NAMES[module, name]

    def load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if function is None or not any(function is known for known in _NAMES.values()):
            raise pickle.UnpicklingError("it calls something that is not a function")
        self.append(function(*arguments))

    def load_build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], _DType | _Array):
            raise pickle.UnpicklingError("it gives a state to something that is not an array")
        self.stack[-1].set_state(*state)

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._fill(items)

    def load_setitem(self) -> None:
        value, name = self.stack.pop(), self.stack.pop()
        self._fill([name, value])

    def load_setitems(self) -> None:
        self._fill(self.pop_mark())

    def _fill(self, items: list[Any]) -> None:
        names: Iterable[object] = items[::2]
        if type(self.stack[-1]) is not dict or any(type(name) is not str for name in names):
            raise pickle.UnpicklingError("it is not a dictionary of names")
        self.stack[-1].update(zip(names, items[1::2], strict=True))

    dispatch |= {
        pickle.REDUCE[0]: load_reduce,
        pickle.BUILD[0]: load_build,
        pickle.DICT[0]: load_dict,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
    }
