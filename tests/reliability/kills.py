"""Trainings that are killed and started again until they end: nothing may be lost, nothing left.

SIGKILL comes at a random moment, or right before the n-th file operation that Python's audit hook or
``fsync`` tells of. Every start is a process of its own, forked from one that has loaded PyTorch. What
must be found in the end: the weights, labels and rows of a training that nobody disturbed, to the last
bit, and not one file more.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from eacbook.cli import main

from ..conftest import prepare_stripes

OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate")
MOST_KILLS = 5
"""A command is killed at most so often before it may end."""

SECONDS = 300


@dataclass(frozen=True)
class Killed:
    """What became of a command that was killed.

    Attributes:
        command: which one.
        number: which of its trials.
        moments: when it was killed each time, in words.
        verdict: ``"bit-identical"``, or the name of a failure.
        words: what differs.
    """

    command: str
    number: int
    moments: tuple[str, ...]
    verdict: str
    words: str

    @property
    def failed(self) -> bool:
        return self.verdict != "bit-identical"


def arguments(command: str, folder: Path) -> list[str]:
    """Short, and with everything in it: a checkpoint an epoch, labels that change, a table."""
    data = str(folder.parent / "set")
    small = ["--data", data, "--epochs", "3", "--batch-size", "16", "--device", "cpu"]
    small += ["--folder", str(folder)]
    if command == "train":
        return ["train", "--method", "scn:relabel_epoch=1", *small]
    workers = "2" if command == "table, two workers" else "1"
    grid = ["--methods", "baseline", "eac", "--noise", "0.3", "--seeds", "0", "--workers", workers]
    return ["table", *grid, *small]


COMMANDS = {"train": 0.5, "table": 0.35, "table, two workers": 0.15}
"""What is killed, and its share of the kills. A single worker is the process itself; where there are
two, the command or a worker is killed at random moments."""


def run_kills(command: str, count: int, seed: int) -> Iterator[Killed]:
    """Kill a command ``count`` times in all, at moments that are drawn; a result for each series."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder).resolve()
        prepare_stripes(here / "set", train=64)
        began = time.monotonic()
        if wait(start(command, here / "undisturbed")):
            raise RuntimeError(f"'eacbook {command}' fails without any kill")
        seconds = time.monotonic() - began
        wanted = contents(here / "undisturbed")
        operations = 0 if "workers" in command else count_operations(command, here / "counted")
        rng = random.Random(f"{seed}/{command}")
        every = rng.sample(range(operations), operations)
        number = 0
        while count > 0:
            runs, moments, left = here / f"runs{number}", [], []
            # Once in a while a command is killed again when it goes on.
            for _ in range(min(count, rng.choice((1, 1, 1, 2, MOST_KILLS)))):
                if every and (rng.random() < 0.5 or count <= len(every)):
                    at = every.pop()
                    moments.append(f"before file operation {at + 1} of {operations}")
                    wait(start(command, runs, die_before=at))
                else:
                    after = rng.uniform(0, seconds)
                    moments.append(f"after {after:.2f} of {seconds:.2f} s")
                    left += kill_after(start(command, runs), after, rng)
                count -= 1
            verdict, words = end(command, runs, wanted)
            if alive := psutil.wait_procs(left, timeout=10)[1]:
                verdict, words = "left a process", f"{len(alive)} live on"
                for process in alive:
                    process.kill()
            yield Killed(command, number, tuple(moments), verdict, words)
            shutil.rmtree(runs, ignore_errors=True)
            number += 1


def end(command: str, runs: Path, wanted: dict[str, object]) -> tuple[str, str]:
    """Start it once more, let it end, and look at what is there."""
    status = wait(start(command, runs))
    if status:
        return "does not end", f"exit status {status}"
    found = contents(runs)
    if extra := sorted(found.keys() - wanted.keys()):
        return "left something", ", ".join(extra)
    if missing := sorted(wanted.keys() - found.keys()):
        return "lost something", ", ".join(missing)
    if others := sorted(name for name, content in found.items() if content != wanted[name]):
        return "another result", ", ".join(others)
    return "bit-identical", f"{len(found)} files"


def start(command: str, folder: Path, die_before: int | None = None, count_into: int | None = None):
    """A process that runs the command; it may kill itself, or tell how many file operations it did."""
    child = os.fork()
    if child:
        return psutil.Process(child)
    status = 1
    try:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        operations = Operations(folder, die_before)
        status = main(arguments(command, folder))
        if count_into is not None:
            os.write(count_into, str(operations.count).encode())
    finally:
        os._exit(status)


class Operations:
    """Counts the file operations under a folder, and kills the process right before one of them."""

    def __init__(self, folder: Path, die_before: int | None):
        self.folder, self.die_before, self.count = str(folder), die_before, 0
        fsync = os.fsync

        def counted(file):
            self.see()
            fsync(file)

        os.fsync = counted  # of which there is no audit event
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple) -> None:
        if event in OPERATIONS and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.fsdecode(arguments[0])
            # What removes a whole folder gives names relative to an open one.
            if path.startswith(self.folder) or not Path(path).is_absolute():
                self.see()

    def see(self) -> None:
        if self.count == self.die_before:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1


def count_operations(command: str, folder: Path) -> int:
    reader, writer = os.pipe()
    wait(start(command, folder, count_into=writer))
    os.close(writer)
    with os.fdopen(reader) as file:
        return int(file.read())


def wait(process: psutil.Process) -> int:
    """The exit status, as ``waitpid`` gives it."""
    ended = threading.Timer(SECONDS, process.kill)
    ended.start()
    try:
        return os.waitpid(process.pid, 0)[1]
    finally:
        ended.cancel()


def kill_after(process: psutil.Process, seconds: float, rng: random.Random) -> list[psutil.Process]:
    """Kill it, or one of its workers, which it then has to replace.

    Returns:
        What it had started: all of it has to end with it.
    """
    with contextlib.suppress(psutil.TimeoutExpired):
        process.wait(seconds)
    with contextlib.suppress(psutil.NoSuchProcess):
        family = process.children(recursive=True)
        victim = rng.choice([process, *family])
        victim.kill()
        wait(process)
        return family
    return []


def contents(folder: Path) -> dict[str, object]:
    """What is in a folder of runs, without what a clock said."""

    def read(path: Path) -> object:
        if path.name == "run.json":
            facts = json.loads(path.read_text(encoding="utf-8"))
            rows = [{k: v for k, v in row.items() if k != "seconds"} for row in facts["rows"]]
            return facts["settings"], rows
        if path.name == "cells.csv":
            with path.open(encoding="utf-8", newline="") as file:
                return [
                    {k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)
                ]
        return path.read_bytes() if path.suffix == ".safetensors" else None

    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): read(path) for path in paths}
