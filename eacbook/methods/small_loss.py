"""Small-loss selection: Co-teaching (Han et al., NeurIPS 2018, arXiv 1804.06872).

Two networks see the same batch. Each picks the samples that cost *it* least, and the *other* one
learns from these alone (algorithm 1):

    kept of a batch:  R(T) = 1 - tau * min(T / T_k, 1)
    loss = mean CE(first network, what the second one kept)
         + mean CE(second network, what the first one kept)

A wrong label costs much while a network has not memorised it, and two networks that began elsewhere do
not make the same mistakes, so neither confirms its own. tau is the noise rate, and it must be told.

Where the published code differs: its schedule rises from 0 to tau over the first T_k epochs with tau
reached in epoch T_k (ours, the paper's, one epoch later); and it divides the mean loss of the samples
that were kept by their number once more. To Adam a scaled loss is nearly the same loss, but its weight
decay then weighs that many times more; ours is the mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from eacbook.augment import Batch, RandomErasing
from eacbook.checks import put, real_number, whole_number
from eacbook.errors import InputError
from eacbook.methods.method import Method
from eacbook.networks import NETWORKS, build_network, seeded


@dataclass(frozen=True)
class SmallLoss(Method):
    """Co-teaching. The first network is the one that predicts; the second is its ``peer``.

    Attributes:
        noise_rate: tau, the share of wrong labels that it is told; 0 to below 1.
        ramp: T_k, epochs in which the share of the samples that are left out rises to tau.
    """

    name: ClassVar[str] = "small_loss"
    noise_rate: float
    ramp: int = 10

    def __post_init__(self):
        put(
            self,
            noise_rate=real_number("noise_rate", self.noise_rate, at_least=0, below=1),
            ramp=whole_number("ramp", self.ramp, 1),
        )

    def extend(self, network: nn.Module, size: int, seed: int) -> nn.Module:
        """The network with a ``peer``: as it was built, from other random weights.

        Raises:
            InputError: the network is not from :func:`eacbook.build_network`.
        """
        if getattr(network, "name", None) not in NETWORKS:
            raise InputError(
                "small_loss needs a second network and can build one only for: "
                + ", ".join(NETWORKS)
            )
        network.peer = build_network(
            network.name, network.fc.out_features, weights=network.weights, seed=seed + PEER
        )
        # Weights that bring a classifier give the same one to both, and equal networks stay equal.
        if torch.equal(network.peer.fc.weight, network.fc.weight.to(network.peer.fc.weight)):
            with seeded(seed + PEER):
                network.peer.fc.reset_parameters()
        return network

    def left_out(self, epoch: int) -> float:
        """The share of a batch that is left out in an epoch, counted from 0: 1 - R(T)."""
        return self.noise_rate * min(epoch / self.ramp, 1)

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        view = batch.flipped(RandomErasing())
        both = [
            functional.cross_entropy(student(view)[0], batch.labels, reduction="none")
            for student in (network, network.peer)
        ]
        count = len(batch.labels) - round(self.left_out(batch.epoch) * len(batch.labels))
        count = max(count, 1)
        by_network, by_peer = (losses.detach().argsort()[:count] for losses in both)
        own, of_peer = both[0][by_peer].mean(), both[1][by_network].mean()
        return {
            "loss": own + of_peer,
            "network_loss": own,
            "peer_loss": of_peer,
            "sample_losses": both[0],
            "sample_selected": both[0].new_zeros(len(batch.labels)).index_fill(0, by_peer, 1.0),
        }


PEER = 1_000_003
"""Added to a seed for the peer: small seeds are for readers, and no reader's seed is that of a peer."""
