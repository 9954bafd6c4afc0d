"""Backbones with one head that gives logits and class activation maps.

``maps = W x features`` for all K classes before pooling, with the classifier's weights W detached,
and ``logits = W mean(features) + b``: global average pooling makes mean(maps) + b = logits (Zhou et
al., CVPR 2016). A loss on the maps therefore moves the features and never the classifier.
"""

from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from eacbook.checks import (
    choice,
    instance,
    number_of_classes,
    path_name,
    seed_number,
    shortened,
)
from eacbook.errors import InputError
from eacbook.weight_files import read_weights
from eacbook.weights import OF_RUL, Match, fill_network, own_tensors


class ClassActivationNetwork(nn.Module):
    """A convolutional backbone under a linear classifier.

    Args:
        backbone: ``[B,3,H,W]`` to features ``[B,C,h,w]``.
        channels: C.
        num_classes: K.
        name: under which runs are listed.

    Attributes:
        weights: what the backbone started from, as it was given to :func:`build_network`; None if
            from random weights.
        weights_match: what of it matched.
    """

    def __init__(self, backbone: nn.Module, channels: int, num_classes: int, name: str = "custom"):
        super().__init__()
        self.name = name
        self.weights: str | None = None
        self.weights_match: Match | None = None
        self.backbone = backbone
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised ``[B,3,H,W]`` to logits ``[B,K]`` and class activation maps ``[B,K,h,w]``.

        Logits are float32 under autocast, too, so that losses are.
        """
        return self.classify(self.backbone(images))

    def classify(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``[B,C,h,w]`` of the backbone to logits ``[B,K]`` and maps ``[B,K,h,w]``."""
        maps = functional.conv2d(features, self.fc.weight.detach()[:, :, None, None])
        return at_least_float32(self.fc(features.mean((2, 3)))), maps


class RelativeUncertaintyNetwork(nn.Module):
    """A backbone under a branch for the feature, one for its uncertainty, and a classifier.

    :class:`eacbook.methods.RUL` trains it.

    Args:
        network: with a ``backbone`` and a classifier ``fc``, which is replaced.
        shape: ``(C, h, w)`` of the backbone's features: a branch has weights for every place, so the
            images are always of one size.
        dimension: D, of the feature.
        dropout: probability.

    Attributes:
        shape: as given.
    """

    def __init__(
        self,
        network: nn.Module,
        shape: tuple[int, int, int],
        dimension: int,
        dropout: float = 0.4,
    ):
        super().__init__()
        self.name = network_name(network)
        self.weights: str | None = getattr(network, "weights", None)
        self.weights_match: Match | None = getattr(network, "weights_match", None)
        self.backbone = network.backbone
        self.shape = shape

        def branch() -> nn.Sequential:
            return nn.Sequential(
                nn.BatchNorm2d(shape[0], eps=2e-5, affine=False),
                nn.Dropout(dropout),
                nn.Flatten(),
                nn.Linear(math.prod(shape), dimension),
                nn.BatchNorm1d(dimension, eps=2e-5),
            )

        self.mu, self.log_variance = branch(), branch()
        self.fc = nn.Linear(dimension, network.fc.out_features)
        self.to(network.fc.weight.device)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised ``[B,3,H,W]`` to logits ``[B,K]`` and maps ``[B,K,h,w]``."""
        return self.classify(self.backbone(images))

    def classify(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``[B,C,h,w]`` of the backbone to logits ``[B,K]`` and maps ``[B,K,h,w]``.

        The way from the features to the logits is linear where batch normalisation uses its running
        statistics: the logits are the mean of the maps over the places, and a constant. The maps
        always use them, and hold the weights fast, as :class:`ClassActivationNetwork` does.

        Raises:
            InputError: the images are of another size than those it was made for.
        """
        if features.shape[1:] != self.shape:
            raise InputError(
                f"the head of RUL was trained on features of {tuple(self.shape)} and gets "
                f"{tuple(features.shape[1:])}: give images of the size it was trained on"
            )
        normalised, _, _, linear, norm = self.mu
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        weights = (self.fc.weight * scale) @ linear.weight
        weights = weights.detach().view(len(weights), *self.shape)
        before = functional.batch_norm(
            features, normalised.running_mean, normalised.running_var, eps=normalised.eps
        )
        maps = torch.einsum("bchw,kchw->bkhw", before, weights) * math.prod(self.shape[1:])
        return at_least_float32(self.fc(self.mu(features))), maps


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation around a shortcut (He et al., CVPR 2016)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.shortcut = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.shortcut(x))


def _tiny() -> tuple[nn.Module, int]:
    """For drawn faces on a CPU: 48 x 48 pixels to maps of 6 x 6; 100,311 weights with 7 classes.

    Resolution is given up early, even before the first normalisation, and widths are multiples of 16,
    because that is what a CPU is fast at.
    """
    stem = nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
    )
    return nn.Sequential(stem, _layer(16, 32), ResidualBlock(32, 64, 2), _layer(64, 64)), 64


def _layer(channels_in: int, channels_out: int) -> nn.Sequential:
    """A 3x3 convolution with batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def _resnet(name: str, caffe: bool = False) -> tuple[nn.Module, int]:
    """torchvision's ResNet without its pooling and classifier; its parts keep their names.

    Caffe-style is what VGGFace2's weights were trained with (Cao et al., FG 2018) and what the
    published code of EAC builds: a bottleneck strides in its first 1x1 convolution, not in its 3x3,
    and the max-pooling pads nothing and rounds up. All shapes are the same, the function is not.
    Pictures enter it as they enter every network here (red, green, blue; ImageNet's mean and
    deviation), as in EAC's code, though VGGFace2's saw blue, green, red minus their own mean.
    """
    import torchvision  # slow to import, and `tiny` does without it

    network = torchvision.models.get_model(name, weights=None)
    if caffe:
        network.maxpool = nn.MaxPool2d(3, stride=2, padding=0, ceil_mode=True)
        for block in network.modules():
            if isinstance(block, torchvision.models.resnet.Bottleneck):
                block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
    parts = OrderedDict(list(network.named_children())[:-2])
    return nn.Sequential(parts), network.fc.in_features


NETWORKS: dict[str, Callable[[], tuple[nn.Module, int]]] = {
    "tiny": _tiny,
    "resnet18": lambda: _resnet("resnet18"),
    "resnet50": lambda: _resnet("resnet50"),
    "resnet18-caffe": lambda: _resnet("resnet18", caffe=True),
    "resnet50-caffe": lambda: _resnet("resnet50", caffe=True),
}

IMAGENET = ("resnet18", "resnet50")
"""Networks that torchvision has ImageNet weights for."""


def build_network(
    name: str, num_classes: int, *, weights: str | Path | None = None, seed: int = 0
) -> ClassActivationNetwork | RelativeUncertaintyNetwork:
    """A network by name.

    Which face-trained weights belong to which network: ``docs/weights.md``. What of them matched
    stands in the network's ``weights_match``, one line as text. The weights of your own run bring
    their classifier where the number of classes is the same; those of a run of RUL bring its head.

    Args:
        name: ``"tiny"`` (drawn faces on a CPU), ``"resnet18"`` or ``"resnet50"`` (torchvision's),
            ``"resnet18-caffe"`` or ``"resnet50-caffe"`` (the same shapes, striding and pooling as
            Caffe's: for VGGFace2's ResNet-50).
        num_classes: K, 2 to 256.
        weights: None for random ones, ``"imagenet"`` for torchvision's, which it downloads, or the
            path of a file (:func:`eacbook.weight_files.read_weights` says of which kinds).
        seed: of the random weights; the caller's random state stays as it was.

    Raises:
        InputError: unknown name, or weights that cannot be had, cannot be read or do not fit.
    """
    choice("network", name, NETWORKS)
    num_classes = number_of_classes("num_classes", num_classes)
    seed = seed_number("seed", seed)
    if weights is not None:
        weights = path_name("weights", weights)
    with seeded(seed):
        backbone, channels = NETWORKS[name]()
        network = ClassActivationNetwork(backbone, channels, num_classes, name)
    if weights is not None:
        network.weights = weights
        tensors = _find_weights(name, weights)
        with seeded(seed):
            network = _with_head_of(network, own_tensors(tensors))
        network.weights_match = fill_network(network, tensors, weights)
    return network.to(memory_format=torch.channels_last)


def _find_weights(name: str, weights: str) -> dict[str, Tensor]:
    if weights == "imagenet":
        return _imagenet(name)
    if not Path(weights).exists():
        known = "'imagenet' or a file" if name in IMAGENET else "a file"
        raise InputError(f"there are no weights {weights!r} for {name!r}: expected {known}")
    return read_weights(weights)


def _with_head_of(network: ClassActivationNetwork, own: dict[str, Tensor]) -> nn.Module:
    """The network under the head of RUL, if these are the weights of a run of RUL."""
    if OF_RUL not in own:
        return network
    dimension, inputs = own[OF_RUL].shape if own[OF_RUL].ndim == 2 else (0, 0)
    channels = network.fc.in_features
    side = math.isqrt(inputs // channels)
    if not dimension or inputs != channels * side**2:
        raise InputError(
            f"{network.weights} is a run of RUL with another network than {network.name!r}"
        )
    return RelativeUncertaintyNetwork(network, (channels, side, side), dimension)


def _imagenet(name: str) -> dict[str, Tensor]:
    """torchvision's weights, from its cache or downloaded into it."""
    if name not in IMAGENET:
        raise InputError(
            f"there are no ImageNet weights for {name!r}: torchvision's are for "
            f"{' and '.join(IMAGENET)}"
        )
    import torchvision

    weights = torchvision.models.get_model_weights(name).IMAGENET1K_V1
    try:
        return weights.get_state_dict(map_location="cpu", check_hash=True, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        reason = str(error).partition("\n")[0][:100]
        raise InputError(
            f"the ImageNet weights of {name} could not be had ({reason}): fetch {weights.url} on a "
            f"computer with network and put it into {folder}, or give the path of the file as weights"
        ) from error


def network_name(network: nn.Module) -> str:
    """Its ``name``, or its class where somebody brings a network of their own."""
    name = getattr(network, "name", None)
    return name if isinstance(name, str) else type(network).__name__


def check_network(network: nn.Module) -> None:
    """Refuse what is no network, or one that cannot be trained.

    Raises:
        InputError: no module, nothing to train in it, or numbers that are not float32.
    """
    instance("network", network, nn.Module, "build_network('tiny', 7)")
    name = network_name(network)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise InputError(f"the network {name} has nothing to train: no parameter with a gradient")
    for where, parameter in network.named_parameters():
        if parameter.is_meta:
            raise InputError(f"the network {name} has no numbers: {where} is on the device 'meta'")
        if parameter.dtype != torch.float32:
            raise InputError(
                f"the network {name} holds {where} as {str(parameter.dtype).removeprefix('torch.')}, "
                "expected float32: convert it with network.float(); precision='bfloat16' trains "
                "faster where the hardware knows it"
            )


@contextmanager
def shown_pictures(network: nn.Module, size: int) -> Iterator[None]:
    """Inside, what PyTorch says against pictures of this size is an :class:`InputError`."""
    try:
        yield
    except RuntimeError as error:
        reason = shortened(str(error).partition("\n")[0], 160)
        raise InputError(
            f"the network {network_name(network)} cannot take pictures of {size} x {size} pixels "
            f"({reason})"
        ) from error


def check_answer(network: nn.Module, size: int, num_classes: int) -> None:
    """Show a network two black pictures, and refuse an answer that is not ``(logits, maps)``.

    Args:
        network: on any device; it stays as it is.
        size: height and width of the pictures in pixels.
        num_classes: K.

    Raises:
        InputError: the network cannot take such pictures, or its answer has another form.
    """
    name, device = network_name(network), next(network.parameters()).device
    pictures = torch.zeros(2, 3, size, size, device=device)
    with shown_pictures(network, size), seeded(0), evaluation_mode(network), torch.no_grad():
        answer = network(pictures)
    wanted = f"expected (logits [B,{num_classes}], maps [B,{num_classes},h,w])"
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise InputError(f"the network {name} answers with a {_form(answer)}, {wanted}")
    logits, maps = answer
    fits = (
        isinstance(logits, Tensor)
        and isinstance(maps, Tensor)
        and logits.shape == (2, num_classes)
        and maps.ndim == 4
        and maps.shape[:2] == (2, num_classes)
    )
    if not fits:
        raise InputError(
            f"the network {name} answers two pictures with {_form(logits)} and {_form(maps)}, {wanted}"
        )
    if not maps.numel():
        raise InputError(f"the network {name} leaves no map of pictures of {size} x {size} pixels")


def need_parts(who: str, network: nn.Module, *parts: str) -> None:
    """Refuse a network that lacks what a method or a hook works with.

    Args:
        who: begins the sentence.
        network: what lacks none of the parts.
        parts: of ``"backbone"``, ``"classify"`` and ``"fc"``, a linear layer.

    Raises:
        InputError: one of them is missing.
    """
    lacking = [part for part in parts if not hasattr(network, part)]
    if "fc" in parts and not isinstance(getattr(network, "fc", None), nn.Linear):
        lacking = [*(part for part in lacking if part != "fc"), "fc, a linear layer"]
    if lacking:
        raise InputError(
            f"{who} needs a network such as eacbook.networks.ClassActivationNetwork; "
            f"{network_name(network)} lacks {', '.join(lacking)}"
        )


def _form(value: object) -> str:
    """``[2,7]`` for a tensor, its type for anything else."""
    if isinstance(value, Tensor):
        return str(list(value.shape)).replace(" ", "")
    return type(value).__name__


def at_least_float32(values: Tensor) -> Tensor:
    """What autocast made bfloat16, as float32: too coarse for losses. All else stays as it is."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random weights by a seed inside, the caller's random state as it was outside."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, every module's own mode restored outside, also after an exception."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
