"""One training over several processes, each with a device of its own, as ``torchrun`` starts them.

Every process draws the same batch and the same views of it, runs the *backbone* on its share, and then
has the features of the whole batch. So a method sees the batch as one process would: it ranks, mixes,
selects and relabels over all of it, its words about every sample need no gathering, and batch
normalisation has the statistics of all. torch's DistributedDataParallel adds up the gradients.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from eacbook.networks import at_least_float32


@contextmanager
def joined() -> Iterator[None]:
    """Inside, the processes that ``torchrun`` started know each other; alone, nothing happens."""
    if not distributed.is_torchelastic_launched():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that writes files and speaks."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def agreed(answer: bool) -> bool:
    """The answer of the first process, in every process: they may look at different times."""
    answers = [answer]
    if count() > 1:
        distributed.broadcast_object_list(answers, src=0)
    return answers[0]


def wait_for_all() -> None:
    """Return when every process has come here."""
    if count() > 1:
        distributed.barrier()


def shared(network: nn.Module) -> nn.Module:
    """A network with the same parameters, whose backbones run on this process's share of a batch.

    Alone, the network itself. Its state dictionary and its evaluation are those of ``network``; the
    twin is for training only.
    """
    if count() == 1:
        return network
    return _twin(network, lambda name, part: SharedBackbone(part) if name == "backbone" else None)


def align(network: nn.Module) -> None:
    """Give every process the first one's numbers: what is computed alike may differ by rounding."""
    if count() > 1:
        for tensor in network.state_dict().values():
            distributed.broadcast(tensor, src=0)


class SharedBackbone(nn.Module):
    """A backbone that computes the features of a share of the images and returns those of all.

    Args:
        backbone: ``[B,3,H,W]`` to ``[B,C,h,w]``; its parameters and statistics are used, not copied.
    """

    def __init__(self, backbone: nn.Module):
        super().__init__()
        norms = (nn.BatchNorm1d, nn.BatchNorm2d)
        synced = _twin(
            backbone, lambda _, part: SyncedBatchNorm(part) if isinstance(part, norms) else None
        )
        self.backbone = DistributedDataParallel(synced)

    def forward(self, images: Tensor) -> Tensor:
        sizes = [len(share) for share in images.tensor_split(count())]
        first = sum(sizes[: distributed.get_rank()])
        own = slice(first, first + sizes[distributed.get_rank()])
        return _Gather.apply(self.backbone(images[own]), own, len(images))


class _Gather(torch.autograd.Function):
    """From the features of a share to those of the whole batch.

    Every process computes the same loss of all features, so the gradient of a share is at hand
    without asking the others. DistributedDataParallel takes the *mean* over the processes where the
    sum of their shares is wanted: hence the factor.
    """

    @staticmethod
    def forward(ctx, features: Tensor, own: slice, batch_size: int) -> Tensor:
        ctx.own = own
        everyones = features.new_zeros(batch_size, *features.shape[1:])
        everyones[own] = features
        distributed.all_reduce(everyones)
        return everyones

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient[ctx.own] * count(), None, None


class _Sum(torch.autograd.Function):
    """The sum over all processes; every process's loss depends on it, so gradients are summed, too."""

    @staticmethod
    def forward(ctx, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total


class SyncedBatchNorm(nn.Module):
    """Batch normalisation by the statistics of all processes, on any device.

    torch's own SyncBatchNorm knows no CPU, and what is not tested is not trusted.

    Args:
        norm: a ``BatchNorm1d`` or ``BatchNorm2d`` whose weights and statistics are used.
    """

    def __init__(self, norm: nn.BatchNorm2d):
        super().__init__()
        self.norm = norm

    def forward(self, values: Tensor) -> Tensor:
        norm, dtype, values = self.norm, values.dtype, at_least_float32(values)
        dimensions = [0, *range(2, values.dim())]
        shape = [1, -1, *[1] * (values.dim() - 2)]
        number = values.new_full((1,), values.numel() / values.shape[1])
        sums = _Sum.apply(torch.cat([values.sum(dimensions), number]))
        mean, number = sums[:-1] / sums[-1], sums[-1].detach()
        centred = values - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(dimensions)) / number
        with torch.no_grad():
            norm.num_batches_tracked += 1
            norm.running_mean.lerp_(mean, norm.momentum)
            norm.running_var.lerp_(variance * number / (number - 1), norm.momentum)
        scale = (variance + norm.eps).rsqrt() * norm.weight
        return (centred * scale.view(shape) + norm.bias.view(shape)).to(dtype)


def _twin(module: nn.Module, replace: Callable, name: str = "") -> nn.Module:
    """A module that shares all parameters and buffers, with some of its parts replaced."""
    replaced = replace(name, module)
    if replaced is not None:
        return replaced
    twin = copy.copy(module)
    twin._modules = {name: _twin(part, replace, name) for name, part in module.named_children()}
    return twin
