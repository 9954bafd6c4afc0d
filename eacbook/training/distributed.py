"""One training over several processes that ``torchrun`` starts, each with its own device.

Every process makes the same batch and the same views of it. It runs the *backbone* on its share and
then gets the features of the whole batch. So a method sees the batch as in a single process: it ranks,
mixes, selects and relabels over the whole batch, and its values for every sample need no gathering.
Batch normalisation uses the statistics of the whole batch. torch's DistributedDataParallel combines the
gradients.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from eacbook.devices import choose_device
from eacbook.errors import InputError
from eacbook.models.networks import at_least_float32


@contextmanager
def process_group(device: str | torch.device | None = None) -> Iterator[None]:
    """Connect the processes that ``torchrun`` started; without ``torchrun``, do nothing.

    On CUDA each process of a machine takes a GPU of its own, and NCCL connects them. On other devices
    gloo does.

    Args:
        device: the device of the training; see :func:`eacbook.training.loop.train`.

    Raises:
        InputError: there is no such device, or this machine has more processes than GPUs.
    """
    if not distributed.is_torchelastic_launched():
        yield
        return
    on_cuda = (chosen := choose_device(device)).type == "cuda"
    if on_cuda:
        named = None if device is None else chosen.index
        _take_gpu(int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"]), named)
    distributed.init_process_group("nccl" if on_cuda else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _take_gpu(rank: int, processes: int, named: int | None) -> None:
    """Make a GPU the current one of this process.

    Args:
        rank: the number of this process on this machine.
        processes: the number of processes on this machine.
        named: the number of the only GPU that may be used; None for all of them.
    """
    gpus = torch.cuda.device_count() if named is None else 1
    if processes > gpus:
        few = f"{gpus} GPUs" if gpus > 1 else "1 GPU" if named is None else f"only GPU {named}"
        raise InputError(
            f"torchrun started {processes} processes on this machine, for {few}: expected at most "
            "one process for each GPU (--nproc-per-node), or --device cpu"
        )
    torch.cuda.set_device(rank if named is None else named)


def world_size() -> int:
    """The number of processes that train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that writes files and prints."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def broadcast_flag(answer: bool) -> bool:
    """The answer of the first process, in every process: their own answers may differ."""
    answers = [answer]
    if world_size() > 1:
        distributed.broadcast_object_list(answers, src=0)
    return answers[0]


def wait_for_all() -> None:
    """Return when every process has called this function."""
    if world_size() > 1:
        distributed.barrier()


def wrap_for_training(network: nn.Module) -> nn.Module:
    """A network with the same parameters whose backbones run on the share of this process.

    With a single process this is the network itself. Otherwise the returned network is for training
    only. Use ``network`` for the state dictionary and for evaluation.

    Raises:
        InputError: a backbone has a batch normalisation of a class that is not supported; see
            :class:`SyncedBatchNorm`.
    """
    if world_size() == 1:
        return network
    backbones = {
        id(part): part
        for name, part in network.named_modules(remove_duplicate=False)
        if "backbone" not in (names := name.split("."))[:-1] and names[-1] == "backbone"
    }
    return _twin(network, {key: SharedBackbone(part) for key, part in backbones.items()})


def broadcast_weights(network: nn.Module) -> None:
    """Copy the weights of the first process to all others: rounding can make them differ."""
    if world_size() > 1:
        for tensor in network.state_dict().values():
            distributed.broadcast(tensor, src=0)


class SharedBackbone(nn.Module):
    """A backbone that computes the features of its share and returns the features of all images.

    Args:
        backbone: ``[B,3,H,W]`` to ``[B,C,h,w]``; its parameters and statistics are used, not copied.
    """

    def __init__(self, backbone: nn.Module):
        super().__init__()
        norms = {
            id(part): SyncedBatchNorm(part)
            for part in backbone.modules()
            if isinstance(part, _BatchNorm)
        }
        self.backbone = _twin(backbone, norms)
        if any(parameter.requires_grad for parameter in backbone.parameters()):
            self.backbone = DistributedDataParallel(self.backbone)

    def forward(self, images: Tensor) -> Tensor:
        sizes = [len(share) for share in images.tensor_split(world_size())]
        first = sum(sizes[: distributed.get_rank()])
        own = slice(first, first + sizes[distributed.get_rank()])
        features: Tensor = _Gather.apply(self.backbone(images[own]), own, len(images))
        return features


class _Gather(torch.autograd.Function):
    """From the features of a share to the features of the whole batch.

    Every process computes the same loss from all features. So it has the gradient of its own share
    without communication. DistributedDataParallel takes the *mean* over the processes, but the sum over
    their shares is needed: this is the reason for the factor.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, own: slice, batch_size: int) -> Tensor:
        ctx.own = own
        everyones = features.new_zeros(batch_size, *features.shape[1:])
        everyones[own] = features
        distributed.all_reduce(everyones)
        return everyones

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient[ctx.own] * world_size(), None, None


class _Sum(torch.autograd.Function):
    """The sum over all processes. Every loss depends on it, so the gradients are summed, too."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total


class SyncedBatchNorm(nn.Module):
    """Batch normalisation with the statistics of all processes, on any device.

    torch's own SyncBatchNorm does not run on a CPU, so tests without a GPU could not check it.

    Args:
        norm: a ``BatchNorm1d``, ``2d`` or ``3d``. Its weights and statistics are used, where it has
            them.

    Raises:
        InputError: it is of another class, which may not use the statistics of a batch.
    """

    def __init__(self, norm: _BatchNorm):
        super().__init__()
        if type(norm) not in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            raise InputError(
                f"{type(norm).__name__} in the backbone cannot be trained by several processes: "
                "expected torch's BatchNorm1d, BatchNorm2d or BatchNorm3d; or train in one process"
            )
        self.norm = norm

    def forward(self, values: Tensor) -> Tensor:
        norm = self.norm
        if not self.training and norm.running_mean is not None:  # a network may freeze this layer
            normalised: Tensor = norm(values)
            return normalised
        dtype, values = values.dtype, at_least_float32(values)
        dimensions = [0, *range(2, values.dim())]
        shape = [1, -1, *[1] * (values.dim() - 2)]
        number = values.new_full((1,), values.numel() / values.shape[1])
        sums: Tensor = _Sum.apply(torch.cat([values.sum(dimensions), number]))
        mean, number = sums[:-1] / sums[-1], sums[-1].detach()
        centred = values - mean.view(shape)
        variance: Tensor = _Sum.apply(centred.square().sum(dimensions)) / number
        if norm.running_mean is not None:
            self._remember(mean.detach(), (variance * number / (number - 1).clamp(min=1)).detach())
        result = centred * (variance + norm.eps).rsqrt().view(shape)
        if norm.weight is not None:
            result = result * norm.weight.view(shape) + norm.bias.view(shape)
        return result.to(dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        means, variances, batches = map(
            self.norm.get_buffer, ("running_mean", "running_var", "num_batches_tracked")
        )
        batches += 1
        share: float | Tensor | None = self.norm.momentum
        if share is None:  # then torch takes the mean over all batches
            share = 1 / batches.to(means.dtype)
        for running, new in ((means, mean), (variances, variance)):
            running.lerp_(new.to(running.dtype), share)


def _twin(
    module: nn.Module, replaced: Mapping[int, nn.Module], made: dict[int, nn.Module] | None = None
) -> nn.Module:
    """A copy of a module that shares all parameters and buffers, with some of its parts replaced.

    A part that has several names in the module has the same names in the copy.

    Args:
        replaced: id of a part to its replacement.
    """
    made = {} if made is None else made
    if id(module) in replaced:
        return replaced[id(module)]
    if id(module) not in made:
        twin = made[id(module)] = copy.copy(module)
        twin._modules = {
            name: None if part is None else _twin(part, replaced, made)
            for name, part in module._modules.items()
        }
    return made[id(module)]
