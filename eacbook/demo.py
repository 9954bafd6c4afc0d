"""The main job on the drawn faces: noise in, baseline and EAC on the same stream, a table, a report."""

from __future__ import annotations

import json
from pathlib import Path

from eacbook.faces import FaceData, load_faces
from eacbook.files import write_text
from eacbook.hooks import Progress
from eacbook.methods import EAC, Baseline
from eacbook.networks import build_network
from eacbook.noise import inject_noise
from eacbook.report import write_report
from eacbook.runs import FOLDER, find_or_train, summary_table
from eacbook.training import Run

METHODS = (Baseline(), EAC())


def train_demo(
    noise: float = 0.3,
    seed: int = 0,
    *,
    folder: str | Path = FOLDER,
    fresh: bool = False,
    device: str | None = None,
) -> tuple[FaceData, dict[str, Run]]:
    """Train (or find) the demo's methods with the default network and recipe.

    Args:
        noise: rate of symmetric noise, 0 to 1.
        seed: of the noise, the initial weights, the order and the augmentation.
        folder: where runs are kept.
        fresh: train again.
        device: see :func:`eacbook.training.train`.

    Returns:
        The faces, and method name to run.

    Raises:
        KeyboardInterrupt: a training was interrupted; its whole epochs are kept.
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
        What ``results.json`` holds: noise, seed, and the summary of each method's run.
    """
    print("Drawing the faces and making labels wrong ...", flush=True)
    faces, runs = train_demo(noise, seed, folder=folder, fresh=fresh, device=device)
    if all(run.stored for run in runs.values()):
        print(f"Found the stored runs in {folder}; --fresh trains them again.")
    print(f"\n{noise:.0%} symmetric noise, seed {seed}\n{summary_table(runs).to_string()}\n")

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
