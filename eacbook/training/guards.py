"""Checks before the first step, and the check that can end a training after an epoch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from eacbook.data.faces import FaceData
from eacbook.devices import fits_memory
from eacbook.errors import InputError, NonFiniteLossError
from eacbook.training.recipe import Recipe
from eacbook.training.state import Training


def check_memory(faces: FaceData, recipe: Recipe, device: torch.device) -> None:
    """Refuse a batch whose pictures alone do not fit into the memory of the device."""
    size = recipe.size or faces.image_size
    pictures = min(recipe.batch_size, len(faces.train))
    what = f"a batch of {pictures} pictures of {size} x {size} pixels"
    fits_memory(what, 4 * 3 * size**2 * pictures, device)


def check_normalisation(network: nn.Module, batch_sizes: Sequence[int]) -> None:
    """Refuse a batch of one face if the network has batch normalisation: it would fail or give NaN."""
    if min(batch_sizes) == 1 and any(isinstance(m, _BatchNorm) for m in network.modules()):
        found = "batch_size is 1" if len(batch_sizes) > 1 else "there is one training face"
        raise InputError(
            f"batch normalisation needs at least 2 faces in a batch, and {found}: choose a larger "
            "batch_size and more faces, or a network without it"
        )


def check_finite(training: Training) -> None:
    """Check all losses and the network, once an epoch: a check after each step would slow it down.

    Raises:
        NonFiniteLossError: a loss or a tensor of the network is infinite or not a number.
    """
    losses = torch.stack([losses["loss"] for losses in training.losses])
    broken = (~losses.isfinite()).nonzero()
    if len(broken):
        batch = int(broken[0])
        parts = ", ".join(
            f"{name} {loss.item():.4g}" for name, loss in training.losses[batch].items()
        )
        raise NonFiniteLossError(
            f"{training.method.name}: the loss is not finite in epoch {training.epoch + 1}, batch "
            f"{batch + 1} of {training.batches_per_epoch} ({parts}). Try a smaller learning rate (now "
            f"{training.row['learning_rate']:.3g}) or, for EAC, a smaller weight."
        )
    state = training.network.state_dict()
    finite = torch.stack([tensor.isfinite().all() for tensor in state.values()])
    if not finite.all():
        name = list(state)[int((~finite).nonzero()[0])]
        raise NonFiniteLossError(
            f"{training.method.name}: {name} of the network is not finite after epoch "
            f"{training.epoch + 1}, though the loss is. Try a smaller learning rate (now "
            f"{training.row['learning_rate']:.3g})."
        )
