"""Erasing Attention Consistency (Zhang, Wang, Ling and Deng, ECCV 2022, arXiv 2207.10299).

    loss = CE(logits of the original view, labels)
         + weight * mean((maps - flip(maps of the mirrored view))**2)

The labels are used on the original view alone (the *imbalanced framework*), the attention of both
views is held together by their class activation maps, and a random rectangle of each view is erased,
so that the network cannot remember a wrong label by a detail. The maps are W x features with W
detached: the consistency moves the features of both views and never the classifier.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from eacbook.attention import flip_consistency
from eacbook.augment import Batch, RandomErasing, mirror
from eacbook.errors import InputError
from eacbook.methods.method import Method

WEIGHTS = {
    "tiny": 1.5,
    "resnet18": 5.0,
    "resnet50": 5.0,
    "resnet18-caffe": 5.0,
    "resnet50-caffe": 5.0,
}
"""The weight for each network: the paper's for the ResNets; ``tiny``, trained from scratch, has maps of
another scale, and its weight was chosen on validation faces of the drawn set (benchmarks/README.md).
Choose it anew for your own data: on all of FERPlus 0.25 to 0.5 is better."""

SMALLEST = RandomErasing().scale[0]


@dataclass(frozen=True)
class EAC(Method):
    """Erasing Attention Consistency; every part can be switched off for an ablation.

    Attributes:
        weight: of the flip consistency; 5 in the paper, and see :data:`WEIGHTS`. 0 switches the part
            off, and the mirrored view is then not computed.
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
    weight: float = 5.0
    erasing: bool = True
    erasing_scale: float = 0.25
    labels_on_both_views: bool = False
    shared_erasing: bool = False
    one_pass: bool = False

    def __post_init__(self):
        if not 0 <= self.weight < float("inf"):
            raise InputError(f"weight must be a finite number, 0 or more, got {self.weight}")
        if not SMALLEST <= self.erasing_scale <= 1:
            raise InputError(f"erasing_scale must lie in {SMALLEST} to 1, got {self.erasing_scale}")

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        erasing = RandomErasing(scale=(SMALLEST, self.erasing_scale)) if self.erasing else None
        original = batch.original(erasing)
        if self.weight == 0 and not self.labels_on_both_views:
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
            "loss": cross_entropy + self.weight * consistency,
            "cross_entropy": cross_entropy,
            "consistency": consistency,
            "sample_losses": losses,
        }
