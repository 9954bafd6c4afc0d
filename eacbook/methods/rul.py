"""Relative Uncertainty Learning (Zhang, Wang and Deng, NeurIPS 2021).

The backbone has two branches: one gives the feature mu, the other the uncertainty s of a face (sections
3.2 and 3.3: feature mixup and the add-up loss). Each face i is mixed with another face j of its batch.
The network must recognise the mixture as both:

    s = mean(exp(uncertainty branch))
    mixed = (s_i mu_i + s_j mu_j) / (s_i + s_j)
    loss = (CE(W mixed, label of i) + CE(W mixed, label of j)) / 2

The face that is harder to recognise needs the larger share of the mixture. So the branch learns which of
the two faces is harder: uncertainty is relative. Nothing is mixed when the network predicts.

Published: features of 64 numbers, dropout 0.4, the learning rate of the classifier ten times that of the
backbone (2e-3 and 2e-4), batches of 64. The factor 1/2 is from the published code; the paper adds both
losses. The published code logs a training accuracy on the *mixed* features. Ours is measured on faces in
evaluation mode, as for all methods. The branches see every place of the feature maps. So the class
activation maps are defined more generally here: what each place adds to the logits.

The author of RUL writes in its repository that relabelling is vital under noise; the published code has
none. ``relabel_epoch`` adds SCN's rule (equation 5 of SCN, with its margin) for every face of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from eacbook.augment.batch import Batch
from eacbook.augment.erasing import RandomErasing
from eacbook.checks import put, real_number, whole_number
from eacbook.errors import InputError
from eacbook.methods.method import Method
from eacbook.methods.scn import SCN, change_labels
from eacbook.models.networks import (
    RelativeUncertaintyNetwork,
    WithParts,
    at_least_float32,
    evaluation_mode,
    need_parts,
    seeded,
    shown_pictures,
)

LARGEST_DIMENSION = 65_536


@dataclass(frozen=True)
class RUL(Method):
    """Relative Uncertainty Learning.

    Attributes:
        dimension: the dimension of the feature mu, 1 to 65,536.
        dropout: the probability of dropout in both branches.
        head_rate: the learning rate of the classifier, as a multiple of the recipe's.
        relabel_epoch: the first epoch, counted from 1, in which labels are changed; None changes none.
    """

    name: ClassVar[str] = "rul"
    dimension: int = 64
    dropout: float = 0.4
    head_rate: float = 10.0
    relabel_epoch: int | None = None

    def __post_init__(self) -> None:
        put(
            self,
            dimension=whole_number("dimension", self.dimension, 1, LARGEST_DIMENSION),
            dropout=real_number("dropout", self.dropout, at_least=0, below=1),
            head_rate=real_number("head_rate", self.head_rate, above=0),
        )
        if self.relabel_epoch is not None:
            put(self, relabel_epoch=whole_number("relabel_epoch", self.relabel_epoch, 1))

    def extend(
        self, network: WithParts, size: int, seed: int, faces: int, classes: int
    ) -> RelativeUncertaintyNetwork:
        """The network with both branches and a classifier of the feature mu.

        A network from the weights of a run of RUL already has them; it keeps them if they fit.
        """
        need_parts(self.name, network, "backbone", "fc")
        with shown_pictures(network, size), evaluation_mode(network.backbone), torch.no_grad():
            images = network.fc.weight.new_zeros(1, 3, size, size)
            shape = network.backbone(images).shape[1:]
        if isinstance(network, RelativeUncertaintyNetwork) and (shape, self.dimension) == (
            network.shape,
            network.fc.in_features,
        ):
            for branch in (network.mu, network.log_variance):
                branch[1].p = self.dropout  # type: ignore[assignment]  # a number is allowed, too
            return network
        with seeded(seed):
            return RelativeUncertaintyNetwork(network, shape, self.dimension, self.dropout)

    def loss(self, network: WithParts, batch: Batch) -> dict[str, Tensor]:
        if len(batch.labels) < 2:
            raise InputError("rul cannot mix a batch of one face: choose a larger batch_size")
        features = network.backbone(batch.flipped(RandomErasing()))
        mu = network.mu(features)
        uncertainty = at_least_float32(network.log_variance(features)).exp().mean(1)
        other = batch.permutation()
        share = (uncertainty / (uncertainty + uncertainty[other]))[:, None]
        logits = at_least_float32(network.fc(share * mu + (1 - share) * mu[other]))
        both = [
            functional.cross_entropy(logits, labels)
            for labels in (batch.labels, batch.labels[other])
        ]
        with torch.no_grad():
            unmixed = at_least_float32(network.fc(mu))
            losses = functional.cross_entropy(unmixed, batch.labels, reduction="none")
        values = {
            "loss": (both[0] + both[1]) / 2,
            "sample_losses": losses,
            "sample_uncertainty": uncertainty,
        }
        if self.relabel_epoch is None:
            return values
        begun = batch.epoch + 1 >= self.relabel_epoch
        changed = change_labels(unmixed, batch.labels, SCN.relabel_margin)
        return values | {"sample_labels": changed if begun else batch.labels}
