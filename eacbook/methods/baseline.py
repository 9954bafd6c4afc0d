"""Plain cross-entropy on the given labels: the reference for all other methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from eacbook.augment.batch import Batch
from eacbook.augment.erasing import RandomErasing
from eacbook.checks import boolean, put
from eacbook.methods.method import Method


@dataclass(frozen=True)
class Baseline(Method):
    """loss = CE(logits, given labels), on EAC's first view; a random half of the images is mirrored.

    Attributes:
        erasing: whether random rectangles are erased, as in EAC.
    """

    name: ClassVar[str] = "baseline"
    erasing: bool = True

    def __post_init__(self) -> None:
        put(self, erasing=boolean("erasing", self.erasing))

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        logits, _ = network(batch.flipped(RandomErasing() if self.erasing else None))
        losses = functional.cross_entropy(logits, batch.labels, reduction="none")
        return {"loss": losses.mean(), "sample_losses": losses}
