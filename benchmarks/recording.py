"""What recording costs: the same trainings with and without it, turn by turn.

    python benchmarks/recording.py

Trains the book's baseline and EAC for a few epochs with and without ``SampleLosses`` and ``Recording``,
and divides the seconds of the whole training, evaluation included: seconds of the processor on one
thread, which other work on the machine hardly changes. Prints the median ratio and its range, and writes
``benchmarks/results/recording.json``.
"""

from __future__ import annotations

import time

import pandas as pd
import torch
from results import keep

from eacbook.book.demo import METHODS
from eacbook.book.runs import RATE, book_faces
from eacbook.models.networks import build_network
from eacbook.noise.inject import inject_noise
from eacbook.training.hooks import SampleLosses
from eacbook.training.loop import train
from eacbook.training.recording import Recording

EPOCHS, PAIRS = 3, 7


def seconds(method, network, faces, noisy, hooks) -> float:
    begin = time.process_time()
    train(method, network, faces, noisy, hooks=hooks, epochs=EPOCHS)
    return time.process_time() - begin


def main() -> None:
    torch.set_num_threads(1)
    faces = book_faces()
    noisy = inject_noise(faces.train.labels, RATE, faces.num_classes)
    network = build_network("tiny", faces.num_classes)
    rows = []
    for method in METHODS:
        seconds(method, network, faces, noisy, [])  # warm up
        for _ in range(PAIRS):
            plain = seconds(method, network, faces, noisy, [])
            recorded = seconds(method, network, faces, noisy, [SampleLosses(), Recording()])
            rows.append({"method": method.name, "plain": plain, "recorded": recorded})
    table = pd.DataFrame(rows)
    table["ratio"] = table["recorded"] / table["plain"]
    keep("recording", table.to_dict("records"))
    print(table.groupby("method")["ratio"].describe()[["count", "min", "50%", "max"]].round(3))


if __name__ == "__main__":
    main()
