"""What was tried to make a step faster, each beside its alternative: why the step is as it is.

    python benchmarks/candidates.py                          # tiny, 48 pixels, batches of 64
    python benchmarks/candidates.py --network resnet18 --blocks 3
    python benchmarks/candidates.py --network resnet18 --device cuda --blocks 20

Both take turns, a block of steps each; the ratio is the alternative's time over the candidate's, above 1
where the candidate is faster. Of the network: forward and backward on both views of EAC. Of the views:
that part alone. ``torch.compile`` is measured when it has compiled, which takes the seconds that stand
beside it. Prints a table and writes ``benchmarks/results/candidates_NETWORK_SIZE.json``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

import pandas as pd
import torch
from results import keep
from steps import Contest, Setting, make_parser, read_arguments, summarise, take_turns
from torch import Tensor

from eacbook.augment.batch import Batch, camera_noise
from eacbook.augment.erasing import RandomErasing, erase_
from eacbook.augment.streams import CAMERA_NOISE_VARIANCE, Streams
from eacbook.data.images import bring, fetch
from eacbook.methods import EAC
from eacbook.models.networks import build_network
from eacbook.training.optimizer import Adam, mixed_precision

Step = Callable[[], object]


BATCHES = 24
"""Of an epoch of the demo."""


def masked_(images: Tensor, rectangles: Tensor) -> Tensor:
    """Erasing by a mask of one number a pixel, which repeats over the channels."""
    height, width = images.shape[-2:]
    top, left, h, w = rectangles[..., None].unbind(1)
    row, column = (torch.arange(side, device=images.device) for side in (height, width))
    inside = ((row >= top) & (row < top + h))[:, :, None]
    inside = inside & ((column >= left) & (column < left + w))[:, None]
    return images.masked_fill_(inside[:, None], 0.0)


class Candidates:
    """Pairs of steps under one setting: the candidate first, then its alternative."""

    def __init__(self, contest: Contest):
        self.setting, self.device = contest.setting, contest.device
        self.weight, self.faces = contest.weight, contest.faces
        self.images = bring(contest.faces.train.images, self.device)
        self.labels = contest.noisy.given.to(self.device)
        self.rows = torch.arange(self.setting.batch_size, device=self.device)
        self.counts = [self.setting.batch_size] * BATCHES
        self.streams = Streams(len, self.counts, self.device)

    def batch(self) -> Batch:
        images = fetch(self.images, self.rows)
        labels = self.labels[self.rows]
        return Batch(images, labels, self.rows, self.streams, size=self.setting.size)

    def passes(
        self,
        *,
        method: EAC | None = None,
        layout: torch.memory_format = torch.channels_last,
        precision: str = "float32",
        compiled: bool = False,
    ) -> Step:
        """Forward and backward of a method on a batch whose views lie ready."""
        method = method or EAC(weight=self.weight)
        network = build_network(self.setting.network, 7).to(self.device, memory_format=layout)
        network.train()
        batch = self.batch()
        views = {
            name: getattr(batch, name)(RandomErasing()).contiguous(memory_format=layout)
            for name in ("original", "mirrored")
        }
        batch.original, batch.mirrored = (lambda _, view=view: view for view in views.values())
        used = torch.compile(network) if compiled else network

        def step() -> None:
            with mixed_precision(self.device, precision):
                loss = method.loss(used, batch)["loss"]
            loss.backward()
            network.zero_grad()

        return step

    def updates(self, **how: bool) -> Step:
        network = build_network(self.setting.network, 7).to(self.device)
        for parameter in network.parameters():
            parameter.grad = torch.randn_like(parameter)
        return Adam(network.parameters(), **how).step

    def of_network(self) -> dict[str, tuple[Step, Step]]:
        both = EAC(weight=self.weight, one_pass=True)
        return {
            "channels-last": (self.passes(), self.passes(layout=torch.contiguous_format)),
            "bfloat16": (self.passes(precision="bfloat16"), self.passes()),
            "one pass": (self.passes(method=both), self.passes()),
            "fused Adam": (self.updates(fused=True), self.updates(fused=False)),
        }

    def of_views(self) -> dict[str, tuple[Step, Step]]:
        images, streams = fetch(self.images, self.rows), self.streams
        view, length = self.batch().original(None), images[0].numel()
        erasing, size, generator = RandomErasing(), view.shape[-2:], torch.Generator()
        rectangles = streams.rectangles(0, "original", erasing, *size)

        def draw(counts: Sequence[int]) -> Tensor:
            return erasing.rectangles(counts, *size, generator)

        def noise_anew() -> Tensor:
            noise = torch.randn(images.shape, device=self.device) * math.sqrt(CAMERA_NOISE_VARIANCE)
            return (images + noise).clamp(0, 255)

        return {
            "fetching whole images": (
                lambda: fetch(self.images, self.rows),
                lambda: self.images[self.rows],
            ),
            "noise from a strip": (
                lambda: camera_noise(images, streams.noise(0, length)),
                noise_anew,
            ),
            "drawing for an epoch": (
                lambda: draw(self.counts),
                lambda: [draw([count]) for count in self.counts],
            ),
            "erasing as stored": (
                lambda: erase_(view, rectangles),
                lambda: masked_(view, rectangles),
            ),
        }


def main() -> None:
    arguments = read_arguments(make_parser(__doc__))
    setting = Setting.of(arguments)
    contest = Contest(setting, setting.batch_size)
    candidates = Candidates(contest)
    pairs = candidates.of_network() | candidates.of_views()
    begin = time.perf_counter()
    compiled = candidates.passes(compiled=True)
    compiled()
    seconds_to_compile = time.perf_counter() - begin
    pairs["torch.compile"] = compiled, candidates.passes()

    rows = []
    for name, (candidate, alternative) in pairs.items():
        steps = {"candidate": candidate, "alternative": alternative}
        turns = take_turns(
            tuple(steps),
            arguments.blocks,
            lambda which, steps=steps: contest.time(steps[which], 2, arguments.steps),
        )
        rows += [
            {"what": name, **turn, "ratio": turn["alternative"] / turn["candidate"]}
            for turn in turns
        ]
        print(name, f"{rows[-1]['ratio']:.2f}", flush=True)
    table = pd.DataFrame(rows)
    ratios = pd.DataFrame(
        {
            name: own["ratio"].reset_index(drop=True)
            for name, own in table.groupby("what", sort=False)
        }
    )
    keep(
        f"candidates_{setting.name}", rows, setting.device, setting=asdict(setting),
        ratios=summarise(ratios).to_dict("index"), seconds_to_compile=seconds_to_compile,
    )  # fmt: skip
    print(summarise(ratios).round(2).to_string(), f"\nto compile: {seconds_to_compile:.0f} s")


if __name__ == "__main__":
    main()
