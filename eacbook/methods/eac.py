"""Erasing Attention Consistency (Zhang, Wang, Ling and Deng, ECCV 2022, arXiv 2207.10299).

    loss = CE(logits of the original view, labels)
         + weight * mean((maps - flip(maps of the mirrored view))**2)

The labels are used for the original view only (the *imbalanced framework*). The consistency term keeps
the class activation maps of both views, and so their attention, equal. A random rectangle of each view
is erased, so that the network cannot memorise a wrong label from one detail. The maps are W x features
with W detached: the consistency changes the features of both views and never the classifier.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from eacbook.augment.batch import Batch
from eacbook.augment.erasing import RandomErasing
from eacbook.augment.normalise import mirror
from eacbook.checks import boolean, put, real_number
from eacbook.methods.method import Method
from eacbook.models.networks import network_name
from eacbook.models.registry import NETWORKS, PAPERS_WEIGHT

SMALLEST = RandomErasing().scale[0]


def flip_consistency(maps: Tensor, maps_of_mirror: Tensor) -> Tensor:
    """Mean squared difference between the maps and the mirrored maps of the mirror image.

    Args:
        maps: ``[B,K,h,w]``, class activation maps of the faces, without softmax, ReLU or scaling.
        maps_of_mirror: ``[B,K,h,w]``, the maps of the mirror images.

    Returns:
        Scalar, the mean over B, K, h and w; differentiable with respect to both.
    """
    return functional.mse_loss(maps, mirror(maps_of_mirror))


@dataclass(frozen=True)
class EAC(Method):
    """Erasing Attention Consistency; every part can be switched off for an ablation.

    Attributes:
        weight: the weight of the flip consistency. None takes the default of the network in
            :data:`eacbook.models.registry.NETWORKS`, or the paper's 5 for a network that is not there.
            0 switches the term off; then the mirrored view is not computed.
        erasing: False switches the erasing off.
        erasing_scale: the area of the largest erased rectangle, as a share of the image; the smallest
            share is 0.02.
        labels_on_both_views: True switches the imbalanced framework off: the cross-entropy is the
            mean over both views.
        shared_erasing: the published pipeline for *clean* labels, for reproduction: the second view
            is the exact mirror image of the first view, which is already erased.
        one_pass: run the network once over both views together instead of twice. This is faster, but
            not the same function: batch normalisation then uses the statistics of both views together.
    """

    name: ClassVar[str] = "eac"
    passes: ClassVar[int] = 2
    weight: float | None = None
    erasing: bool = True
    erasing_scale: float = 0.25
    labels_on_both_views: bool = False
    shared_erasing: bool = False
    one_pass: bool = False

    def __post_init__(self) -> None:
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
        """The same method with the default weight of the network, unless it already has a weight."""
        if self.weight is not None:
            return self
        weight = NETWORKS[name].eac_weight if name in NETWORKS else PAPERS_WEIGHT
        return replace(self, weight=weight)

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        weight = self.for_network(network_name(network)).weight
        assert weight is not None  # for_network has filled it in
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
