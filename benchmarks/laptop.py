"""dlib's face network on a CPU: which faces give its statistics, and what to train on a laptop.

    python benchmarks/laptop.py data/ferplus                 # lists the trials, and which are measured
    python benchmarks/laptop.py data/ferplus "6 epochs"      # measures these
    python benchmarks/laptop.py data/ferplus all

Trains on 1,200 faces of FERPlus with 30 % symmetric noise, and looks at 600 validation and 600 test
faces. Each trial uses one thread. The runs are stored below ``runs/laptop``, so a second call finds
them. Prints a table, and puts the rows of the trials into ``benchmarks/results/laptop.json``. All trials
are about 2 1/2 hours of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pandas as pd
import torch
from results import keep, stored

import eacbook as eb
from eacbook.experiments.runs import find_or_train
from eacbook.models.registry import NETWORKS

FACES, HELD_OUT, NOISE = 1200, 600, 0.3
LAPTOP = NETWORKS["dlib-face"].laptop
SEEDS = {"recipe": (0, 1, 2), "12 epochs": (0, 1, 2)}
TRIALS = {
    "recipe": {},
    "12 epochs": {"epochs": 12},
    "6 epochs": {"epochs": 6},
    "12 epochs, statistics of FERPlus": {"epochs": 12, "own_statistics": True},
    "12 epochs, lower half frozen": {"epochs": 12, "frozen": 7},
    "12 epochs, 64 pixels": {"epochs": 12, "size": 64},
    "12 epochs, 112 pixels": {"epochs": 12, "size": 112},
    "12 epochs, 600 faces": {"epochs": 12, "faces": 600},
}
"""What each trial changes: the faces of the statistics, how many blocks are not trained, the number of
faces, or the recipe. When the recipe was looked for, it had 12 epochs."""
COLUMNS = (
    "trial",
    "method",
    "seed",
    "validation_accuracy",
    "test_accuracy",
    "memorised",
    "seconds",
)


def network_of(
    faces: eb.FaceData, seed: int, own_statistics: bool = False, frozen: int = 0
) -> torch.nn.Module:
    own = faces if own_statistics else None
    network = eb.build_network("dlib-face", 7, weights="dlib", seed=seed, faces=own)
    if frozen:
        lower = network.backbone.conv, network.backbone.norm, network.backbone.blocks[:frozen]
        for part in lower:
            part.requires_grad_(False)
    return network


def results_of(folder: str, trial: str) -> Iterator[dict]:
    """Train (or find) baseline and EAC with every seed of a trial."""
    changes = dict(TRIALS[trial])
    count = changes.pop("faces", FACES)
    of_network = {key: changes.pop(key) for key in ("own_statistics", "frozen") if key in changes}
    faces = eb.load_faces(folder).limit(count, held_out=HELD_OUT)
    for seed in SEEDS.get(trial, (0,)):
        noisy = eb.inject_noise(faces.train.labels, NOISE, 7, seed=seed)
        for method in (eb.Baseline(), eb.EAC()):
            network = network_of(faces, seed, **of_network)
            run = find_or_train(
                method, network, faces, noisy, folder="runs/laptop", device="cpu",
                hooks=[eb.Progress()], seed=seed, **(LAPTOP | changes),
            )  # fmt: skip
            numbers = {k: v for k, v in run.summary.items() if isinstance(v, (int, float))}
            yield {"trial": trial, "method": method.name, "seed": seed, **numbers}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", help="prepared FERPlus")
    parser.add_argument("trials", nargs="*", help="names of trials, or all")
    options = parser.parse_args()
    trials = [*TRIALS] if options.trials == ["all"] else options.trials
    for unknown in set(trials) - set(TRIALS):
        parser.error(f"unknown trial {unknown!r}: expected all, or some of {', '.join(TRIALS)}")
    torch.set_num_threads(1)
    rows = stored("laptop")
    for trial in trials:
        measured = list(results_of(options.folder, trial))
        rows = [*(row for row in rows if row["trial"] != trial), *measured]
        keep("laptop", rows, "cpu", recipe=dict(LAPTOP), trials=TRIALS)
    print(pd.DataFrame(rows)[[*COLUMNS]].round(3).to_string(index=False))
    missing = [name for name in TRIALS if name not in {row["trial"] for row in rows}]
    print("not measured:", ", ".join(missing) or "none")


if __name__ == "__main__":
    main()
