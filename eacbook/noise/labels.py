"""The given labels of a training set, with the true labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class NoisyLabels:
    """The given labels of a training set, with the true labels.

    Attributes:
        given: int64 ``[N]``, the given labels: the network is trained on them.
        true: int64 ``[N]``, the true labels.
        transition_matrix: float64 ``[K,K]``, the requested probabilities of the given labels.
        settings: how the labels were made (kind, rate, seed, ...), as plain values.
    """

    given: Tensor
    true: Tensor
    transition_matrix: Tensor
    settings: dict[str, Any]

    @property
    def wrong(self) -> Tensor:
        """bool ``[N]``: which labels are wrong."""
        return self.given != self.true

    @property
    def rate(self) -> float:
        """The actual share of wrong labels."""
        return self.wrong.double().mean().item()

    def take(self, index: Tensor) -> NoisyLabels:
        """The labels at ``index`` (int64 ``[n]``), in that order."""
        return replace(self, given=self.given[index], true=self.true[index])

    @property
    def counts(self) -> Tensor:
        """int64 ``[K,K]``: how many faces of true class i were given label j."""
        num_classes = len(self.transition_matrix)
        pairs = self.true * num_classes + self.given
        return pairs.bincount(minlength=num_classes**2).view(num_classes, num_classes)

    @property
    def empirical_matrix(self) -> Tensor:
        """float64 ``[K,K]``: the actual shares of the given labels for each true class; a class without
        a face has its row of the transition matrix."""
        counts = self.counts.double()
        totals = counts.sum(1, keepdim=True)
        return torch.where(totals > 0, counts / totals.clamp(min=1), self.transition_matrix)
