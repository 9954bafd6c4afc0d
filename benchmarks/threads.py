"""What a busy core costs: drawing and training with one of the cores idle, and with one kept busy.

    python benchmarks/threads.py

Each round measures every contestant twice: on the machine as it is, and beside a program that keeps one
core busy. *eacbook* is the product as it stands. *A thread a core* is PyTorch's own way: a thread for
each core, and threads that wait spin 300,000 times before they sleep (GNU's default on Linux). Prints
the median seconds of each, and the median ratio busy / idle of the rounds with its range. Writes
``benchmarks/results/threads.json``. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys

import pandas as pd

CONTESTANTS = {
    "eacbook": {},
    "a thread a core": {"GOMP_SPINCOUNT": "300000"},
}
JOBS = ("drawing", "training")
EPOCHS = 2
LONGEST = 300
"""Seconds after which a measurement is given up; its figure is then this number."""


def measure(contestant: str) -> dict[str, float]:
    """Seconds of drawing the book's faces and of a short training of EAC, in this process."""
    import time

    import torch

    from eacbook import devices
    from eacbook.synthetic import faces as synthetic
    from eacbook.training import loop, setup

    if contestant != "eacbook":
        cores = torch.get_num_threads()
        synthetic.use_threads = lambda count: devices.use_threads(cores)
        setup.choose_threads = lambda: cores
    from eacbook.book.runs import RATE, book_faces
    from eacbook.methods import EAC
    from eacbook.models.networks import build_network
    from eacbook.noise.inject import inject_noise

    begin = time.perf_counter()
    faces = book_faces()
    drawing = time.perf_counter() - begin
    noisy = inject_noise(faces.train.labels, RATE, faces.num_classes)
    network = build_network("tiny", faces.num_classes)
    begin = time.perf_counter()
    run = loop.train(EAC(), network, faces, noisy, epochs=EPOCHS)
    return {
        "drawing": drawing,
        "training": time.perf_counter() - begin,
        "threads": run.threads,
    }


def keep_busy() -> None:
    while True:
        pass


def in_a_process(contestant: str, busy: bool) -> dict[str, float]:
    """:func:`measure` in a process of its own, with the contestant's environment."""
    rival = multiprocessing.Process(target=keep_busy, daemon=True)
    if busy:
        rival.start()
    try:
        done = subprocess.run(
            [sys.executable, __file__, "--measure", contestant],
            env=os.environ | CONTESTANTS[contestant],
            stdout=subprocess.PIPE, check=True, text=True, timeout=LONGEST,
        )  # fmt: skip
        return json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return dict.fromkeys(JOBS, LONGEST)
    finally:
        if busy:
            rival.kill()
            rival.join()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--measure", choices=list(CONTESTANTS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    from results import keep

    rows = []
    for number in range(options.rounds):
        for contestant in CONTESTANTS:
            for busy in (False, True):
                row = in_a_process(contestant, busy)
                rows.append({"round": number, "contestant": contestant, "busy": busy, **row})
                print(rows[-1], flush=True)
    keep("threads", rows, "cpu")
    table = pd.DataFrame(rows)
    for contestant, own in table.groupby("contestant", sort=False):
        idle, busy = (own[own["busy"] == value].set_index("round") for value in (False, True))
        for job in JOBS:
            ratio = busy[job] / idle[job]
            spread = (
                f"{ratio.median():.2f} ({ratio.min():.2f} to {ratio.max():.2f}, n {len(ratio)})"
            )
            seconds = f"idle {idle[job].median():.1f} s, busy {busy[job].median():.1f} s"
            print(f"{contestant}, {job}: {seconds}, busy / idle {spread}")


if __name__ == "__main__":
    main()
