"""What tests/test_processes.py starts, once alone and once as two processes: python FILE OUT RUNS."""

import json
import sys
from pathlib import Path

import torch
from conftest import striped_faces

from eacbook import processes
from eacbook.hooks import Progress, SampleLosses
from eacbook.methods import EAC, RUL, SCN, Baseline, SmallLoss
from eacbook.networks import build_network
from eacbook.noise import inject_noise
from eacbook.runs import find_or_train

METHODS = [
    Baseline(),
    SmallLoss(noise_rate=0.25, ramp=1),
    SCN(relabel_epoch=1, relabel_margin=0.05),
    RUL(dropout=0.0),
    EAC(weight=1.0),
    EAC(weight=1.0, one_pass=True),
]


def main(out: Path, runs: Path) -> None:
    torch.set_num_threads(1)
    faces = striped_faces(train=97)  # the last batch is uneven
    noisy = inject_noise(faces.train.labels, 0.25, 3)
    curves = {}
    with processes.joined():
        for method in METHODS:
            run = find_or_train(
                method, build_network("tiny", 3), faces, noisy,
                folder=runs, hooks=[SampleLosses(), Progress()], device="cpu",
                epochs=2, batch_size=33, learning_rate=1e-3,
            )  # fmt: skip
            weights = torch.cat([p.flatten() for p in run.network.state_dict().values()])
            curves[str(method)] = {
                "losses": [row["loss"] for row in run.rows],
                "accuracies": [row["test_accuracy"] for row in run.rows],
                "kept": {name: kept.tolist() for name, kept in run.kept.items()},
                "weights": weights.double().tolist(),
                "stored": run.stored,
            }
        rank = torch.distributed.get_rank() if processes.count() > 1 else 0
    (out / f"{rank}.json").write_text(json.dumps(curves))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
