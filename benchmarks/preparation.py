"""Whether preparing a set of photographs scales with the cores: all of them against one, in turn.

    python benchmarks/preparation.py [--images 1500]

Writes photographs of 640 x 480 pixels as JPEG files, in folders of classes, and prepares them at 224
pixels with ``data_scripts/own_faces.py``, whose decoding AffectNet and RAF-DB share: with as many
decoding threads as there are cores, and with one. Prints images a second and writes
``benchmarks/results/preparation.json``.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from PIL import Image
from results import keep
from steps import take_turns

from eacbook.data.prepare import decoding, own_faces

PHOTOGRAPH, SIZE, ROUNDS = (640, 480), 224, 5
THREADS = {"all cores": os.cpu_count(), "one": 1}


def photographs(folder: Path, count: int) -> Path:
    """Soft shapes with grain, which compress as a photograph does; every tenth is for testing."""
    random = np.random.default_rng(0)
    for number in range(count):
        place = folder / ("test" if number % 10 == 0 else "train") / ("happy", "sad")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        shapes = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8))
        pixels = np.asarray(shapes.resize(PHOTOGRAPH, Image.Resampling.BICUBIC), np.int16)
        grain = random.integers(-8, 9, pixels.shape, np.int16)
        picture = Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8))
        picture.save(place / f"{number}.jpg", quality=90)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1500, help="default: %(default)s")
    count = parser.parse_args().images
    with TemporaryDirectory() as place:
        source = photographs(Path(place) / "photographs", count)

        def images_per_second(way: str) -> float:
            decoding.WORKERS = THREADS[way]
            with TemporaryDirectory(dir=place) as out:
                begin = time.perf_counter()
                own_faces.prepare(source, Path(out) / "faces", size=SIZE)
                return count / (time.perf_counter() - begin)

        images_per_second("all cores")  # warms up
        rates = pd.DataFrame(take_turns(list(THREADS), ROUNDS, images_per_second))
    rates["ratio"] = rates["all cores"] / rates["one"]
    keep(
        "preparation",
        rates.to_dict("records"),
        "cpu",
        images=count,
        photograph=PHOTOGRAPH,
        size=SIZE,
    )
    print(rates.describe().round(2).to_string())


if __name__ == "__main__":
    main()
