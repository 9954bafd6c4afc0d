"""The demo: baseline and EAC on synthetic faces with wrong labels, a table and a report."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

from eacbook.book.report import write_report
from eacbook.data.faces import FaceData, load_faces
from eacbook.experiments.runs import FOLDER, find_or_train, run_name, summary_rows
from eacbook.experiments.workers import Workers, each_once, training_place, workers_here
from eacbook.files import write_text
from eacbook.methods import EAC, Baseline, Method
from eacbook.models.networks import build_network
from eacbook.noise.inject import inject_noise
from eacbook.terminal import text_table
from eacbook.training.hooks import Progress
from eacbook.training.identity import describe_training, fill_defaults
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

    On a CPU they train at the same time, each with one thread: the number of free cores does not change
    the result. A stored run keeps the threads with which it was trained.

    Args:
        noise: the rate of symmetric noise, 0 to 1.
        seed: the seed of the noise, the initial weights, the order and the augmentation.
        folder: the folder of the stored runs.
        fresh: train again, even if the runs are stored. A training whose process dies begins again.
        device: see :func:`eacbook.training.loop.train`.

    Returns:
        The faces, and a dictionary from method name to run.

    Raises:
        InputError: an argument is out of range, or a stored run is broken.
        KeyboardInterrupt: a training was interrupted; its finished epochs are saved.
        ChildProcessError: a process died, for example because there was too little memory.
    """
    faces = load_faces("synthetic")
    noisy = inject_noise(faces.train.labels, noise, faces.num_classes, seed=seed)
    inputs = build_network("tiny", faces.num_classes, seed=seed), faces, noisy
    stored = {method: not fresh and _is_stored(method, inputs, folder, seed) for method in METHODS}
    runs = {
        method: find_or_train(method, *inputs, folder=folder, device=device, seed=seed)
        for method in METHODS
        if stored[method]
    }
    missing = [method for method in METHODS if not stored[method]]
    # The longer training gets the upper bar, which tqdm leaves clean when the other one is through.
    missing.sort(key=lambda method: method.passes, reverse=True)
    workers = workers_here(None, "tiny", device)
    workers = replace(workers, count=min(workers.count, len(missing) or 1), threads=1)
    options = {"folder": folder, "fresh": fresh, "seed": seed}
    work = partial(_train, inputs=inputs, options=options, workers=workers)
    try:
        for (_, method), outcome, death in each_once(work, list(enumerate(missing)), workers):
            if isinstance(outcome, Exception):
                raise outcome
            if death:
                raise ChildProcessError(f"{method.name}: {death}")
            runs[method] = outcome
    except KeyboardInterrupt:
        without = " without fresh (--fresh)" * fresh
        raise KeyboardInterrupt(
            f"the demo was interrupted; what was trained is kept, and the same call{without} goes on "
            "from there"
        ) from None
    return faces, {method.name: runs[method] for method in METHODS}


def _is_stored(method: Method, inputs: tuple, folder: str | Path, seed: int) -> bool:
    network, faces, noisy = inputs
    method, recipe = fill_defaults(method, "tiny", {"seed": seed})
    settings = describe_training(method, network, faces, noisy, recipe)
    return (Path(folder) / run_name(settings)).exists()


def _train(
    numbered: tuple[int, Method], inputs: tuple, options: dict, workers: Workers
) -> Run | Exception:
    """In a worker: train a method, with its bar in this row. Returns the run, or what went wrong."""
    row, method = numbered
    hooks = [Progress(row=row if workers.count > 1 else None)]
    try:
        with training_place(workers) as device:
            return find_or_train(method, *inputs, device=device, hooks=hooks, **options)
    except Exception as error:
        return error


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
