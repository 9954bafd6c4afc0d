"""What an audit will train."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from eacbook.audit.source import AuditSet
from eacbook.checks import choice, seed_number, whole_number
from eacbook.devices import choose_device
from eacbook.errors import InputError
from eacbook.models.dlib_face import PACKAGE
from eacbook.models.registry import NETWORKS
from eacbook.training.batches import split_batches
from eacbook.training.recipe import recipe_of

FACES, SMALL = "dlib-face", "tiny"
"""The network for photographs, and the one that needs no weights."""

SMALL_SIZE = 48
"""Most pixels that ``tiny`` sees: it was made for pictures of this size."""

LEAST_STEPS = 300
"""A small set is trained for more epochs, until the network has made so many steps. On 300 written
digits with 32 wrong labels, 150, 300 and 600 steps gave an average precision of 0.987, 0.989 and 0.990;
with 600 steps half of the wrong labels were memorised."""

MOST_OF_SELF_TEST = 10_000
"""Most pictures of the self-test: 500 planted labels give an interval of 4 points or less."""


@dataclass(frozen=True)
class Plan:
    """How an audit trains.

    Attributes:
        network, weights: see :func:`eacbook.models.networks.build_network`.
        recipe: the fields of the recipe that differ from the network's own; the seed is one of them.
        folds: 0 for one training on all rows, else the number of trainings out of fold.
        device: where it trains; None takes the fastest one.
    """

    network: str
    weights: str | None
    recipe: Mapping[str, Any]
    folds: int = 0
    device: str | None = None

    @property
    def seed(self) -> int:
        return int(self.recipe["seed"])

    @property
    def epochs(self) -> int:
        return int(self.recipe["epochs"])

    @property
    def size(self) -> int | None:
        """Height and width of what the network sees, in pixels; None for the stored size."""
        return replace(recipe_of(self.network), **self.recipe).size


def make_plan(
    found: AuditSet,
    *,
    network: str | None = None,
    quick: bool = False,
    epochs: int | None = None,
    folds: int = 0,
    seed: int = 0,
    device: str | None = None,
) -> Plan:
    """Choose network and recipe.

    Args:
        found: the set.
        network: a name in :data:`eacbook.models.registry.NETWORKS`. None takes ``dlib-face`` if its
            weights are installed, else ``tiny``.
        quick: take ``tiny``.
        epochs: None takes those of the network's recipe, and more for a small set.
        folds: 0 for one training on all rows; else from 2, each class needs so many pictures.
        seed: decides the initial weights, order, augmentation, folds and planted labels.
        device: see :func:`eacbook.devices.choose_device`.

    Raises:
        InputError: a value is unknown or out of range, or the set has too few pictures for the folds.
    """
    epochs, folds = check_choices(network, quick, epochs, folds)
    if network is None:
        network = FACES if not quick and find_spec(PACKAGE) else SMALL
    entry = NETWORKS[network]
    seed = seed_number("seed", seed)
    on_cpu = choose_device(device).type == "cpu"
    recipe: dict[str, Any] = {**(entry.laptop if on_cpu else {}), "seed": seed}
    if network == SMALL and found.image_size > SMALL_SIZE:
        recipe["size"] = SMALL_SIZE
    full = replace(recipe_of(network), **recipe)
    steps = len(split_batches(len(found.trained), full.batch_size))
    least = math.ceil(LEAST_STEPS / steps)
    recipe["epochs"] = max(full.epochs, least) if epochs is None else epochs
    _check_folds(found, folds)
    weights = "dlib" if network == FACES else None
    return Plan(network, weights, recipe, folds, device)


def check_choices(
    network: str | None, quick: bool, epochs: int | None, folds: int
) -> tuple[int | None, int]:
    """Check what :func:`make_plan` is asked for, as far as this needs no set.

    Returns:
        Epochs and folds as Python's own numbers.
    """
    if network is not None:
        choice("network", network, NETWORKS)
    if quick and network not in (None, SMALL):
        raise InputError(f"--quick means --network {SMALL}, and --network is {network}")
    epochs = None if epochs is None else whole_number("epochs", epochs, 1)
    folds = whole_number("folds", folds)
    if folds == 1:
        raise InputError("folds must be 0 (one training) or at least 2, got 1")
    return epochs, folds


def _check_folds(found: AuditSet, folds: int) -> None:
    counts = found.given[found.trained].bincount(minlength=found.num_classes)
    fewest = int(counts.argmin())
    if folds > counts[fewest]:
        raise InputError(
            f"{folds} folds need {folds} pictures of every class, and {found.classes[fewest]} has "
            f"{int(counts[fewest])}"
        )
    if found.persons and folds > len(there := {found.persons[row] for row in found.trained}):
        raise InputError(f"{folds} folds need {folds} persons, and there are {len(there)}")
