"""Training on a set as large as AffectNet: memory, and whether the network ever waits for its images.

    python benchmarks/large_set.py [--folder FOLDER] [--written-gb 4]

Makes two prepared sets in a temporary folder (in FOLDER, to measure another disk):

* 280,000 images of 224 x 224 x 3 as a *sparse* file, 42 GB of zeros that take no room: the memory of a
  training of ``tiny`` on it, against the same training on a few images in memory; and how long a network
  that takes 500 images a second waits for them. (The network is played by a pause, so that the reading
  has both cores, as beside a GPU.)
* ``--written-gb`` of random bytes, really on the disk, read in random order with nothing of them in the
  system's cache: as eacbook reads, as one thread would, and from a memory map, in turn.

Prints the figures and writes ``benchmarks/results/large_set.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from results import keep
from steps import Measured, Stopwatch, take_turns

from eacbook.data.faces import FaceData, load_faces
from eacbook.data.format import DESCRIPTION, FORMAT, IMAGES, LABELS, sha256_of
from eacbook.data.images import ImageFile
from eacbook.methods import EAC
from eacbook.models.networks import build_network
from eacbook.noise.inject import inject_noise
from eacbook.training.batches import AHEAD, READERS, batches
from eacbook.training.loop import train
from eacbook.training.recipe import Recipe

SHAPE, CLASSES = (224, 224, 3), ("calm", "cross")
LARGE, TEST = 280_000, 4_000
BATCH_SIZE, STEPS = 64, 150
IMAGES_PER_SECOND, CONSUMED = 500, 100
ROUNDS, READ = 5, 1_024


def write_header(path: Path, count: int) -> None:
    """An ``.npy`` file of so many images, all of them a hole."""
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, *SHAPE)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + count * math.prod(SHAPE))


def sparse_set(folder: Path, count: int) -> Path:
    """A prepared set whose images are a hole in a file."""
    folder.mkdir()
    write_header(folder / IMAGES, count)
    rows = pd.DataFrame({"row": range(count)})
    rows["split"] = np.where(rows["row"] < count - TEST, "train", "test")
    rows["label"], rows["file"] = rows["row"] % len(CLASSES), rows["row"].astype(str) + ".jpg"
    describe(folder, rows, CLASSES, "zeros")
    return folder


def describe(folder: Path, rows: pd.DataFrame, classes: Sequence[str], source: str) -> None:
    """Write the labels and the description of a set too large for a checksum of its images."""
    rows.to_csv(folder / LABELS, index=False)
    description = {
        "format": FORMAT, "classes": classes, "image_shape": SHAPE,
        "counts": rows["split"].value_counts().to_dict(),
        "checksums": {IMAGES: "0" * 64, LABELS: sha256_of(folder / LABELS)},
        "source": source, "licence": "MIT",
    }  # fmt: skip
    (folder / DESCRIPTION).write_text(json.dumps(description))


def peak_gigabytes(folder: Path, count: int | None) -> float:
    """In a process of its own: resident at most, in some steps on the set or on a few of its images."""
    faces = load_faces(folder)
    faces = faces if count is None else faces.limit(count)
    noisy = inject_noise(faces.train.labels, 0.3, len(CLASSES))
    network = build_network("tiny", len(CLASSES))
    try:
        train(
            EAC(weight=1.5), network, faces, noisy, epochs=1, batch_size=BATCH_SIZE, size=48,
            device="cpu", hooks=[Stopwatch(0, STEPS if count is None else 2, time.perf_counter)],
        )  # fmt: skip
    except Measured:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # from Linux's kibibytes


def waiting_share(faces: FaceData) -> float:
    """The share of its time that a network of 500 images a second waits for the next batch."""
    noisy = inject_noise(faces.train.labels, 0.3, len(CLASSES))
    stream = batches(faces, noisy, Recipe(batch_size=BATCH_SIZE), epoch=0)
    next(stream)  # an epoch begins with nothing ready
    waited, begin = 0.0, time.perf_counter()
    for _ in range(CONSUMED):
        asked = time.perf_counter()
        next(stream)
        waited += time.perf_counter() - asked
        time.sleep(BATCH_SIZE / IMAGES_PER_SECOND)
    return waited / (time.perf_counter() - begin)


class Disk:
    """Ways to read random images that lie on the disk and not in the system's cache."""

    def __init__(self, path: Path, gigabytes: float):
        count = round(gigabytes * 1e9 / math.prod(SHAPE))
        write_header(path, count)
        random = np.random.default_rng(0)
        with path.open("r+b") as file:
            file.seek(ImageFile(path).offset)
            for _ in range(count):
                file.write(random.bytes(math.prod(SHAPE)))
            os.fsync(file.fileno())
        self.path, self.images = path, ImageFile(path)
        self.generator = torch.Generator().manual_seed(0)

    def images_per_second(self, way: str) -> float:
        with self.path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        rows = torch.randperm(len(self.images), generator=self.generator)[:READ]
        begin = time.perf_counter()
        getattr(self, way)(rows.split(BATCH_SIZE))
        return READ / (time.perf_counter() - begin)

    def eacbook(self, parts: tuple[torch.Tensor, ...]) -> None:
        with ThreadPoolExecutor(READERS) as threads:
            deque(threads.map(self.images.__getitem__, parts), maxlen=0)

    def one_thread(self, parts: tuple[torch.Tensor, ...]) -> None:
        deque(map(self.images.__getitem__, parts), maxlen=0)

    def mapped(self, parts: tuple[torch.Tensor, ...]) -> None:
        array = np.load(self.path, mmap_mode="r")
        deque((array[part.numpy()] for part in parts), maxlen=0)


WAYS = ("eacbook", "one_thread", "mapped")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", help="where the sets are made; default: the system's own")
    parser.add_argument(
        "--written-gb", type=float, default=4, help="really written; default: %(default)s"
    )
    arguments = parser.parse_args()
    with TemporaryDirectory(dir=arguments.folder) as place:
        folder = sparse_set(Path(place) / "large", LARGE)
        peaks = {}
        for name, count in (("whole", None), ("few", 2 * BATCH_SIZE)):
            with get_context("spawn").Pool(1) as fresh:
                peaks[name] = fresh.apply(peak_gigabytes, (folder, count))
            print(f"resident at most, {name} set: {peaks[name]:.2f} GB", flush=True)
        faces = load_faces(folder)
        waits = [waiting_share(faces) for _ in range(ROUNDS)]
        print(f"waits at {IMAGES_PER_SECOND} images/s:", *(f"{wait:.2%}" for wait in waits))
        disk = Disk(Path(place) / "written.npy", arguments.written_gb)
        rates = pd.DataFrame(take_turns(WAYS, ROUNDS, disk.images_per_second))
    rates["ratio"] = rates["eacbook"] / rates["mapped"]
    keep(
        "large_set",
        rates.to_dict("records"),
        "cpu",
        images=LARGE, shape=SHAPE, ahead=AHEAD, readers=READERS,
        gigabytes=peaks, waiting_share=waits, images_per_second=IMAGES_PER_SECOND,
    )  # fmt: skip
    print("\nimages a second from the disk\n", rates.describe().round(2).to_string(), sep="")


if __name__ == "__main__":
    main()
