"""The optimizer Adam, its learning rates and its schedule."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from inspect import unwrap
from typing import Any

import torch

from eacbook.models.networks import WithParts
from eacbook.training.batches import stream_seed
from eacbook.training.recipe import Recipe


class Adam(torch.optim.Adam):
    """torch's Adam, without a delay of about 3 seconds at the first call.

    torch wraps these methods to hide them from its compiler. The first call of a wrapper imports the
    compiler: 900 modules. We compile nothing, so this class uses the methods without the wrappers.
    """

    step = torch.no_grad()(unwrap(torch.optim.Adam.step))
    zero_grad = unwrap(torch.optim.Adam.zero_grad)
    add_param_group = unwrap(torch.optim.Adam.add_param_group)
    state_dict = unwrap(torch.optim.Adam.state_dict)
    load_state_dict = unwrap(torch.optim.Adam.load_state_dict)


def parameter_groups(
    network: WithParts, learning_rate: float, head_rate: float
) -> list[dict[str, Any]]:
    """One group, or two if the classifier has its own learning rate."""
    if head_rate == 1:
        return [{"params": list(network.parameters()), "lr": learning_rate}]
    head = list(network.fc.parameters())
    rest = [p for p in network.parameters() if all(p is not of_head for of_head in head)]
    return [
        {"params": rest, "lr": learning_rate},
        {"params": head, "lr": learning_rate * head_rate},
    ]


def build_scheduler(
    optimizer: torch.optim.Optimizer, recipe: Recipe, batches_per_epoch: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """The scheduler of a recipe; it must be stepped after every batch."""
    if recipe.schedule == "one-cycle":
        steps = recipe.epochs * batches_per_epoch
        peaks = [group["lr"] for group in optimizer.param_groups]
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, steps)
    return torch.optim.lr_scheduler.StepLR(
        optimizer, step_size=batches_per_epoch, gamma=recipe.decay
    )


@contextlib.contextmanager
def layer_randomness(seed: int, epoch: int, device: torch.device) -> Iterator[None]:
    """Inside, torch's global generators have the seed of this epoch; their old state is restored after.

    Layers such as dropout take their random numbers from these generators.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(stream_seed(seed, "layers", epoch))
        yield


def mixed_precision(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """The precision of a recipe, as a context. (Not every torch has autocast on every device.)"""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
