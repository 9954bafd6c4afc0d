"""From the arguments of a caller to a training that is ready to start."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from eacbook.data.faces import FaceData
from eacbook.devices import choose_device, choose_threads
from eacbook.methods import Method
from eacbook.models.networks import check_answer, need_parts, network_name
from eacbook.noise.labels import NoisyLabels
from eacbook.training.batches import split_batches
from eacbook.training.guards import check_memory, check_normalisation
from eacbook.training.hooks import Hook
from eacbook.training.identity import describe_training, fill_defaults
from eacbook.training.optimizer import Adam, build_scheduler, parameter_groups
from eacbook.training.recipe import Recipe
from eacbook.training.state import Training


def set_up(
    method: Method,
    network: nn.Module,
    faces: FaceData,
    noisy: NoisyLabels,
    device: str | torch.device | None,
    hooks: Sequence[Hook],
    given: Mapping[str, Any],
) -> Training:
    """Check everything, fill in the defaults of the network, and copy the network to the device.

    The arguments are those of :func:`eacbook.training.loop.train`; ``given`` are fields of the recipe.

    Raises:
        InputError: an argument is out of range or does not fit the faces.
    """
    method, recipe = fill_defaults(method, network_name(network), given)
    settings = describe_training(method, network, faces, noisy, recipe, hooks)
    device = choose_device(device)
    check_memory(faces, recipe, device)
    network = extend_network(method, network, faces, recipe)
    if method.head_rate != 1:
        need_parts(method.name, network, "fc")
    check_answer(network, recipe.size or faces.image_size, faces.num_classes)
    network = network.to(device)
    batch_sizes = split_batches(len(faces.train), recipe.batch_size)
    check_normalisation(network, batch_sizes)
    optimizer = Adam(
        parameter_groups(network, recipe.learning_rate, method.head_rate),
        weight_decay=recipe.weight_decay,
        fused=device.type != "mps",
    )
    return Training(
        network,
        method,
        faces.to(device),
        noisy,
        recipe,
        optimizer,
        build_scheduler(optimizer, recipe, len(batch_sizes)),
        settings,
        device,
        batch_sizes,
        noisy.given.to(device, copy=True),
        choose_threads() if device.type == "cpu" else torch.get_num_threads(),
    )


def extend_network(
    method: Method, network: nn.Module, faces: FaceData, recipe: Recipe
) -> nn.Module:
    """A copy of the network with the parts that the method adds."""
    size = recipe.size or faces.image_size
    return method.extend(
        copy.deepcopy(network), size, recipe.seed, len(faces.train), faces.num_classes
    )
