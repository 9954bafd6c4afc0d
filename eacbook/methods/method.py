"""What every method is: a frozen dataclass of hyperparameters with a loss."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from eacbook.augment import Batch


class Method:
    """The base of the methods; a method of your own gives its ``loss``, and the rest where it needs.

    Attributes:
        name: under which it is found and its runs are listed.
        head_rate: the learning rate of the classifier ``network.fc``, in units of the recipe's.
    """

    name: ClassVar[str]
    head_rate: ClassVar[float] = 1.0

    def for_network(self, name: str) -> Method:
        """The method with what it left open filled in for the network of this name."""
        return self

    def extend(self, network: nn.Module, size: int, seed: int) -> nn.Module:
        """What is trained: the network itself, unless the method adds to it.

        Args:
            network: a copy that the method may change; its ``forward`` must go on predicting.
            size: height and width of the views in pixels.
            seed: of whatever is added.
        """
        return network

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The loss of a batch, and what the method says of its samples.

        Returns:
            ``"loss"``, the scalar to minimise; its parts, scalars under names of their own; and under
            names that begin with ``sample_`` one value for each face, ``[B]``:

            * ``sample_losses``: the cross-entropy of each with the label it was trained on;
            * ``sample_labels``: the labels, int64, with which the method wants to go on; the loop
              gives them back when these faces come again;
            * whatever else the method knows, e.g. ``sample_selected`` or ``sample_importance``.
        """
        raise NotImplementedError
