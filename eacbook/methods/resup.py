"""ReSup: reliable label noise suppression (Zhang et al., 2023, arXiv 2305.17895; IEEE TAFFC).

Two networks see the same view. Each one estimates how reliable the label of a sample is. The *other*
one learns with this weight::

    s = p_label / ||p||                     similarity of the prediction and the label, 0 to 1
    w(s): the probability that s is from the larger of two Beta distributions
    first epoch:  loss = CE_A + CE_B
    later:        loss = mean w_B(s_B) CE_A + mean w_A(s_A) CE_B + agreement * MSE(p_A, p_B)

After every epoch the two Beta distributions are fitted to the s of each network: right labels have a
large s, wrong ones a small s. w is held at its maximum for all larger s. The weights have no gradient.
No noise rate is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from eacbook.augment.batch import Batch
from eacbook.augment.erasing import RandomErasing
from eacbook.checks import put, real_number
from eacbook.methods.beta_mixture import fit_beta_mixture, probability_of_larger
from eacbook.methods.coteaching import PEER
from eacbook.methods.method import Method
from eacbook.models.networks import WithParts, copy_with_new_randomness

CLIP = 1e-4


@dataclass(frozen=True)
class ReSup(Method):
    """ReSup. The first network is used for prediction; the second one is its ``peer``.

    Attributes:
        agreement: the weight of the mean squared difference between both predictions.
    """

    name: ClassVar[str] = "resup"
    passes: ClassVar[int] = 2
    agreement: float = 5.0

    def __post_init__(self) -> None:
        put(self, agreement=real_number("agreement", self.agreement, at_least=0))

    def extend(
        self, network: WithParts, size: int, seed: int, faces: int, classes: int
    ) -> WithParts:
        """The network with a ``peer``, and ``mixtures``: float32 ``[2,2,3]``, one for each network.

        A mixture is what :func:`eacbook.methods.beta_mixture.fit_beta_mixture` returns; it is zero
        before the first fit.
        """
        network.peer = copy_with_new_randomness(network, seed + PEER)
        parameter = next(network.parameters())
        network.register_buffer("mixtures", parameter.new_zeros(2, 2, 3, dtype=torch.float32))
        return network

    def loss(self, network: WithParts, batch: Batch) -> dict[str, Tensor]:
        view = batch.flipped(RandomErasing())
        both = [student(view)[0] for student in (network, network.peer)]
        own, of_peer = (
            functional.cross_entropy(logits, batch.labels, reduction="none") for logits in both
        )
        probabilities = [logits.softmax(1) for logits in both]
        similarity = torch.stack(
            [similarity_to_label(p.detach(), batch.labels) for p in probabilities], 1
        )
        agreement = functional.mse_loss(*probabilities)
        if batch.epoch == 0:
            weights = torch.ones_like(similarity)
            loss = own.mean() + of_peer.mean()
        else:
            weights = torch.stack([
                probability_of_larger(similarity[:, number], network.mixtures[number])
                for number in (0, 1)
            ], 1).clamp(CLIP, 1 - CLIP)  # fmt: skip
            loss = (weights[:, 1] * own).mean() + (weights[:, 0] * of_peer).mean()
            loss = loss + self.agreement * agreement
        return {
            "loss": loss,
            "agreement": agreement,
            "sample_losses": own,
            "sample_similarity": similarity,
            "sample_weight": weights[:, 1],
        }

    def on_epoch_end(
        self, network: WithParts, epoch: int, samples: Mapping[str, Tensor], labels: Tensor
    ) -> None:
        """Fit a mixture to the similarities of each network."""
        similarity = samples["sample_similarity"].cpu()
        for number in (0, 1):
            of_network = similarity[:, number]
            mixture = fit_beta_mixture(of_network[~of_network.isnan()])
            network.mixtures[number] = mixture.to(network.mixtures)


def similarity_to_label(probabilities: Tensor, labels: Tensor) -> Tensor:
    """s ``[B]``: the cosine of the probabilities ``[B,K]`` and the one-hot label; int64 ``[B]``."""
    of_label = probabilities.gather(1, labels[:, None]).squeeze(1)
    return of_label / probabilities.square().sum(1).sqrt()
