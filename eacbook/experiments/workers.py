"""The workers that train the cells of a grid: on this machine's cores or GPUs, or on a Ray cluster.

joblib starts them: as loky processes on this machine, or with its Ray backend on a cluster. A worker may
die during a training (memory, a node that is switched off). Then its cell is started again, and goes on
from its checkpoint. After several deaths, cells are tried one by one. A cell whose worker dies again is
given up. If the process that started the workers dies, workers on this machine end within seconds.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import joblib
import psutil
import torch
from filelock import FileLock, Timeout

from eacbook.checks import whole_number
from eacbook.devices import choose_device, use_threads
from eacbook.errors import InputError
from eacbook.extras import install_line
from eacbook.models.registry import NETWORKS

SETBACKS = 2
"""After this many deaths of workers without a finished cell between them, cells are tried one by one."""

SECONDS_TO_ANSWER = 5
SECONDS_BETWEEN_LOOKS = 1
"""How often a worker checks whether the process that started it still lives."""


@dataclass(frozen=True)
class Workers:
    """The workers of a grid.

    Attributes:
        count: number of cells that are trained at the same time.
        threads: number of PyTorch's threads in each worker.
        device: the device of a worker; ``"cuda"`` means a GPU that is free.
        cluster: address of a Ray cluster, or None for this machine.
    """

    count: int
    threads: int
    device: str | None
    cluster: str | None = None

    def __str__(self) -> str:
        where = f"the cluster {self.cluster}" if self.cluster else f"{self.device}"
        workers = "1 worker" if self.count == 1 else f"{self.count} workers"
        return f"{workers} on {where}"


def workers_here(count: int | None, network: str, device: str | None = None) -> Workers:
    """As many workers as fit on this machine, or ``count``.

    There is one for each GPU. On the CPU there is one for each core, if the free memory is sufficient.

    Raises:
        InputError: ``count`` is below 1, or this machine has no such device.
    """
    _check_count(count)
    cores = joblib.cpu_count()
    chosen = str(choose_device(device))
    if chosen == "cpu":
        needed = NETWORKS[network].gibibytes << 30
        room = psutil.virtual_memory().available // needed
        fitting = max(1, min(cores, room))
    else:
        fitting = torch.cuda.device_count() if chosen == "cuda" else 1
    count = count or fitting
    return Workers(count, max(1, cores // count), chosen)


def workers_of_cluster(address: str, count: int | None, device: str | None = None) -> Workers:
    """Connect to a Ray cluster: as many workers as it has GPUs (or cores, without GPUs), or ``count``.

    Raises:
        InputError: Ray is not installed, or no cluster answers at this address.
    """
    _check_count(count)
    try:
        import ray
        from ray.util.joblib.ray_backend import RayBackend
    except ImportError as error:
        raise InputError(
            f"a cluster needs Ray, which is not installed: {install_line('cluster')}"
        ) from error
    _check_somebody_listens(address)
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except Exception as error:  # Ray raises many kinds of errors, also RuntimeError
            reason = str(error).strip().splitlines()[0]
            raise InputError(
                f"the Ray cluster at {address} refuses the connection: {reason}"
            ) from error

    class UnorderedRayBackend(RayBackend):
        """Ray calls back for each result, so it can return results one by one. joblib forbids this for
        every subclass of its multiprocessing backend."""

        supports_return_generator = True

    joblib.register_parallel_backend("ray", UnorderedRayBackend)
    resources = ray.cluster_resources()
    there = int(resources.get("GPU") or resources.get("CPU", 1))
    return Workers(count or there, 1, device, address)


def each_once(work: Callable, items: Sequence, workers: Workers) -> Iterator:
    """Call ``work(item)`` for every item, and yield ``(item, result, None)`` when it is finished.

    If the workers die again and again, ``(item, None, reason)`` is yielded.

    Args:
        work: a function that can be sent to another process and raises no exception.
        items: the arguments of the calls.
        workers: the workers that call it.
    """
    left, setbacks = list(items), 0
    parent = None if workers.cluster else os.getpid()
    while left:
        alone = setbacks == SETBACKS
        finished = []
        try:
            with _backend(workers):
                parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1)
                some = left[:1] if alone else left
                for item, result in parallel(
                    joblib.delayed(_labelled)(work, item, parent) for item in some
                ):
                    finished.append(item)
                    yield item, result, None
        except Exception as error:  # work raises none, so a worker died; the backend raised this
            if alone:
                finished.append(left[0])
                yield left[0], None, f"its worker died ({str(error).strip().splitlines()[0]})"
            setbacks = 0 if finished else setbacks + 1
        left = [item for item in left if item not in finished]


def _labelled(work: Callable, item, parent: int | None) -> tuple:
    """Call ``work`` in a worker that ends with the process ``parent`` (None on a cluster)."""
    if parent is not None and parent != os.getpid():
        _end_with(parent)
    return item, work(item)


@functools.cache
def _end_with(parent: int) -> None:
    """From now on, end this process when its parent has ended, even during a training.

    Nothing is lost, because a training continues from its checkpoint.
    """

    def watch() -> None:
        # If a parent dies, its children get another parent. On Windows they keep the old number.
        while os.getppid() == parent and psutil.pid_exists(parent):
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def training_place(workers: Workers) -> Iterator[str | None]:
    """In a worker: set the number of PyTorch's threads for a cell, and choose its device."""
    with use_threads(workers.threads):
        if workers.device == "cuda" and not workers.cluster and torch.cuda.device_count() > 1:
            with _free_gpu() as device:
                yield device
        else:
            yield workers.device


@contextlib.contextmanager
def _free_gpu() -> Iterator[str]:
    """A GPU of this machine that no other worker of this user has. A dead worker holds no lock."""
    user = getattr(os, "getuid", lambda: "")()  # on Windows the temporary folder is the user's own
    folder = Path(tempfile.gettempdir()) / f"eacbook-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    while True:
        for number in range(torch.cuda.device_count()):
            lock = FileLock(folder / f"gpu-{_gpu_name(number)}.lock")
            with contextlib.suppress(Timeout), lock.acquire(timeout=0.1):
                yield f"cuda:{number}"
                return


def _gpu_name(number: int) -> str:
    """A name of the GPU itself. Its number is another one in jobs with other CUDA_VISIBLE_DEVICES."""
    uuid = getattr(torch.cuda.get_device_properties(number), "uuid", None)
    if uuid is not None:
        return str(uuid)
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    name = visible[number] if number < len(visible) and visible[number] else str(number)
    return name.replace("/", "-")


def _backend(workers: Workers):
    """joblib's backend, with the current number of workers: the nodes of a cluster can change."""
    if not workers.cluster:
        return joblib.parallel_config(
            "loky", n_jobs=workers.count, inner_max_num_threads=workers.threads
        )
    import ray

    resources = ray.cluster_resources()
    gpus, count = int(resources.get("GPU", 0)), min(workers.count, int(resources.get("CPU", 1)))
    remote = {"scheduling_strategy": "SPREAD"}
    if gpus:
        # With one worker, joblib would train in this process. So two workers share a single GPU.
        count = min(count, max(gpus, 2))
        remote["num_gpus"] = min(1, gpus / count)
    return joblib.parallel_config("ray", n_jobs=count, ray_remote_args=remote)


def _check_count(count: int | None) -> None:
    if count is not None:
        whole_number("workers", count, 1)


def _check_somebody_listens(address: str) -> None:
    """Check that a server answers at the address, because Ray itself would try for minutes."""
    try:
        parts = urlsplit(address if "//" in address else f"//{address}")
        there = parts.hostname, parts.port
    except ValueError:
        there = None, None
    if None in there:
        raise InputError(
            f"{address!r} is not the address of a Ray cluster: expected ray://HOST:10001"
        )
    try:
        socket.create_connection(there, timeout=SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise InputError(
            f"no Ray cluster answers at {address} ({error.strerror or error})"
        ) from error
