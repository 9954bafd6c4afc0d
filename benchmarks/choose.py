"""How the demo's EAC was chosen: its weight, and two passes against one, by the *validation* faces.

    python benchmarks/choose.py

Trains EAC on the drawn faces with 30 % symmetric noise, seeds 0, 1 and 2: every weight, and the chosen
weight with one pass, too. What the test faces say is not shown.
Prints a table and writes ``benchmarks/results/choose.json``.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import product

import pandas as pd
from results import keep

from eacbook.demo import RECIPE
from eacbook.faces import load_faces
from eacbook.methods import EAC
from eacbook.methods.eac import WEIGHTS
from eacbook.networks import build_network
from eacbook.noise import inject_noise
from eacbook.runs import find_or_train
from eacbook.train import LAST_EPOCHS

TRIED, SEEDS = (0.75, 1.5, 3.0), (0, 1, 2)
CANDIDATES = [*(EAC(weight=weight) for weight in TRIED), EAC(weight=WEIGHTS["tiny"], one_pass=True)]


def main() -> None:
    faces = load_faces("synthetic")
    rows = []
    for method, seed in product(CANDIDATES, SEEDS):
        noisy = inject_noise(faces.train.labels, 0.3, faces.num_classes, seed=seed)
        network = build_network("tiny", faces.num_classes, seed=seed)
        print(f"weight {method.weight:g}, one pass {method.one_pass}, seed {seed}", flush=True)
        run = find_or_train(method, network, faces, noisy, **asdict(replace(RECIPE, seed=seed)))
        if not run.finished:
            raise KeyboardInterrupt
        validation = run.history["validation_accuracy"].tail(LAST_EPOCHS).mean()
        rows.append(
            {
                "weight": method.weight,
                "passes": 1 if method.one_pass else 2,
                "seed": seed,
                "validation_accuracy": validation,
                "memorised": run.summary["memorised"],
                "seconds": run.summary["seconds"],
            }
        )
    keep("choose", rows)
    table = pd.DataFrame(rows)
    for name in ("validation_accuracy", "memorised"):
        table[name] = table[name].map("{:.1%}".format)
    table["seconds"] = table["seconds"].round()
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
