"""One training over several processes, each with a device of its own, as ``torchrun`` starts them.

Every process draws the same batch and the same views of it, runs the *backbone* on its share, and then
has the features of the whole batch. So a method sees the batch as one process would: it ranks, mixes,
selects and relabels over all of it, its words about every sample need no gathering, and batch
normalisation has the statistics of all. torch's DistributedDataParallel adds up the gradients.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from eacbook.errors import InputError
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

    Raises:
        InputError: a backbone has a batch normalisation that is not one of torch's plain ones.
    """
    if count() == 1:
        return network
    backbones = {
        id(part): part
        for name, part in network.named_modules(remove_duplicate=False)
        if "backbone" not in (names := name.split("."))[:-1] and names[-1] == "backbone"
    }
    return _twin(network, {key: SharedBackbone(part) for key, part in backbones.items()})


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
        norms = {
            id(part): SyncedBatchNorm(part)
            for part in backbone.modules()
            if isinstance(part, _BatchNorm)
        }
        self.backbone = _twin(backbone, norms)
        if any(parameter.requires_grad for parameter in backbone.parameters()):
            self.backbone = DistributedDataParallel(self.backbone)

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
        norm: a ``BatchNorm1d``, ``2d`` or ``3d`` whose weights and statistics are used, whichever of
            them it has.

    Raises:
        InputError: it is of another class, whose statistics need not be those of a batch.
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
        if not self.training and norm.running_mean is not None:  # a network may freeze its own
            return norm(values)
        dtype, values = values.dtype, at_least_float32(values)
        dimensions = [0, *range(2, values.dim())]
        shape = [1, -1, *[1] * (values.dim() - 2)]
        number = values.new_full((1,), values.numel() / values.shape[1])
        sums = _Sum.apply(torch.cat([values.sum(dimensions), number]))
        mean, number = sums[:-1] / sums[-1], sums[-1].detach()
        centred = values - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(dimensions)) / number
        if norm.running_mean is not None:
            self._remember(mean.detach(), (variance * number / (number - 1).clamp(min=1)).detach())
        result = centred * (variance + norm.eps).rsqrt().view(shape)
        if norm.weight is not None:
            result = result * norm.weight.view(shape) + norm.bias.view(shape)
        return result.to(dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        norm = self.norm
        norm.num_batches_tracked += 1
        share = norm.momentum
        if share is None:  # their mean over all batches
            share = 1 / norm.num_batches_tracked.to(norm.running_mean.dtype)
        for running, new in ((norm.running_mean, mean), (norm.running_var, variance)):
            running.lerp_(new.to(running.dtype), share)


def _twin(
    module: nn.Module, replaced: Mapping[int, nn.Module], made: dict | None = None
) -> nn.Module:
    """A module that shares all parameters and buffers, with some of its parts replaced.

    What stands in it under several names does so in the twin, too.

    Args:
        replaced: by the id of a part what stands for it.
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
