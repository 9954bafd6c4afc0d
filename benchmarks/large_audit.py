"""An audit of as many pictures as AffectNet has: the seconds of each part, and the memory.

    python benchmarks/large_audit.py [--folder FOLDER] [--pictures 291651] [--epochs 1]

Makes a prepared set of synthetic faces of 224 x 224 pixels in a temporary folder (in FOLDER, to measure
another disk): 44 GB. 10 % of the labels are wrong. Then ``eacbook audit --quick`` runs on it in a
process of its own. One epoch shows what does not grow with the epochs; it is too short for a good
ranking.

Prints the figures and writes ``benchmarks/results/large_audit.json``.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import math
import pstats
import resource
import time
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from large_set import SHAPE, TEST, describe, write_header
from results import keep
from sklearn.metrics import average_precision_score
from torch.nn import functional
from tqdm import tqdm

from eacbook.audit.run import audit
from eacbook.data.faces import synthetic_faces
from eacbook.data.format import IMAGES
from eacbook.data.images import ImageFile
from eacbook.noise.inject import inject_noise

AFFECTNET, PART = 287_651, 1_000
RATE = 0.1
PARTS = {
    "estimate": "the estimate of the cost",
    "train": "trainings (self-test and audit)",
    "predict_with_features": "predictions",
    "nearest": "neighbours by features and by thumbnails",
    "look": "digests and thumbnails",
    "attention_of_both": "attention maps",
    "table_of": "audit.csv",
    "write_page": "the page",
}
"""The functions that take the time, and what they are for."""


def drawn_set(folder: Path, count: int) -> pd.DataFrame:
    """A prepared set of drawn faces, and its rows with the right labels beside the given ones."""
    folder.mkdir()
    write_header(folder / IMAGES, count)
    parts = []
    with (folder / IMAGES).open("r+b") as file:
        file.seek(ImageFile(folder / IMAGES).offset)
        for first in tqdm(range(0, count, PART), "drawing"):
            drawn = synthetic_faces(min(PART, count - first), 1, 1, seed=first // PART)
            large = functional.interpolate(
                drawn.train.images, SHAPE[:2], mode="bilinear", antialias=True
            )
            file.write(large.permute(0, 2, 3, 1).contiguous().numpy())
            noisy = inject_noise(drawn.train.labels, RATE, drawn.num_classes, seed=first // PART)
            parts.append(pd.DataFrame({"label": noisy.given, "right": drawn.train.labels}))
    rows = pd.concat(parts, ignore_index=True)
    rows.insert(0, "row", rows.index)
    rows.insert(1, "split", "train")
    rows["file"] = [f"{row:06d}.png" for row in rows["row"]]
    held_out = rows["row"] >= count - TEST
    rows.loc[held_out, "split"] = "test"
    rows.loc[held_out, "label"] = rows.loc[held_out, "right"]
    describe(folder, rows[["row", "split", "label", "file"]], drawn.classes, "synthetic faces")
    return rows


def measured_audit(folder: Path, out: Path, epochs: int) -> dict:
    """In a process of its own: the seconds of each part, and the resident memory at most."""
    profile = cProfile.Profile()
    begin = time.perf_counter()
    profile.runcall(audit, folder, out, quick=True, epochs=epochs, device="cpu")
    whole = time.perf_counter() - begin
    # A function is a key (file, line, name) with the tuple (calls, primitive, own, whole, callers).
    found = {
        name: round(of_function[3], 1)
        for (path, _, name), of_function in pstats.Stats(profile).stats.items()
        if name in PARTS and "eacbook" in path
    }
    return {
        "seconds": round(whole, 1),
        "of the parts": {PARTS[name]: found[name] for name in PARTS},
        "gigabytes of memory": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "megabytes of the page": round((out / "index.html").stat().st_size / 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", help="where the set is made; default: the system's own")
    parser.add_argument(
        "--pictures", type=int, default=AFFECTNET + TEST, help="default: %(default)s"
    )
    parser.add_argument("--epochs", type=int, default=1, help="default: %(default)s")
    options = parser.parse_args()
    with TemporaryDirectory(dir=options.folder) as place:
        folder, out = Path(place, "set"), Path(place, "audit")
        # A process inherits the largest memory of the one that starts it, so this one stays small.
        with get_context("spawn").Pool(1, maxtasksperchild=1) as fresh:
            rows = fresh.apply(drawn_set, (folder, options.pictures))
            figures = fresh.apply(measured_audit, (folder, out, options.epochs))
        table = pd.read_csv(out / "audit.csv").set_index("file").loc[rows["file"]]
    trained = (rows["split"] == "train").to_numpy()
    wrong = (rows["label"] != rows["right"])[trained]
    figures["average precision"] = round(
        average_precision_score(wrong, table["score"].to_numpy()[trained]), 3
    )
    print(json.dumps(figures, indent=1))
    keep(
        "large_audit", [figures], "cpu",
        pictures=options.pictures, shape=SHAPE, epochs=options.epochs,
        gigabytes=round(options.pictures * math.prod(SHAPE) / 1e9, 1),
    )  # fmt: skip


if __name__ == "__main__":
    main()
