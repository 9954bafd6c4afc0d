"""Early-Learning Regularization (Liu, Niles-Weed, Razavian and Fernandez-Granda, NeurIPS 2020).

A network learns the right labels first and memorises the wrong ones later. ELR remembers what it learnt
early: a running mean of its own predictions for each sample. The loss holds the network to this memory.

::

    p: probabilities of a sample, clipped to [1e-4, 1 - 1e-4]
    memory:  t <- beta * t + (1 - beta) * p / sum(p),  zero at first, p detached
    loss = mean CE(logits, labels) + lambda * mean log(1 - <t, p>)

The second term falls while p moves towards t. Its gradient grows as t becomes sure. So it cancels the
gradient of a wrong label, and it keeps up that of a right one. No noise rate is needed.

Published for CIFAR-10: lambda 3, beta 0.7. The memory holds K numbers for each training sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from eacbook.augment.batch import Batch, last_places
from eacbook.augment.erasing import RandomErasing
from eacbook.checks import put, real_number
from eacbook.methods.method import Method
from eacbook.models.networks import WithParts

CLIP = 1e-4


def with_memory(network: WithParts, faces: int, classes: int) -> WithParts:
    """The network with a buffer ``memory``, float32 ``[N,K]`` of zeros."""
    parameter = next(network.parameters())
    network.register_buffer("memory", parameter.new_zeros(faces, classes, dtype=torch.float32))
    return network


def remember(memory: Tensor, batch: Batch, probabilities: Tensor, beta: float) -> Tensor:
    """Move the memory of a batch towards the probabilities ``[B,K]``; its new rows ``[B,K]``.

    A face may be in a batch several times: each place uses its own new row, and the last one is stored.

    Args:
        memory: ``[N,K]``, changed in place.
        beta: the share of the old memory that stays.
    """
    clipped = probabilities.detach().clamp(CLIP, 1 - CLIP)
    before = memory[batch.index]
    after = beta * before + (1 - beta) * (clipped / clipped.sum(1, keepdim=True)).to(before.dtype)
    memory[batch.index] = after[last_places(batch.index)]
    return after


def early_learning(logits: Tensor, remembered: Tensor) -> Tensor:
    """mean log(1 - <t, p>): scalar, at most 0.

    Args:
        logits: ``[B,K]``.
        remembered: t, ``[B,K]``, without gradient.
    """
    probabilities = logits.softmax(1).clamp(CLIP, 1 - CLIP)
    return (1 - (remembered * probabilities).sum(1)).log().mean()


@dataclass(frozen=True)
class ELR(Method):
    """Early-Learning Regularization, on the view of the baseline.

    Attributes:
        memory_weight: lambda, the weight of the regularisation.
        momentum: beta, the share of the memory that stays in a step; 0 to below 1.
    """

    name: ClassVar[str] = "elr"
    memory_weight: float = 3.0
    momentum: float = 0.7

    def __post_init__(self) -> None:
        put(
            self,
            memory_weight=real_number("memory_weight", self.memory_weight, at_least=0),
            momentum=real_number("momentum", self.momentum, at_least=0, below=1),
        )

    def extend(
        self, network: WithParts, size: int, seed: int, faces: int, classes: int
    ) -> WithParts:
        """The network with its ``memory``."""
        return with_memory(network, faces, classes)

    def loss(self, network: WithParts, batch: Batch) -> dict[str, Tensor]:
        logits, _ = network(batch.flipped(RandomErasing()))
        losses = functional.cross_entropy(logits, batch.labels, reduction="none")
        remembered = remember(network.memory, batch, logits.softmax(1), self.momentum)
        cross_entropy, memory = losses.mean(), early_learning(logits, remembered)
        return {
            "loss": cross_entropy + self.memory_weight * memory,
            "cross_entropy": cross_entropy,
            "early_learning": memory,
            "sample_losses": losses,
        }
