"""Plain cross-entropy on the given labels: what every other method is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from eacbook.augment import Batch, RandomErasing
from eacbook.checks import boolean, put
from eacbook.methods.method import Method


@dataclass(frozen=True)
class Baseline(Method):
    """loss = CE(logits, given labels), on EAC's first view with random flips.

    Attributes:
        erasing: erase random rectangles, as EAC does.
    """

    name: ClassVar[str] = "baseline"
    erasing: bool = True

    def __post_init__(self):
        put(self, erasing=boolean("erasing", self.erasing))

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        logits, _ = network(batch.flipped(RandomErasing() if self.erasing else None))
        losses = functional.cross_entropy(logits, batch.labels, reduction="none")
        return {"loss": losses.mean(), "sample_losses": losses}
