"""What was chosen on validation faces: three settings of each method, and ideas that did not stay.

    python benchmarks/settings.py                # lists the trials, and which are measured
    python benchmarks/settings.py ELR RUL        # measures these
    python benchmarks/settings.py all

Each method gets the same effort: its published setting (for EAC ours), and two others of one number.
SCN and RUL also have a trial of relabelling. The ideas combine EAC with what other methods do, at EAC's
cost of two passes. All train on 1,500 synthetic faces with 30 % symmetric noise, seeds 0, 1 and 2, one
thread.
The runs are stored below ``runs/settings``, so a second call finds them. Prints mean and spread of the
validation accuracy (the last five epochs), and writes ``benchmarks/results/settings.json``. All trials
are a good hour of one core.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch
from results import keep, stored
from torch import Tensor
from torch.nn import functional

import eacbook as eb
from eacbook.augment.batch import Batch
from eacbook.augment.erasing import RandomErasing
from eacbook.experiments.runs import find_or_train
from eacbook.methods.eac import flip_consistency
from eacbook.methods.elr import early_learning, remember, with_memory
from eacbook.methods.method import Method
from eacbook.methods.resup import similarity_to_label
from eacbook.models.networks import WithParts

WEIGHT = 1.5
FIGURES = "validation_accuracy", "test_accuracy", "memorised"


@dataclass(frozen=True)
class Idea(Method):
    """EAC with something that holds the classifier to what was learnt early.

    Attributes:
        memory_weight: the weight of ELR's term; 0 is none.
        memory_of_mirror: ELR's memory keeps the predictions for the mirrored view, which has no
            label.
        mirror_weighs: a label's weight is its similarity (ReSup's s) to the prediction for the
            mirrored view. In the first epoch it is 1.
    """

    name: ClassVar[str] = "idea"
    passes: ClassVar[int] = 2
    memory_weight: float = 0
    memory_of_mirror: bool = False
    mirror_weighs: bool = False

    def extend(
        self, network: WithParts, size: int, seed: int, faces: int, classes: int
    ) -> WithParts:
        return with_memory(network, faces, classes) if self.memory_weight else network

    def loss(self, network: WithParts, batch: Batch) -> dict[str, Tensor]:
        logits, maps = network(batch.original(RandomErasing()))
        logits_of_mirror, maps_of_mirror = network(batch.mirrored(RandomErasing()))
        losses = functional.cross_entropy(logits, batch.labels, reduction="none")
        of_mirror = logits_of_mirror.detach().softmax(1)
        weights = torch.ones_like(losses)
        if self.mirror_weighs and batch.epoch > 0:
            weights = similarity_to_label(of_mirror, batch.labels)
        loss = (weights * losses).mean() + WEIGHT * flip_consistency(maps, maps_of_mirror)
        if self.memory_weight:
            kept = of_mirror if self.memory_of_mirror else logits.softmax(1)
            remembered = remember(network.memory, batch, kept, beta=0.7)
            loss = loss + self.memory_weight * early_learning(logits, remembered)
        return {"loss": loss, "sample_losses": losses}


TRIALS = {
    "EAC": eb.EAC(weight=WEIGHT),
    "idea: EAC with ELR's memory, weight 3": Idea(memory_weight=3),
    "idea: EAC with ELR's memory, weight 1": Idea(memory_weight=1),
    "idea: EAC with ELR's memory of the mirrored view, weight 3": Idea(3, memory_of_mirror=True),
    "idea: EAC, the mirrored view weighs the labels": Idea(mirror_weighs=True),
    "ELR": eb.ELR(),
    "ELR, memory_weight 1": eb.ELR(memory_weight=1),
    "ELR, memory_weight 7": eb.ELR(memory_weight=7),
    "SCN": eb.SCN(),
    "SCN, relabel_any": eb.SCN(relabel_any=True),
    "SCN, relabel_epoch 20": eb.SCN(relabel_epoch=20),
    "SCN, relabel_epoch 31: never": eb.SCN(relabel_epoch=31),
    "ReSup": eb.ReSup(),
    "ReSup, agreement 1": eb.ReSup(agreement=1),
    "ReSup, agreement 20": eb.ReSup(agreement=20),
    "RUL": eb.RUL(),
    "RUL, relabel_epoch 10": eb.RUL(relabel_epoch=10),
    "RUL, dropout 0.2": eb.RUL(dropout=0.2),
    "RUL, dropout 0.6": eb.RUL(dropout=0.6),
    "Co-teaching": eb.CoTeaching(0.3),
    "Co-teaching, ramp 5": eb.CoTeaching(0.3, ramp=5),
    "Co-teaching, ramp 20": eb.CoTeaching(0.3, ramp=20),
    "EAC, weight 0.75": eb.EAC(weight=0.75),
    "EAC, weight 3": eb.EAC(weight=3),
}


def results_of(trial: str) -> list[dict]:
    """Train (or find) the three seeds of a trial."""
    faces, rows = eb.synthetic_faces().limit(1500), []
    for seed in (0, 1, 2):
        noisy = eb.inject_noise(faces.train.labels, 0.3, faces.num_classes, seed=seed)
        network = eb.build_network("tiny", faces.num_classes, seed=seed)
        run = find_or_train(
            TRIALS[trial], network, faces, noisy, folder="runs/settings", device="cpu",
            hooks=[eb.Progress()], seed=seed,
        )  # fmt: skip
        figures = {name: run.summary[name] for name in FIGURES}
        rows.append({"trial": trial, "seed": seed, **figures, "seconds": run.summary["seconds"]})
    return rows


def main() -> None:
    trials = list(TRIALS) if sys.argv[1:] == ["all"] else sys.argv[1:]
    if unknown := set(trials) - set(TRIALS):
        raise SystemExit(f"unknown trial {min(unknown)!r}: expected all, or some of {list(TRIALS)}")
    torch.set_num_threads(1)
    rows = stored("settings")
    for trial in trials:
        rows = [row for row in rows if row["trial"] != trial] + results_of(trial)
        keep("settings", rows, "cpu")
    table = pd.DataFrame(rows, columns=["trial", "seed", *FIGURES])
    table = table.groupby("trial", sort=False)[[*FIGURES]].agg(["mean", "std"]).mul(100).round(1)
    print(table.to_string())
    print("not measured:", ", ".join(name for name in TRIALS if name not in table.index) or "none")


if __name__ == "__main__":
    main()
