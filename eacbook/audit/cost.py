"""What an audit will cost: measured with a few real steps and a small search, before it starts."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

import psutil
import torch

from eacbook.audit.duplicates import SIDE
from eacbook.audit.plan import MOST_OF_SELF_TEST, Plan
from eacbook.audit.scores import NEIGHBOURS, nearest
from eacbook.audit.source import AuditSet
from eacbook.devices import use_threads
from eacbook.extras import load
from eacbook.methods.eac import EAC
from eacbook.models.networks import build_network
from eacbook.training.hooks import Hook
from eacbook.training.loop import train_one_epoch
from eacbook.training.recipe import recipe_of
from eacbook.training.setup import set_up
from eacbook.training.state import Training

TIMED = 3
"""Real steps that are timed, after one that is not."""

SEARCHED = 20_000
"""Rows among which neighbours are searched, to time it. The time grows with the square of the rows."""


@dataclass(frozen=True)
class Cost:
    """What an audit will need, estimated from a few real steps.

    Attributes:
        seconds: of all trainings and predictions.
        gigabytes: memory of the process, and of the GPU if it trains there.
    """

    seconds: float
    gigabytes: float

    def __str__(self) -> str:
        minutes = self.seconds / 60
        time_text = f"{minutes:,.0f} minutes" if minutes >= 1.5 else f"{self.seconds:.0f} seconds"
        return (
            f"about {time_text} and {self.gigabytes:.1f} GB of memory (what is stored is not trained "
            "again)"
        )


class _Times(Hook):
    """The time at which the first step begins, and at which each step has ended on its device."""

    def __init__(self) -> None:
        self.marks = [time.perf_counter()]

    def on_batch_end(self, training: Training) -> None:
        training.losses[-1]["loss"].item()  # waits for the device
        self.marks.append(time.perf_counter())


def estimate(found: AuditSet, plan: Plan) -> Cost:
    """Time a few real steps of the training. Nothing of them is kept."""
    rows = found.trained
    batch_size = replace(recipe_of(plan.network), **plan.recipe).batch_size
    # The time does not depend on the weights.
    network = build_network(plan.network, found.num_classes, seed=plan.seed)
    few = found.training(rows[: (1 + TIMED) * batch_size], "audit")
    training = set_up(EAC(), network, *few, plan.device, (), plan.recipe)
    with use_threads(training.threads):
        times = _Times()
        train_one_epoch(training, training.network, [times])
    steps = zip(pairwise(times.marks), training.batch_sizes, strict=True)
    per_step = [(end - begin) / count for (begin, end), count in steps]
    per_picture = median(per_step[1:] or per_step)  # the first step also allocates
    tested = min(len(rows), MOST_OF_SELF_TEST)
    passes = plan.folds - 1 if plan.folds else 1
    seen = passes * (tested + len(rows)) * plan.epochs
    # A prediction is about a sixth of a step of EAC, which runs and differentiates two views.
    predicted = max(1, plan.folds) * (tested + len(found)) / 6
    width = network.fc.in_features
    searches = sum(_seconds_of_search(len(found), numbers) for numbers in (width, SIDE**2))
    features = len(found) * 4 * (2 * width + 3 * found.num_classes + SIDE**2)
    memory = psutil.Process().memory_info().rss + features
    if training.device.type == "cuda":
        memory += torch.cuda.max_memory_allocated(training.device)
    return Cost(per_picture * (seen + predicted) + searches, memory / 1e9)


def _seconds_of_search(count: int, width: int) -> float:
    """The time in which every one of ``count`` rows finds its neighbours, from a small search."""
    few = min(count, SEARCHED)
    vectors = torch.randn(few, width, generator=torch.Generator().manual_seed(0))
    asked = torch.arange(max(1, few // 10))
    load("sklearn.neighbors")  # importing it takes longer than a small search
    begin = time.perf_counter()
    nearest(vectors, asked, min(NEIGHBOURS, few - 1))
    return (time.perf_counter() - begin) * (count / few) * (count / len(asked))
