"""Self-Cure Network (Wang, Peng, Yang, Lu and Qiao, CVPR 2020, arXiv 2002.10392).

::

    importance of a sample:  alpha = sigmoid(w features)                               (equation 1)
    weighted cross-entropy:  CE(alpha * logits, labels)                                (equation 2)
    rank regularisation:     max(0, margin - (mean alpha of the high group
                                              - mean alpha of the low group))         (equations 3, 4)
    loss = (1 - rank_weight) * weighted cross-entropy + rank_weight * rank regularisation
    relabelling:  a sample of the low group gets the predicted label, if
                  P(predicted) - P(label) > relabel_margin                             (equation 5)

The high group is the share ``high_share`` of a batch with the largest importance. alpha is positive, so
it does not change the predicted class, and the network predicts without it.

The published code differs in two points. It adds both losses: this is ``rank_weight`` 0.5 up to the
scale, which has almost no effect with Adam. And it relabels *any* sample of the batch
(``relabel_any``), not only the low group. The margin of 0.15 is the paper's for batches of 1,024; for
batches of 64 the authors advise 0.07.

With balanced classes, a batch may contain a face several times, in different views. Each view is judged
separately, and the last one in the batch decides the next label of the face.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from eacbook.augment.batch import Batch
from eacbook.augment.erasing import RandomErasing
from eacbook.checks import boolean, put, real_number, whole_number
from eacbook.errors import InputError
from eacbook.methods.method import Method
from eacbook.models.networks import (
    RelativeUncertaintyNetwork,
    WithParts,
    at_least_float32,
    need_parts,
    seeded,
)


@dataclass(frozen=True)
class SCN(Method):
    """Self-Cure Network: weigh the samples, rank the weights, change labels.

    Attributes:
        high_share: beta, the share of a batch that forms the high group.
        rank_margin: delta 1, the difference that the means of both groups must reach.
        rank_weight: gamma, the weight of the rank regularisation, 0 to 1.
        relabel_epoch: the first epoch, counted from 1, in which labels are changed.
        relabel_margin: delta 2, between the probabilities of the predicted class and of the label.
        relabel_any: use the rule of the published code: labels of the high group may change, too.
    """

    name: ClassVar[str] = "scn"
    relabels: ClassVar[bool] = True
    high_share: float = 0.7
    rank_margin: float = 0.15
    rank_weight: float = 0.5
    relabel_epoch: int = 10
    relabel_margin: float = 0.2
    relabel_any: bool = False

    def __post_init__(self) -> None:
        for name in ("high_share", "rank_margin", "rank_weight", "relabel_margin"):
            put(self, **{name: real_number(name, getattr(self, name), at_least=0, at_most=1)})
        put(
            self,
            relabel_epoch=whole_number("relabel_epoch", self.relabel_epoch, 1),
            relabel_any=boolean("relabel_any", self.relabel_any),
        )

    def extend(
        self, network: WithParts, size: int, seed: int, faces: int, classes: int
    ) -> WithParts:
        """The network with a layer ``importance``: from pooled features to alpha before the sigmoid."""
        need_parts(self.name, network, "backbone", "classify", "fc")
        # In RUL's network the classifier does not use the features of the backbone.
        of_rul = isinstance(network, RelativeUncertaintyNetwork)
        channels = network.shape[0] if of_rul else network.fc.in_features
        with seeded(seed):
            network.importance = nn.Linear(channels, 1)
        return network

    def loss(self, network: WithParts, batch: Batch) -> dict[str, Tensor]:
        features = network.backbone(batch.flipped(RandomErasing()))
        logits, _ = network.classify(features)
        importance = (
            at_least_float32(network.importance(features.mean((2, 3)))).squeeze(1).sigmoid()
        )
        weighted = importance[:, None] * logits
        losses = functional.cross_entropy(weighted, batch.labels, reduction="none")
        high, low = self.groups(importance)
        difference = importance[high].mean() - importance[low].mean()
        rank = (self.rank_margin - difference).clamp(min=0)
        cross_entropy = losses.mean()
        return {
            "loss": (1 - self.rank_weight) * cross_entropy + self.rank_weight * rank,
            "cross_entropy": cross_entropy,
            "rank_regularisation": rank,
            "sample_losses": losses,
            "sample_importance": importance,
            "sample_labels": self.relabel(weighted, batch, low),
        }

    def groups(self, importance: Tensor) -> tuple[Tensor, Tensor]:
        """The places of the high group and of the low group in the batch; neither group is empty.

        Raises:
            InputError: the batch has only one face.
        """
        if len(importance) < 2:
            raise InputError("scn cannot rank a batch of one face: choose a larger batch_size")
        count = min(max(int(self.high_share * len(importance)), 1), len(importance) - 1)
        order = importance.detach().argsort(descending=True)
        return order[:count], order[count:]

    @torch.no_grad()
    def relabel(self, weighted: Tensor, batch: Batch, low: Tensor) -> Tensor:
        """The next labels, int64 ``[B]``, from the weighted logits ``[B,K]``."""
        if batch.epoch + 1 < self.relabel_epoch:
            return batch.labels
        changed = change_labels(weighted, batch.labels, self.relabel_margin)
        if self.relabel_any:
            return changed
        of_low = torch.zeros_like(changed, dtype=torch.bool).index_fill_(0, low, True)
        return torch.where(of_low, changed, batch.labels)


def change_labels(logits: Tensor, labels: Tensor, margin: float) -> Tensor:
    """The predicted label where it is more probable than the label by more than a margin (equation 5).

    Args:
        logits: ``[B,K]``.
        labels: int64 ``[B]``.
        margin: delta 2, a difference of probabilities.

    Returns:
        int64 ``[B]``; the other labels stay.
    """
    probabilities = logits.softmax(1)
    highest, predicted = probabilities.max(1)
    of_label = probabilities.gather(1, labels[:, None]).squeeze(1)
    return torch.where(highest - of_label > margin, predicted, labels)
