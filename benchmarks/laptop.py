"""dlib's face network on a CPU: which faces give its statistics, and what to train on a laptop.

    python benchmarks/laptop.py data/ferplus [TRIAL ...]

Trains on 1,200 faces of FERPlus with 30 % symmetric noise, and looks at 600 validation and 600 test
faces. Each trial uses one thread, so two of them can run at the same time on two cores. The runs are
stored below ``runs/laptop``, so a second call finds them. A call without a trial takes all, prints
a table and writes ``benchmarks/results/laptop.json``. About 2 hours of one core.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pandas as pd
import torch
from results import keep

import eacbook as eb
from eacbook.experiments.runs import find_or_train
from eacbook.models.registry import NETWORKS

FACES, HELD_OUT, NOISE = 1200, 600, 0.3
LAPTOP = NETWORKS["dlib-face"].laptop
SEEDS = {"recipe": (0, 1, 2)}
TRIALS = {
    "recipe": {},
    "statistics of FERPlus": {"own_statistics": True},
    "lower half frozen": {"frozen": 7},
}
"""What each trial changes: the faces of the statistics, or how many blocks are not trained."""


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
    faces = eb.load_faces(folder).limit(FACES, held_out=HELD_OUT)
    for seed in SEEDS.get(trial, (0,)):
        noisy = eb.inject_noise(faces.train.labels, NOISE, 7, seed=seed)
        for method in (eb.Baseline(), eb.EAC()):
            network = network_of(faces, seed, **TRIALS[trial])
            run = find_or_train(
                method, network, faces, noisy,
                folder="runs/laptop", device="cpu", hooks=[eb.Progress()], seed=seed, **LAPTOP,
            )  # fmt: skip
            numbers = {k: v for k, v in run.summary.items() if isinstance(v, (int, float))}
            yield {"trial": trial, "method": method.name, "seed": seed, **numbers}


def main() -> None:
    torch.set_num_threads(1)
    folder, *trials = sys.argv[1:]
    unknown = [name for name in trials if name not in TRIALS]
    if unknown:
        raise SystemExit(f"unknown trial {unknown[0]!r}: expected one of {', '.join(TRIALS)}")
    rows = [row for trial in trials or TRIALS for row in results_of(folder, trial)]
    columns = [
        "trial",
        "method",
        "seed",
        "validation_accuracy",
        "test_accuracy",
        "memorised",
        "seconds",
    ]
    print(pd.DataFrame(rows)[columns].round(3).to_string(index=False))
    if not trials:
        keep("laptop", rows, "cpu", recipe=dict(LAPTOP), trials=TRIALS)


if __name__ == "__main__":
    main()
