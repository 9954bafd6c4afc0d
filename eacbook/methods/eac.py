"""Erasing Attention Consistency (Zhang, Wang, Ling and Deng, ECCV 2022, arXiv 2207.10299).

    loss = CE(logits of the original view, labels)
         + weight * mean((maps - flip(maps of the mirrored view))**2)

The labels are used on the original view alone (the *imbalanced framework*), the attention of both
views is held together by their class activation maps, and a random rectangle of each view is erased,
so that the network cannot remember a wrong label by a detail. The maps are W x features with W
detached: the consistency moves the features of both views and never the classifier.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from eacbook.attention import flip_consistency
from eacbook.augment import Batch, RandomErasing, mirror
from eacbook.checks import boolean, put, real_number
from eacbook.methods.method import Method
from eacbook.networks import network_name

PAPERS_WEIGHT = 5.0
WEIGHTS = {
    "tiny": 1.5,
    "resnet18": PAPERS_WEIGHT,
    "resnet50": PAPERS_WEIGHT,
    "resnet18-caffe": PAPERS_WEIGHT,
    "resnet50-caffe": PAPERS_WEIGHT,
}
"""The weight for each network: the paper's for the ResNets; ``tiny``, trained from scratch, has maps of
another scale, and its weight was chosen on validation faces of the drawn set (benchmarks/README.md).
Choose it anew for your own data: on all of FERPlus 0.25 to 0.5 is better."""

SMALLEST = RandomErasing().scale[0]


@dataclass(frozen=True)
class EAC(Method):
    """Erasing Attention Consistency; every part can be switched off for an ablation.

    Attributes:
        weight: of the flip consistency. None takes the network's own in :data:`WEIGHTS`, or the
            paper's 5 for a network that is not there. 0 switches the part off, and the mirrored view
            is then not computed.
        erasing: False switches the erasing off.
        erasing_scale: the largest rectangle that is erased, as a share of the image; the smallest
            is 0.02 of it.
        labels_on_both_views: True switches the imbalanced framework off: the cross-entropy is the
            mean over both views.
        shared_erasing: the published pipeline for *clean* labels, for reproduction: the second view
            is the exact mirror image of the already erased first.
        one_pass: run the network once over both views together instead of twice. Faster, and not
            the same function: batch normalisation then sees the statistics of both views at once.
    """

    name: ClassVar[str] = "eac"
    weight: float | None = None
    erasing: bool = True
    erasing_scale: float = 0.25
    labels_on_both_views: bool = False
    shared_erasing: bool = False
    one_pass: bool = False

    def __post_init__(self):
        if self.weight is not None:
            put(self, weight=real_number("weight", self.weight, at_least=0))
        put(
            self,
            erasing_scale=real_number(
                "erasing_scale", self.erasing_scale, at_least=SMALLEST, at_most=1
            ),
        )
        for name in ("erasing", "labels_on_both_views", "shared_erasing", "one_pass"):
            put(self, **{name: boolean(name, getattr(self, name))})

    def for_network(self, name: str) -> EAC:
        """The same method with the network's weight, unless it has one of its own."""
        if self.weight is not None:
            return self
        return replace(self, weight=WEIGHTS.get(name, PAPERS_WEIGHT))

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        weight = self.for_network(network_name(network)).weight
        erasing = RandomErasing(scale=(SMALLEST, self.erasing_scale)) if self.erasing else None
        original = batch.original(erasing)
        if weight == 0 and not self.labels_on_both_views:
            logits, _ = network(original)
            losses = functional.cross_entropy(logits, batch.labels, reduction="none")
            return {"loss": losses.mean(), "sample_losses": losses}

        mirrored = mirror(original) if self.shared_erasing else batch.mirrored(erasing)
        if self.one_pass:
            logits, maps = network(torch.cat([original, mirrored]))
            logits, logits_of_mirror = logits.chunk(2)
            maps, maps_of_mirror = maps.chunk(2)
        else:
            logits, maps = network(original)
            logits_of_mirror, maps_of_mirror = network(mirrored)

        losses = functional.cross_entropy(logits, batch.labels, reduction="none")
        if self.labels_on_both_views:
            of_mirror = functional.cross_entropy(logits_of_mirror, batch.labels, reduction="none")
            losses = (losses + of_mirror) / 2
        cross_entropy = losses.mean()
        consistency = flip_consistency(maps, maps_of_mirror)
        return {
            "loss": cross_entropy + weight * consistency,
            "cross_entropy": cross_entropy,
            "consistency": consistency,
            "sample_losses": losses,
        }
