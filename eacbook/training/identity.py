"""The settings of a training: everything that decides its result, as plain values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import torch
from torch import nn

from eacbook.checks import instance, shortened
from eacbook.data.faces import FaceData
from eacbook.errors import InputError
from eacbook.files import raw_bytes
from eacbook.methods import Method, describe_method
from eacbook.models.networks import check_network, network_name
from eacbook.noise.labels import NoisyLabels
from eacbook.training.code_digest import describe_code, describe_structure
from eacbook.training.hooks import Hook
from eacbook.training.recipe import Recipe, recipe_of

VERSION = 4
"""Increased when the same settings give other results; stored runs of before are then not used.

It stands for the code of eacbook itself. The user's own code is in the settings as a digest."""


def fill_defaults(method: Method, network: str, recipe: Mapping[str, Any]) -> tuple[Method, Recipe]:
    """The method and the recipe, with the defaults of the network for everything that was not given.

    Args:
        method: EAC without a weight gets the weight of the network.
        network: its name; see :func:`eacbook.training.recipe.recipe_of`.
        recipe: the fields of :class:`eacbook.training.recipe.Recipe` that were given.

    Raises:
        InputError: it is not a method, a field is unknown, has another type or is out of range.
    """
    instance("method", method, Method, "EAC()")
    known = [field.name for field in fields(Recipe)]
    for name in recipe:
        if name not in known:
            raise InputError(f"unknown argument {name!r}; the recipe has {', '.join(known)}")
    return method.for_network(network), replace(recipe_of(network), **recipe)


def describe_training(
    method: Method,
    network: nn.Module,
    faces: FaceData,
    noisy: NoisyLabels,
    recipe: Recipe,
    hooks: Sequence[Hook] = (),
) -> dict[str, Any]:
    """Describe, as plain values, everything that decides the result of a training.

    Two trainings with equal descriptions give the same run (on one kind of device). The initial
    weights, the given labels and the user's own code are included as digests. :data:`VERSION` stands for
    eacbook's own code.

    Args:
        method, recipe: as from :func:`fill_defaults`.
        network, faces, noisy, hooks: see :func:`eacbook.training.loop.train`.

    Raises:
        InputError: an argument is of another class, the network cannot be trained, a part of its state
            is not a tensor, or the labels do not fit the faces.
    """
    check_network(network)
    instance("faces", faces, FaceData, "load_faces('synthetic')")
    instance("noisy", noisy, NoisyLabels, "inject_noise(faces.train.labels, 0.3, 7)")
    for hook in instance("hooks", hooks, Sequence, "[Progress()]"):
        instance("each hook", hook, Hook, "Progress()")
    if len(noisy.given) != len(faces.train):
        raise InputError(f"{len(noisy.given)} noisy labels for {len(faces.train)} training faces")
    for label in (int(noisy.given.min()), int(noisy.given.max())):
        if not 0 <= label < faces.num_classes:
            raise InputError(f"a noisy label is {label}, with {faces.num_classes} classes")
    if not torch.equal(noisy.true, faces.train.labels.cpu()):
        raise InputError("the noisy labels were made for other faces: their true labels differ")
    weights = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        try:
            weights.update(raw_bytes(tensor))
        except (AttributeError, RuntimeError, ValueError) as error:
            raise InputError(
                f"{name} in the state of the network is not a tensor of plain numbers, so it cannot be "
                f"trained and stored ({str(error).partition(chr(10))[0][:80]})"
            ) from error
    describing = [hook for hook in hooks if hook.describe()]
    deciding = {"method": type(method), "network": network, "hooks": list(map(type, describing))}
    statistics = getattr(network, "statistics", None)
    frozen = [name for name, weight in network.named_parameters() if not weight.requires_grad]
    given = hashlib.sha256(noisy.given.numpy().tobytes())
    return {
        "data": {"name": faces.name, "fingerprint": faces.fingerprint, "train": len(faces.train)},
        "noise": {**noisy.settings, "given": given.hexdigest()[:16]},
        "method": describe_method(method.for_network(network_name(network))),
        "network": {
            "name": network_name(network),
            "initial": weights.hexdigest()[:16],
            "structure": describe_structure(network),
            **({"statistics": statistics} if statistics else {}),
            **({"frozen": frozen} if frozen else {}),
        },
        "recipe": describe_recipe(recipe),
        "hooks": [hook.describe() for hook in describing],
        "code": {
            name: digest for name, part in deciding.items() if (digest := describe_code(part))
        },
        "version": VERSION,
    }


def describe_recipe(recipe: Recipe) -> dict[str, Any]:
    """The fields of a recipe, without ``deterministic`` where it is true, as it is by default.

    So the runs that were stored before this field existed are still found, and a run with
    ``deterministic=False`` is never found in place of a deterministic one.
    """
    fields = asdict(recipe)
    if recipe.deterministic:
        del fields["deterministic"]
    return fields


def check_storable(settings: dict[str, Any]) -> None:
    """Refuse settings that cannot be written into a file.

    Raises:
        InputError: a hyperparameter of the method, or a value that a hook describes, is not plain.
    """
    for part in ("method", "hooks", "noise"):
        try:
            json.dumps(settings[part])
        except (TypeError, ValueError) as error:
            raise InputError(
                f"the run cannot be stored, because its {part} {shortened(str(settings[part]))} "
                f"must hold plain values, such as numbers and texts ({shortened(str(error))})"
            ) from error
