"""What it is worth to draw the random numbers of an epoch at once, against a generator for every batch.

    python benchmarks/streams.py

*At once* is the product: :class:`eacbook.augment.streams.Streams`. *Stateless* makes a generator from
(seed, stream, epoch, batch) for each batch, and draws what EAC's two views need. Its camera noise is
drawn anew for each picture, or cut from one strip for each batch. All are timed in turns on one thread.
Prints the milliseconds a step that the numbers take, and their share of a step of EAC. The step of
``tiny`` is measured here. The others were measured on an H100, which waits while a processor draws.
Writes ``benchmarks/results/streams.json``.
"""

from __future__ import annotations

import math
import statistics
import time
from itertools import product

import torch
from results import keep
from torch.nn import functional

import eacbook as eb
from eacbook.augment.erasing import RandomErasing
from eacbook.augment.streams import CAMERA_NOISE_VARIANCE, Streams
from eacbook.training.batches import split_batches, stream_seed

FACES, ROUNDS = 3000, 15
STEPS = {
    "tiny, this CPU": (48, 64, None),
    "tiny, H100": (48, 64, 5.1),
    "dlib-face, H100": (150, 128, 28.6),
    "resnet18, H100": (224, 32, 14.6),
}
"""Of each network: pixels, faces in a batch, and milliseconds of a step of EAC (``docs/gpu.md``)."""


def at_once(epoch: int, counts: list[int], side: int) -> None:
    streams = Streams(lambda name: stream_seed(0, name, epoch), counts)
    for batch in range(len(counts)):
        streams.noise(batch, 3 * side**2)
        for view in ("original", "mirrored"):
            streams.rectangles(batch, view, RandomErasing(), side, side)


def stateless(epoch: int, counts: list[int], side: int, strip: bool) -> None:
    own_length = 3 * side**2
    for batch, count in enumerate(counts):

        def generator(stream: str, batch: int = batch) -> torch.Generator:
            return torch.Generator().manual_seed(stream_seed(0, f"{stream}/{batch}", epoch))

        own = generator("camera")
        chosen = (torch.rand(count, generator=own) < 0.5).nonzero().squeeze(1)
        length = 4 * own_length if strip else len(chosen) * own_length
        noise = torch.randn(length, generator=own)
        noise = noise.mul_(math.sqrt(CAMERA_NOISE_VARIANCE)).floor_().to(torch.int16)
        if strip:
            places = torch.full((count,), length)
            places[chosen] = torch.randint(length - own_length + 1, chosen.shape, generator=own)
            padded = functional.pad(noise, (0, own_length))
            padded.unfold(0, own_length, 1).index_select(0, places)
        else:
            runs = torch.zeros(count, own_length, dtype=torch.int16)
            runs[chosen] = noise.view(-1, own_length)
        for view in ("original", "mirrored"):
            RandomErasing().rectangles([count], side, side, generator(view))


CONTESTANTS = {
    "at once": at_once,
    "stateless, a strip for each batch": lambda *epoch: stateless(*epoch, strip=True),
    "stateless, noise for each picture": lambda *epoch: stateless(*epoch, strip=False),
}


def seconds_of_a_step() -> float:
    """A step of EAC with ``tiny``: the median over epochs of a short training."""
    faces = eb.synthetic_faces(train=640, test=70, validation=70)
    noisy = eb.inject_noise(faces.train.labels, 0.3, faces.num_classes)
    run = eb.train(eb.EAC(), eb.build_network("tiny", 7), faces, noisy, epochs=5, device="cpu")
    return statistics.median(row["seconds"] for row in run.rows[1:]) / 10


def main() -> None:
    torch.set_num_threads(1)
    rows, steps = [], {}
    for network, (side, batch, step) in STEPS.items():
        counts = split_batches(FACES, batch)
        for number, (name, draw) in product(range(ROUNDS), CONTESTANTS.items()):
            began = time.perf_counter()
            draw(number, counts, side)
            taken = 1000 * (time.perf_counter() - began) / len(counts)
            rows.append({"network": network, "contestant": name, "milliseconds": taken})
        step = step or 1000 * seconds_of_a_step()
        print(f"{network}: a step {step:.1f} ms")
        for name in CONTESTANTS:
            own = [
                row["milliseconds"]
                for row in rows
                if row["network"] == network and row["contestant"] == name
            ]
            middle = statistics.median(own)
            spread = f"({min(own):.2f} to {max(own):.2f}, n {len(own)})"
            print(f"  {name}: {middle:.2f} ms a step {spread}, {middle / step:.1%} of it")
        steps[network] = step
    keep("streams", rows, "cpu", step_milliseconds=steps)


if __name__ == "__main__":
    main()
