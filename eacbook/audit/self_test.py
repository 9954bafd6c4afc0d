"""The self-test: make some labels wrong on purpose, and count how many of them the ranking finds.

The planted labels are unknown to the training. A planted label counts as found in the first 10 % if it
is more doubtful than 90 % of the *other* pictures, whose labels nobody touched. So the planted labels
do not take each other's places, and the share holds for any number of wrong labels like these.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist

import torch
from torch import Tensor

from eacbook.audit.plan import MOST_OF_SELF_TEST, Plan
from eacbook.audit.report import LOOKED_AT, Found, SelfTest
from eacbook.audit.scores import score_labels
from eacbook.audit.source import AuditSet
from eacbook.training.batches import stream_seed

RATE = 0.05
"""The share of the labels that are made wrong."""

CONFIDENCE = 0.95


def run_self_test(found: AuditSet, plan: Plan, folder: str | Path) -> SelfTest:
    """Plant wrong labels, train as the audit does, and count.

    With half of the epochs the ranking is worse, and the interval did not hold: see docs/audit.md.

    Args:
        found: the set; of a large one a random part is taken.
        plan: the plan of the audit.
        folder: the folder of the stored runs.
    """
    generator = torch.Generator().manual_seed(stream_seed(plan.seed, "self-test", 0))
    order = torch.randperm(len(found.trained), generator=generator)
    rows = found.trained[order[:MOST_OF_SELF_TEST].sort().values]
    hidden = found.given[rows]
    given = plant(hidden, found.num_classes, generator)
    score = score_labels(found.part(rows, given), plan, folder, "self-test").score
    return count_found(score, given != hidden, hidden)


def plant(labels: Tensor, num_classes: int, generator: torch.Generator) -> Tensor:
    """Make 5 % of the labels wrong, at least one.

    A new label is drawn from the other classes in proportion to their size. So wrong labels do not
    flood a rare class.

    Args:
        labels: int64 ``[N]``.
        num_classes: K.
        generator: the source of the random numbers.

    Returns:
        int64 ``[N]``.
    """
    wanted = max(1, round(RATE * len(labels)))
    chosen = torch.randperm(len(labels), generator=generator)[:wanted]
    sizes = labels.bincount(minlength=num_classes).double()
    others = sizes.expand(num_classes, -1).clone().fill_diagonal_(0)
    given = labels.clone()
    given[chosen] = torch.multinomial(others[labels[chosen]], 1, generator=generator).squeeze(1)
    return given


def count_found(score: Tensor, planted: Tensor, hidden: Tensor) -> SelfTest:
    """Count the planted labels in the first parts of the ranking.

    Args:
        score: ``[n]``, larger is more doubtful.
        planted: bool ``[n]``.
        hidden: int64 ``[n]``, the labels before the planting.
    """
    others = score[~planted].sort().values
    # The share of the untouched pictures that are at least as doubtful as each planted one.
    ahead = (len(others) - torch.searchsorted(others, score[planted].contiguous())) / len(others)
    classes = hidden[planted]
    by_class = {label: classes == label for label in classes.unique().tolist()}
    return SelfTest(
        planted=len(ahead),
        found=_found(ahead),
        planted_by_class={label: int(own.sum()) for label, own in by_class.items()},
        found_by_class={label: _found(ahead[own]) for label, own in by_class.items()},
    )


def _found(ahead: Tensor) -> Mapping[float, Found]:
    """The counts, each with an interval for as many *other* wrong labels of this kind.

    Their share varies as much as the share of the planted ones, so the difference of both has twice
    the variance: that of half as many labels.
    """
    counts = {share: int((ahead < share).sum()) for share in LOOKED_AT}
    half = len(ahead) / 2
    return {share: Found(count, *wilson(count / 2, half)) for share, count in counts.items()}


def wilson(count: float, total: float) -> tuple[float, float]:
    """The 95 % interval of a share by Wilson (1927): ``count`` of ``total``.

    Returns:
        Its ends, 0 to 1; (0, 1) if the total is 0.
    """
    if not total:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    share, spread = count / total, z**2 / total
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * (share * (1 - share) / total + spread / total / 4) ** 0.5
    low = 0.0 if count == 0 else middle - half
    high = 1.0 if count == total else middle + half
    return low, high
