"""What one training step of EAC costs: plain code, eacbook, the bare network, and eacbook's baseline.

    python benchmarks/steps.py                                   # tiny, 48 pixels, batches of 64
    python benchmarks/steps.py --network resnet18 --blocks 3     # 224 pixels, batches of 32
    python benchmarks/steps.py --network resnet18 --device cuda --precision bfloat16 --steps 64

The contestants take turns in one process, a block of steps each, and the order is reversed after every
round. All begin with the same drawn faces, and what comes before the measured steps is not counted:

* plain: :mod:`plain`, the code as published, always in float32. Its loader starts with the block, gives
  first as many batches as its workers may hold ready, and ends with the block. So no head start counts,
  and the workers take no core from the others;
* ours: ``eacbook.training`` itself. A hook looks at the clock after a batch; nothing is left out;
* limit: forward and backward of the same network on views that lie ready: what no step can go below;
* baseline: ``eacbook.training`` with plain cross-entropy, which needs one view and one pass.

Ratios are taken within a round. Peak memory is measured in a fresh process for each method. Prints
tables and writes ``benchmarks/results/steps_NETWORK_SIZE.json``, named also by what is not as usual.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from itertools import chain
from multiprocessing import active_children, get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from plain import FaceFiles, PlainNetwork, count_workers, make_loader, take_step, write_faces
from results import keep
from torch.nn import functional

from eacbook.data.faces import synthetic_faces
from eacbook.devices import choose_device
from eacbook.methods import EAC, Baseline, Method
from eacbook.models.networks import build_network
from eacbook.models.registry import NETWORKS
from eacbook.noise.inject import inject_noise
from eacbook.training.hooks import Hook
from eacbook.training.loop import train
from eacbook.training.optimizer import mixed_precision
from eacbook.training.recipe import PRECISIONS, recipe_of
from eacbook.training.state import Training

SIZES = {"tiny": 48, "resnet18": 224}
STEPS = {"tiny": 20, "resnet18": 10}
CONTESTANTS = ("plain", "ours", "limit", "baseline")
RATIOS = {
    "speed, ours / limit": ("limit", "ours"),
    "speed, ours / plain": ("plain", "ours"),
    "step time, EAC / baseline": ("ours", "baseline"),
}
"""Each: seconds of the first over seconds of the second."""

WARM_UP = {"cpu": 2, "cuda": 12}
HELD_READY = 2 * count_workers()
"""Batches that the workers of the plain loader may hold ready: DataLoader's default is 2 each."""


@dataclass(frozen=True)
class Setting:
    """What is measured, for all contestants alike."""

    network: str
    size: int
    batch_size: int
    device: str
    precision: str

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Setting:
        return cls(**{field.name: getattr(arguments, field.name) for field in fields(cls)})

    @property
    def name(self) -> str:
        """Network and size, and what is not as usual."""
        parts = [self.network, str(self.size)]
        if self.batch_size != recipe_of(self.network).batch_size:
            parts.append(f"batch{self.batch_size}")
        if self.device != "cpu":
            parts.append(self.device)
        if self.precision != "float32":
            parts.append(self.precision)
        return "_".join(parts)

    def images(self, steps: int) -> int:
        """How many make an epoch in which the workers have not yet read all when a block ends."""
        batches = WARM_UP[self.device] + HELD_READY + whole_rounds(steps) + HELD_READY
        return batches * self.batch_size


def whole_rounds(steps: int) -> int:
    """At least so many steps, and of every worker equally many: their batches come in bursts."""
    return count_workers() * math.ceil(steps / count_workers())


class Contest:
    """The contestants under one setting.

    Each takes a number of steps that are skipped and a number that are measured, and returns the
    seconds of these. With none skipped, what comes before the first step counts, too: above all, the
    start of the workers.
    """

    def __init__(self, setting: Setting, images: int):
        self.setting = setting
        self.device = choose_device(setting.device)
        self.faces = synthetic_faces(images, 1, 1, size=setting.size)
        self.noisy = inject_noise(self.faces.train.labels, 0.3, self.faces.num_classes)
        self.weight = NETWORKS[setting.network].eac_weight

    @cached_property
    def files(self) -> FaceFiles:
        self.folder = TemporaryDirectory()  # which goes with the contest
        return write_faces(self.faces.train.images, self.noisy.given, Path(self.folder.name))

    def plain(self, skipped: int, steps: int) -> float:
        seconds = self.time(self._plain_step(), skipped, steps)
        assert not active_children(), "the workers should have gone with their loader"
        return seconds

    def ours(self, skipped: int, steps: int) -> float:
        return self._train(EAC(weight=self.weight), skipped, steps)

    def baseline(self, skipped: int, steps: int) -> float:
        return self._train(Baseline(), skipped, steps)

    def limit(self, skipped: int, steps: int) -> float:
        return self.time(self._limit_step(), skipped, steps)

    def _plain_step(self) -> Callable[[], None]:
        network = PlainNetwork(self.setting.network, self.faces.num_classes).to(self.device)
        optimizer = torch.optim.Adam(network.parameters())
        loader = make_loader(self.files, self.setting.batch_size, self.device)
        batches = chain.from_iterable([loader])  # its workers start when the first step asks

        def step() -> None:
            take_step(network, optimizer, next(batches), self.weight, self.device)

        return step

    def _limit_step(self) -> Callable[[], None]:
        setting = self.setting
        network = build_network(setting.network, self.faces.num_classes).to(self.device).train()
        shape = (2, setting.batch_size, 3, setting.size, setting.size)
        original, mirrored = (
            view.contiguous(memory_format=torch.channels_last)
            for view in torch.randn(shape, device=self.device)
        )
        labels = self.noisy.given[: setting.batch_size].to(self.device)

        def step() -> None:
            with mixed_precision(self.device, setting.precision):
                logits, maps = network(original)
                _, maps_of_mirror = network(mirrored)
                consistency = functional.mse_loss(maps, maps_of_mirror)
                loss = functional.cross_entropy(logits, labels) + self.weight * consistency
            network.zero_grad()
            loss.backward()

        return step

    def time(self, step: Callable[[], None], skipped: int, steps: int) -> float:
        for number in range(skipped + steps):
            if number == skipped:
                begin = self._clock()
            step()
        return self._clock() - begin

    def _train(self, method: Method, skipped: int, steps: int) -> float:
        setting = self.setting
        network = build_network(setting.network, self.faces.num_classes)
        recipe = asdict(recipe_of(setting.network)) | {
            "epochs": 1, "batch_size": setting.batch_size, "size": setting.size,
            "precision": setting.precision,
        }  # fmt: skip
        stopwatch = Stopwatch(skipped, steps, self._clock)
        with contextlib.suppress(Measured):
            train(
                method, network, self.faces, self.noisy,
                device=self.device, hooks=[stopwatch], **recipe,
            )  # fmt: skip
        return stopwatch.seconds

    def _clock(self) -> float:
        """Seconds, when all that was asked of the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


class Measured(Exception):
    """Ends a training whose steps are measured: its evaluation is no part of them."""


class Stopwatch(Hook):
    """Notes the seconds of some steps and then ends the training with :class:`Measured`."""

    def __init__(self, skipped: int, steps: int, clock: Callable[[], float]):
        self.first, self.last, self.clock = skipped, skipped + steps, clock
        self.done = -1

    def on_train_begin(self, training: Training) -> None:
        self.on_batch_end(training)

    def on_batch_end(self, training: Training) -> None:
        self.done += 1
        if self.done == self.first:
            self.begin = self.clock()
        if self.done == self.last:
            self.seconds = self.clock() - self.begin
            raise Measured


def seconds_per_step(contest: Contest, contestant: str, steps: int) -> float:
    """One block of a contestant, in its steady state."""
    skipped = WARM_UP[contest.setting.device]
    if contestant == "plain":
        skipped, steps = skipped + HELD_READY, whole_rounds(steps)
    return getattr(contest, contestant)(skipped, steps) / steps


def take_turns(
    names: Sequence[str], rounds: int, measure: Callable[[str], float]
) -> list[dict[str, float]]:
    """A row a round, what ``measure(name)`` gives by name; every other round goes backwards."""
    rows = []
    for round_ in range(rounds):
        order = names if round_ % 2 == 0 else names[::-1]
        found = {name: measure(name) for name in order}
        rows.append({name: found[name] for name in names})
    return rows


def peak_megabytes(setting: Setting, contestant: str, threads: int) -> float:
    """After four steps in a process of its own: allocated on CUDA, or else resident."""
    torch.set_num_threads(threads)
    contest = Contest(setting, 6 * setting.batch_size)
    getattr(contest, contestant)(0, 4)
    if contest.device.type == "cuda":
        return torch.cuda.max_memory_allocated(contest.device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6  # Linux's kibibytes


def measure_memory(setting: Setting, threads: int) -> dict:
    """Peaks of an EAC and of a baseline step, in megabytes, and their ratio."""
    peaks = {}
    for contestant in ("ours", "baseline"):
        with get_context("spawn").Pool(1) as fresh:
            peaks[contestant] = fresh.apply(peak_megabytes, (setting, contestant, threads))
    on_cuda = setting.device == "cuda"
    what = "peak allocated on the device" if on_cuda else "peak resident, the whole process"
    return {"what": what, **peaks, "EAC / baseline": peaks["ours"] / peaks["baseline"]}


def summarise(values: pd.DataFrame) -> pd.DataFrame:
    """Median, range and number of each column."""
    return values.agg(["median", "min", "max"]).T.assign(n=len(values))


def make_parser(description: str) -> argparse.ArgumentParser:
    """Asks what is measured, and how often."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", choices=SIZES, default="tiny", help="default: tiny")
    parser.add_argument(
        "--size", type=int, help="in pixels; default: 48 for tiny, 224 for resnet18"
    )
    parser.add_argument("--batch-size", type=int, help="default: 64 for tiny, 32 for resnet18")
    parser.add_argument("--device", choices=WARM_UP, default="cpu", help="default: cpu")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="float32",
        help="of all but plain, which is as published; default: float32",
    )  # fmt: skip
    parser.add_argument(
        "--blocks", type=int, default=7, help="of each contestant; default: %(default)s"
    )
    parser.add_argument(
        "--steps", type=int, help="in a block; default: 20 for tiny, 10 for resnet18"
    )
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="default: %(default)s"
    )
    return parser


def read_arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """With the network's own defaults, and the threads set."""
    arguments = parser.parse_args()
    arguments.size = arguments.size or SIZES[arguments.network]
    arguments.batch_size = arguments.batch_size or recipe_of(arguments.network).batch_size
    arguments.steps = arguments.steps or STEPS[arguments.network]
    torch.set_num_threads(arguments.threads)
    return arguments


def main() -> None:
    arguments = read_arguments(make_parser(__doc__))
    setting = Setting.of(arguments)
    # First of all: a new process inherits the peak of the one that starts it.
    memory = measure_memory(setting, arguments.threads)
    contest = Contest(setting, setting.images(arguments.steps))

    def measure(contestant: str) -> float:
        seconds = seconds_per_step(contest, contestant, arguments.steps)
        print(f"{contestant}: {1000 * seconds:.1f} ms a step", flush=True)
        return seconds

    seconds = pd.DataFrame(take_turns(CONTESTANTS, arguments.blocks, measure))
    ratios = pd.DataFrame({name: seconds[a] / seconds[b] for name, (a, b) in RATIOS.items()})
    milliseconds = summarise(1000 * seconds)
    milliseconds["images_per_second"] = setting.batch_size / seconds.median()
    keep(
        f"steps_{setting.name}",
        seconds.to_dict("records"),
        setting.device,
        setting=asdict(setting),
        ratios=summarise(ratios).to_dict("index"),
        milliseconds=milliseconds.to_dict("index"),
        megabytes=memory,
    )
    print("\nmilliseconds a step\n", milliseconds.round(1).to_string(), sep="")
    print("\nratios\n", summarise(ratios).round(3).to_string(), sep="")
    print(f"\nmegabytes ({memory.pop('what')})\n", pd.Series(memory).round(3).to_string(), sep="")


if __name__ == "__main__":
    main()
