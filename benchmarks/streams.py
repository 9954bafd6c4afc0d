"""What it is worth to draw the random numbers of an epoch at once, against a generator for every batch.

    python benchmarks/streams.py

*At once* is the product: :class:`eacbook.augment.streams.Streams`. *Stateless* makes a generator from
(seed, stream, epoch, batch) for each batch, and draws what EAC's two views need. Its camera noise is
drawn anew for each picture, or cut from one strip for each batch. All are timed in turns on one thread.
Prints the milliseconds a step that the numbers take, and their share of a step of ``tiny`` (48 pixels,
batches of 64, EAC). Writes ``benchmarks/results/streams.json``.
"""

from __future__ import annotations

import math
import statistics
import time

import torch
from results import keep
from torch.nn import functional

import eacbook as eb
from eacbook.augment.erasing import RandomErasing
from eacbook.augment.streams import CAMERA_NOISE_VARIANCE, Streams
from eacbook.training.batches import split_batches, stream_seed

FACES, BATCH, SIDE, ROUNDS = 3000, 64, 48, 15
LENGTH = 3 * SIDE * SIDE


def at_once(epoch: int, counts: list[int]) -> None:
    streams = Streams(lambda name: stream_seed(0, name, epoch), counts)
    for batch in range(len(counts)):
        streams.noise(batch, LENGTH)
        for view in ("original", "mirrored"):
            streams.rectangles(batch, view, RandomErasing(), SIDE, SIDE)


def stateless(epoch: int, counts: list[int], strip: bool) -> None:
    for batch, count in enumerate(counts):

        def generator(stream: str, batch: int = batch) -> torch.Generator:
            return torch.Generator().manual_seed(stream_seed(0, f"{stream}/{batch}", epoch))

        own = generator("camera")
        chosen = (torch.rand(count, generator=own) < 0.5).nonzero().squeeze(1)
        length = 4 * LENGTH if strip else len(chosen) * LENGTH
        noise = torch.randn(length, generator=own)
        noise = noise.mul_(math.sqrt(CAMERA_NOISE_VARIANCE)).floor_().to(torch.int16)
        if strip:
            places = torch.full((count,), length)
            places[chosen] = torch.randint(3 * LENGTH + 1, chosen.shape, generator=own)
            functional.pad(noise, (0, LENGTH)).unfold(0, LENGTH, 1).index_select(0, places)
        else:
            runs = torch.zeros(count, LENGTH, dtype=torch.int16)
            runs[chosen] = noise.view(-1, LENGTH)
        for view in ("original", "mirrored"):
            RandomErasing().rectangles([count], SIDE, SIDE, generator(view))


CONTESTANTS = {
    "at once": at_once,
    "stateless, a strip for each batch": lambda epoch, counts: stateless(epoch, counts, True),
    "stateless, noise for each picture": lambda epoch, counts: stateless(epoch, counts, False),
}


def seconds_of_a_step() -> float:
    """A step of EAC with ``tiny``: the median over epochs of a short training."""
    faces = eb.synthetic_faces(train=640, test=70, validation=70)
    noisy = eb.inject_noise(faces.train.labels, 0.3, faces.num_classes)
    run = eb.train(eb.EAC(), eb.build_network("tiny", 7), faces, noisy, epochs=5, device="cpu")
    return statistics.median(row["seconds"] for row in run.rows[1:]) / 10


def main() -> None:
    torch.set_num_threads(1)
    counts = split_batches(FACES, BATCH)
    rows = []
    for number in range(ROUNDS):
        for name, draw in CONTESTANTS.items():
            began = time.perf_counter()
            draw(number, counts)
            rows.append({"round": number, "contestant": name})
            rows[-1]["milliseconds"] = 1000 * (time.perf_counter() - began) / len(counts)
    step = 1000 * seconds_of_a_step()
    keep("streams", rows, "cpu", step_milliseconds=step)
    print(f"a step: {step:.1f} ms")
    for name in CONTESTANTS:
        own = [row["milliseconds"] for row in rows if row["contestant"] == name]
        middle = statistics.median(own)
        spread = f"({min(own):.2f} to {max(own):.2f}, n {len(own)})"
        print(f"{name}: {middle:.2f} ms a step {spread}, {middle / step:.1%} of it")


if __name__ == "__main__":
    main()
