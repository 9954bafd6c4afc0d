"""The demo: baseline and EAC on synthetic faces with wrong labels, a table and a report."""

from __future__ import annotations

import json
from pathlib import Path

from eacbook.book.report import write_report
from eacbook.data.faces import FaceData, load_faces
from eacbook.experiments.runs import FOLDER, find_or_train, summary_rows
from eacbook.files import write_text
from eacbook.methods import EAC, Baseline
from eacbook.models.networks import build_network
from eacbook.noise.inject import inject_noise
from eacbook.terminal import text_table
from eacbook.training.hooks import Progress
from eacbook.training.state import Run

METHODS = (Baseline(), EAC())


def train_demo(
    noise: float = 0.3,
    seed: int = 0,
    *,
    folder: str | Path = FOLDER,
    fresh: bool = False,
    device: str | None = None,
) -> tuple[FaceData, dict[str, Run]]:
    """Train (or find) the methods of the demo with the default network and recipe.

    Args:
        noise: the rate of symmetric noise, 0 to 1.
        seed: the seed of the noise, the initial weights, the order and the augmentation.
        folder: the folder of the stored runs.
        fresh: train again, even if the runs are stored.
        device: see :func:`eacbook.training.loop.train`.

    Returns:
        The faces, and a dictionary from method name to run.

    Raises:
        KeyboardInterrupt: a training was interrupted; its finished epochs are saved.
    """
    faces = load_faces("synthetic")
    noisy = inject_noise(faces.train.labels, noise, faces.num_classes, seed=seed)
    network = build_network("tiny", faces.num_classes, seed=seed)
    runs = {}
    for method in METHODS:
        runs[method.name] = find_or_train(
            method, network, faces, noisy,
            folder=folder, fresh=fresh, device=device, hooks=[Progress()], seed=seed,
        )  # fmt: skip
    return faces, runs


def run_demo(
    noise: float = 0.3,
    seed: int = 0,
    *,
    folder: str | Path = FOLDER,
    fresh: bool = False,
    device: str | None = None,
) -> dict:
    """Train, print the table, and write ``demo/results.json`` and ``demo/report.html``.

    Returns:
        The content of ``results.json``: noise, seed, and the summary of the run of each method.
    """
    print("Drawing the faces and making labels wrong ...", flush=True)
    faces, runs = train_demo(noise, seed, folder=folder, fresh=fresh, device=device)
    if all(run.stored for run in runs.values()):
        print(f"Found the stored runs in {folder}; --fresh trains them again.")
    print(f"\n{noise:.0%} symmetric noise, seed {seed}\n{text_table(summary_rows(runs))}\n")

    results = {
        "noise": noise,
        "seed": seed,
        "methods": {name: run.summary for name, run in runs.items()},
    }
    place = Path(folder) / "demo"
    place.mkdir(parents=True, exist_ok=True)
    write_text(place / "results.json", json.dumps(results, indent=2) + "\n")
    write_report(place / "report.html", faces, runs)
    print(f"Wrote {place / 'results.json'} and {place / 'report.html'}")
    return results
