"""What test_distributed.py does alone and starts as two processes: torchrun FILE OUT RUNS."""

import importlib
import json
import sys
from pathlib import Path

import torch

from eacbook.experiments.runs import find_or_train
from eacbook.methods import EAC, ELR, RUL, SCN, Baseline, CoTeaching, ReSup
from eacbook.models.networks import build_network
from eacbook.noise.inject import inject_noise
from eacbook.training import distributed
from eacbook.training.hooks import Progress, SampleLosses
from eacbook.training.state import Run

sys.path.insert(0, str(Path(__file__).parents[1]))  # torchrun starts this file as a script
striped_faces = importlib.import_module("conftest").striped_faces
METHODS = [
    Baseline(),
    CoTeaching(noise_rate=0.25, ramp=1),
    SCN(relabel_epoch=1, relabel_margin=0.05),
    RUL(dropout=0.0, relabel_epoch=2),
    ELR(),
    ReSup(),
    EAC(weight=1.0),
    EAC(weight=1.0, one_pass=True),
]


def runs_in(folder: Path) -> dict[str, Run]:
    """A run of each method, trained or found there."""
    faces = striped_faces(train=97)  # the last batch is uneven
    noisy = inject_noise(faces.train.labels, 0.25, 3)
    runs = {}
    for method in METHODS:
        runs[str(method)] = find_or_train(
            method, build_network("tiny", 3), faces, noisy,
            folder=folder, hooks=[SampleLosses(), Progress()], device="cpu",
            epochs=2, batch_size=33, learning_rate=1e-3,
        )  # fmt: skip
    return runs


def main(out: Path, runs: Path) -> None:
    torch.set_num_threads(1)
    curves = {}
    with distributed.process_group("cpu"):
        for name, run in runs_in(runs).items():
            weights = torch.cat([p.flatten() for p in run.network.state_dict().values()])
            curves[name] = {
                "losses": [row["loss"] for row in run.rows],
                "accuracies": [row["test_accuracy"] for row in run.rows],
                "kept": {name: kept.tolist() for name, kept in run.records.items()},
                "weights": weights.double().tolist(),
                "stored": run.stored,
            }
        for name, run in runs_in(runs).items():
            curves[name]["stored again"] = run.stored
        rank = torch.distributed.get_rank() if distributed.world_size() > 1 else 0
    (out / f"{rank}.json").write_text(json.dumps(curves))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
