"""Where the cells of a grid are trained: on this machine's cores or GPUs, or on a Ray cluster.

Everything goes through joblib: its loky processes here, its Ray backend there. A worker may die in the
middle (memory, a node that is switched off). What it was doing is then done again, and goes on from its
checkpoint; a cell beside which workers die again and again is tried alone, and given up if its worker
dies there too. Where the process that started them dies, workers on this machine end within seconds.
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

GIBIBYTES = {"tiny": 1, "resnet18": 4, "resnet50": 10}
"""Memory that a worker on the CPU is given room for; rough, and on the safe side."""

SETBACKS = 2
"""After so many deaths of workers without a finished cell between them, cells are tried one by one."""

SECONDS_TO_ANSWER = 5
SECONDS_BETWEEN_LOOKS = 1
"""So often a worker looks whether the process that started it still lives."""


@dataclass(frozen=True)
class Workers:
    """Who trains.

    Attributes:
        count: of cells trained at the same time.
        threads: of torch in each.
        device: where a worker trains; ``"cuda"`` means the GPU that is free.
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

    One for each GPU; on the CPU one for each core, as far as the free memory goes.

    Raises:
        InputError: ``count`` is below 1, or there is no such device.
    """
    _check_count(count)
    cores = joblib.cpu_count()
    chosen = str(choose_device(device))
    if chosen == "cpu":
        needed = GIBIBYTES[network.removesuffix("-caffe")] << 30
        room = psutil.virtual_memory().available // needed
        fitting = max(1, min(cores, room))
    else:
        fitting = torch.cuda.device_count() if chosen == "cuda" else 1
    count = count or fitting
    return Workers(count, max(1, cores // count), chosen)


def workers_of_cluster(address: str, count: int | None, device: str | None = None) -> Workers:
    """As many workers as a Ray cluster has GPUs or else cores, or ``count``; connects to it.

    Raises:
        InputError: Ray is not installed, or no cluster answers there.
    """
    _check_count(count)
    try:
        import ray
        from ray.util.joblib.ray_backend import RayBackend
    except ImportError as error:
        raise InputError(
            "a cluster needs Ray, which is not installed: pip install 'eacbook[cluster]'"
        ) from error
    _check_somebody_listens(address)
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except Exception as error:  # Ray raises many kinds, down to plain RuntimeError
            reason = str(error).strip().splitlines()[0]
            raise InputError(
                f"the Ray cluster at {address} does not let us in: {reason}"
            ) from error

    class UnorderedRayBackend(RayBackend):
        """Ray calls back for each result, so it can hand them out one by one, though joblib forbids it
        to every child of its multiprocessing backend."""

        supports_return_generator = True

    joblib.register_parallel_backend("ray", UnorderedRayBackend)
    resources = ray.cluster_resources()
    there = int(resources.get("GPU") or resources.get("CPU", 1))
    return Workers(count or there, 1, device, address)


def each_once(work: Callable, items: Sequence, workers: Workers) -> Iterator:
    """Call ``work(item)`` for every item, and yield ``(item, result, None)`` as it is finished.

    Where the workers die over and over it is ``(item, None, reason)``.

    Args:
        work: a function that can be sent to another process and lets no exception out.
        items: what it is called with.
        workers: who does it.
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
        except Exception as error:  # work lets none out: a worker died, in its backend's own words
            if alone:
                finished.append(left[0])
                yield left[0], None, f"its worker died ({str(error).strip().splitlines()[0]})"
            setbacks = 0 if finished else setbacks + 1
        left = [item for item in left if item not in finished]


def _labelled(work: Callable, item, parent: int | None) -> tuple:
    """Args: parent: the process to end with; None on a cluster, which sees to that itself."""
    if parent is not None and parent != os.getpid():
        _end_with(parent)
    return item, work(item)


@functools.cache
def _end_with(parent: int) -> None:
    """From now on, end this process when its parent has ended, were it in the middle of a training.

    Nothing is lost by it: a training goes on from its checkpoint.
    """

    def watch() -> None:
        # A dead parent's children get another one; on Windows they keep the number of the dead one.
        while os.getppid() == parent and psutil.pid_exists(parent):
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def training_place(workers: Workers) -> Iterator[str | None]:
    """Inside a worker: torch's threads for this cell, and the device to train it on."""
    with use_threads(workers.threads):
        if workers.device == "cuda" and not workers.cluster and torch.cuda.device_count() > 1:
            with _free_gpu() as device:
                yield device
        else:
            yield workers.device


@contextlib.contextmanager
def _free_gpu() -> Iterator[str]:
    """A GPU of this machine that no other worker of this user has; a dead worker's lock is free."""
    user = getattr(os, "getuid", lambda: "")()  # elsewhere the temporary folder is the user's own
    folder = Path(tempfile.gettempdir()) / f"eacbook-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    while True:
        for number in range(torch.cuda.device_count()):
            lock = FileLock(folder / f"gpu-{_gpu_name(number)}.lock")
            with contextlib.suppress(Timeout), lock.acquire(timeout=0.1):
                yield f"cuda:{number}"
                return


def _gpu_name(number: int) -> str:
    """The card behind torch's number: jobs with other CUDA_VISIBLE_DEVICES number it differently."""
    uuid = getattr(torch.cuda.get_device_properties(number), "uuid", None)
    if uuid is not None:
        return str(uuid)
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    name = visible[number] if number < len(visible) and visible[number] else str(number)
    return name.replace("/", "-")


def _backend(workers: Workers):
    """joblib's backend, with as many workers as there are by now: nodes of a cluster come and go."""
    if not workers.cluster:
        return joblib.parallel_config(
            "loky", n_jobs=workers.count, inner_max_num_threads=workers.threads
        )
    import ray

    resources = ray.cluster_resources()
    gpus, count = int(resources.get("GPU", 0)), min(workers.count, int(resources.get("CPU", 1)))
    remote = {"scheduling_strategy": "SPREAD"}
    if gpus:
        # joblib would train a single worker's cells in this process: two share a lonely GPU instead.
        count = min(count, max(gpus, 2))
        remote["num_gpus"] = min(1, gpus / count)
    return joblib.parallel_config("ray", n_jobs=count, ray_remote_args=remote)


def _check_count(count: int | None) -> None:
    if count is not None:
        whole_number("workers", count, 1)


def _check_somebody_listens(address: str) -> None:
    """Ray itself tries for minutes."""
    try:
        parts = urlsplit(address if "//" in address else f"//{address}")
        there = parts.hostname, parts.port
    except ValueError:
        there = None, None
    if None in there:
        raise InputError(f"{address!r} is no address of a Ray cluster: expected ray://HOST:10001")
    try:
        socket.create_connection(there, timeout=SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise InputError(
            f"no Ray cluster answers at {address} ({error.strerror or error})"
        ) from error
