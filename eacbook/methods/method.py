"""The base class of all methods. A method is a frozen dataclass of hyperparameters with a loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field
from typing import Any, ClassVar

from torch import Tensor, nn

from eacbook.augment.batch import Batch


class Method:
    """The base class of the methods. A new method must define ``loss``; the rest is optional.

    Attributes:
        name: the name of the method; its runs are listed under this name.
        passes: about how often it runs the network in a step; a grid orders its trainings by it.
        head_rate: the learning rate of the classifier ``network.fc``, as a multiple of the recipe's.
        relabels: whether it changes labels; if so, the labels of every epoch are recorded.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]  # every method is a dataclass
    name: ClassVar[str]
    passes: ClassVar[int] = 1
    head_rate: float = 1.0
    relabels: ClassVar[bool] = False

    def for_network(self, name: str) -> Method:
        """The method, with its open hyperparameters filled in for the network of this name."""
        return self

    def extend(
        self, network: nn.Module, size: int, seed: int, faces: int, classes: int
    ) -> nn.Module:
        """The network to train: the network itself, unless the method adds parts to it.

        A method has no state of its own. What it remembers, it registers here as a buffer of the
        network. So checkpoints, runs and several processes have it, too.

        Args:
            network: a copy that the method may change; its ``forward`` must still predict.
            size: height and width of the views in pixels.
            seed: the seed for the weights of the added parts.
            faces: N, the number of training faces.
            classes: K, the number of classes.
        """
        return network

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The loss of a batch, and values for each of its samples.

        Returns:
            ``"loss"``, the scalar to minimise; its parts, scalars with other names; and values with
            names that begin with ``sample_``, one for each face, ``[B]``:

            * ``sample_losses``: the cross-entropy of each face with the label it was trained on;
            * ``sample_labels``: the labels, int64, for the next steps; the loop uses them when these
              faces come again;
            * other values of the method, e.g. ``sample_selected`` or ``sample_importance``. K numbers
              for each face, ``[B,K]``, are possible, too, e.g. its probabilities.
        """
        raise NotImplementedError

    def on_epoch_end(
        self, network: nn.Module, epoch: int, samples: Mapping[str, Tensor], labels: Tensor
    ) -> None:
        """Called after the last step of an epoch, with all faces at once.

        It may change labels, and the buffers that :meth:`extend` registered.

        Args:
            network: the network in training.
            epoch: the number of the epoch, counted from 0.
            samples: name to the values of :meth:`loss` for every face in this epoch, float32 ``[N]`` or
                ``[N,K]``; NaN if a face did not come.
            labels: int64 ``[N]``, the labels of the next epoch. A method that :attr:`relabels` may
                change them in place.
        """
