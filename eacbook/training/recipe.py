"""The recipe of a training: epochs, batch size, learning rate, schedule and so on."""

from __future__ import annotations

from dataclasses import dataclass

from eacbook.checks import boolean, choice, put, real_number, seed_number, whole_number
from eacbook.models.registry import NETWORKS

SCHEDULES = ("exponential", "one-cycle")

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Recipe:
    """The recipe of a training: epochs, batch size, learning rate and so on. The optimizer is Adam.

    The defaults are for ``tiny`` on synthetic faces; each network has its own defaults in
    :data:`eacbook.models.registry.NETWORKS`.

    Attributes:
        epochs: at least 1.
        batch_size: images per step.
        learning_rate: the initial learning rate (exponential), or the highest (one-cycle).
        weight_decay: L2 penalty.
        schedule: ``"one-cycle"`` warms up and then anneals to nearly zero at the last batch (Smith
            and Topin, 2019); ``"exponential"`` multiplies the learning rate by ``decay`` after each
            epoch, as in the paper.
        decay: the factor of the exponential schedule.
        size: height and width of the network's input in pixels; None keeps the stored size.
        balanced: draw every class equally often in an epoch. Faces of rare classes then come several
            times, and some faces of frequent classes not at all. The papers do this for AffectNet only.
        precision: the precision of the training. ``"bfloat16"`` uses torch's autocast for convolutions
            and products; it is faster if the hardware supports it. Losses and evaluation are in float32.
            (On CUDA, PyTorch's float32 convolutions round their inputs to TF32 by default.)
        deterministic: on CUDA, use algorithms that give the same numbers each time, on one kind of GPU.
            Other devices do not use this value: the CPU always gives the same numbers. False is a
            little faster on CUDA. See ``docs/gpu.md``.
        seed: decides the order of the batches and the augmentation.

    Raises:
        InputError: a value is of another type or out of range.
    """

    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 1e-2
    weight_decay: float = 1e-4
    schedule: str = "one-cycle"
    decay: float = 0.95
    size: int | None = None
    balanced: bool = False
    precision: str = "float32"
    deterministic: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        put(
            self,
            epochs=whole_number("epochs", self.epochs, 1),
            batch_size=whole_number("batch_size", self.batch_size, 1),
            learning_rate=real_number("learning_rate", self.learning_rate, above=0),
            weight_decay=real_number("weight_decay", self.weight_decay, at_least=0),
            schedule=choice("schedule", self.schedule, SCHEDULES),
            decay=real_number("decay", self.decay, above=0, at_most=1),
            size=self.size if self.size is None else whole_number("size", self.size, 1),
            balanced=boolean("balanced", self.balanced),
            precision=choice("precision", self.precision, PRECISIONS),
            deterministic=boolean("deterministic", self.deterministic),
            seed=seed_number("seed", self.seed),
        )


def recipe_of(network: str) -> Recipe:
    """The default recipe of a network by its name; ``Recipe()`` if it is not in the registry."""
    return Recipe(**NETWORKS[network].recipe) if network in NETWORKS else Recipe()
