"""The devices of this machine, their memory, the number of threads on the CPU, and how CUDA computes.

PyTorch's threads wait for each other hundreds of times in a training step. If another program uses one
of the cores, each wait can last until that program pauses. Then a step takes many times as long. So
PyTorch gets no more threads than there are free cores.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import joblib
import psutil
import torch
from torch.backends import cudnn
from torch.utils import deterministic as memory

from eacbook.checks import shown
from eacbook.errors import InputError

LOOK_SECONDS = 0.2
"""How long the use of the cores is measured before a number of threads is chosen."""

CUBLAS_SETTING, CUBLAS_VALUE = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
"""The environment variable with which cuBLAS gives the same numbers each time, and its value."""


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """The device of that name. The default is CUDA or MPS if this machine has it, else the CPU.

    Where it is CUDA, :data:`CUBLAS_SETTING` is set from now on, unless the user has set it. cuBLAS reads
    it before its first product, which may come long before a training.

    Raises:
        InputError: this machine has no such device.
    """
    device = _find_device(name)
    if device.type == "cuda":
        os.environ.setdefault(CUBLAS_SETTING, CUBLAS_VALUE)
    return device


def _find_device(name: str | torch.device | None) -> torch.device:
    there = {"cpu": 1}
    if torch.backends.mps.is_available():
        there = {"mps": 1, **there}
    if torch.cuda.is_available():
        there = {"cuda": torch.cuda.device_count(), **there}
    if name is None:
        first = next(iter(there))
        number = torch.cuda.current_device() if first == "cuda" else None
        return torch.device(first, number)  # type: ignore[arg-type]  # None is allowed, too
    try:
        device = torch.device(name) if isinstance(name, (str, torch.device)) else None
    except RuntimeError:  # not the name of a device
        device = None
    if device is None or (device.index or 0) >= there.get(device.type, 0):
        text = shown(str(name)) if isinstance(name, torch.device) else shown(name)
        known = [f"{kind}:0 to {kind}:{n - 1}" if n > 1 else kind for kind, n in there.items()]
        raise InputError(f"there is no device {text} here: expected {' or '.join(known)}")
    return device


def memory_of(device: torch.device) -> int:
    """Bytes of memory that the device has."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return psutil.virtual_memory().total


def fits_memory(what: str, size: int, device: torch.device) -> None:
    """Refuse data that are larger than the memory of a device, before they are allocated.

    Args:
        what: names the data; the message begins with it.
        size: bytes that are needed at least.
        device: the device that needs them.

    Raises:
        InputError: the device has less memory.
    """
    there = memory_of(device)
    if size > there:
        raise InputError(
            f"{what} would need at least {size / 1e9:,.0f} GB of memory, and {device} has "
            f"{there / 1e9:,.0f} GB"
        )


def most_threads() -> int:
    """PyTorch's number of threads, but no more than the cores that this process may use."""
    return min(torch.get_num_threads(), joblib.cpu_count())


def choose_threads() -> int:
    """One thread for each core that is free now, from 1 to :func:`most_threads`."""
    most = most_threads()
    if most == 1:
        return 1
    shares = psutil.cpu_percent(LOOK_SECONDS, percpu=True)
    free = len(shares) - sum(shares) / 100
    return max(1, min(most, round(free)))


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Inside, PyTorch computes with ``count`` threads; outside, with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def deterministic_algorithms(device: torch.device) -> Iterator[None]:
    """Inside, CUDA gives the same numbers each time; outside, torch's settings are as before.

    On another device nothing changes. torch warns about an operation that has no such algorithm. If the
    caller has told torch to raise an error instead, torch still does.

    Args:
        device: the device that computes, from :func:`choose_device`.
    """
    if device.type != "cuda":
        yield
        return
    mode = torch.get_deterministic_debug_mode()  # 0: off, 1: on with warnings, 2: on with errors
    of_cudnn = cudnn.deterministic, cudnn.benchmark
    fill = memory.fill_uninitialized_memory  # type: ignore[attr-defined]  # torch adds it later
    try:
        cudnn.deterministic, cudnn.benchmark = True, False
        # This is torch.use_deterministic_algorithms without its import of torch's compiler.
        torch.set_deterministic_debug_mode(max(mode, 1))
        # torch would overwrite all new memory, to make faulty code repeatable. That only takes time.
        memory.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        yield
    finally:
        memory.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
        torch.set_deterministic_debug_mode(mode)
        cudnn.deterministic, cudnn.benchmark = of_cudnn
