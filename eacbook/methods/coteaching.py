"""Co-teaching (Han et al., NeurIPS 2018, arXiv 1804.06872): each network learns from small losses.

Two networks see the same batch. Each one selects the samples with *its* smallest losses. The *other*
one learns only from these samples (algorithm 1)::

    kept of a batch:  R(T) = 1 - tau * min(T / T_k, 1)
    loss = mean CE(first network, what the second one kept)
         + mean CE(second network, what the first one kept)

A wrong label has a large loss as long as the network has not memorised it. Two networks with different
initial weights make different mistakes, so no network confirms its own mistakes. tau is the noise rate;
the user must give it.

The published code differs in two points. Its schedule rises from 0 to tau over the first T_k epochs and
reaches tau in epoch T_k; ours, the paper's, reaches it one epoch later. And it divides the mean loss of
the kept samples by their number once more. For Adam a scaled loss is nearly the same loss, but then the
weight decay counts that many times more. Our loss is the mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from eacbook.augment.batch import Batch
from eacbook.augment.erasing import RandomErasing
from eacbook.checks import put, real_number, whole_number
from eacbook.methods.method import Method
from eacbook.models.networks import WithParts, copy_with_new_randomness


@dataclass(frozen=True)
class CoTeaching(Method):
    """Co-teaching. The first network is used for prediction; the second one is its ``peer``.

    Attributes:
        noise_rate: tau, the assumed share of wrong labels; 0 to below 1.
        ramp: T_k, the number of epochs in which the share of left-out samples rises to tau.
    """

    name: ClassVar[str] = "coteaching"
    passes: ClassVar[int] = 2
    noise_rate: float
    ramp: int = 10

    def __post_init__(self) -> None:
        put(
            self,
            noise_rate=real_number("noise_rate", self.noise_rate, at_least=0, below=1),
            ramp=whole_number("ramp", self.ramp, 1),
        )

    def extend(
        self, network: WithParts, size: int, seed: int, faces: int, classes: int
    ) -> WithParts:
        """The network with a ``peer``: a copy with other random weights."""
        network.peer = copy_with_new_randomness(network, seed + PEER)
        return network

    def left_out(self, epoch: int) -> float:
        """The share of a batch that is left out in an epoch: 1 - R(T). Epochs count from 0."""
        return self.noise_rate * min(epoch / self.ramp, 1)

    def loss(self, network: WithParts, batch: Batch) -> dict[str, Tensor]:
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
"""Added to a seed for the peer. Readers use small seeds, so no seed of a reader is that of a peer."""
