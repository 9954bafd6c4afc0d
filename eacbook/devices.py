"""Threads on the CPU: no more than there are free cores.

PyTorch's threads wait for each other hundreds of times in a training step. Where another program keeps
a core busy, each wait can last until that program pauses, and a step takes many times as long.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import joblib
import psutil
import torch

LOOK_SECONDS = 0.2
"""For how long the cores are watched before a number of threads is chosen."""


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
