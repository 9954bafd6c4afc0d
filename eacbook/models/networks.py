"""Backbones with one head that gives logits and class activation maps.

``maps = W x features`` for all K classes before pooling, with the weights W of the classifier detached,
and ``logits = W mean(features) + b``. Because of global average pooling, mean(maps) + b = logits (Zhou
et al., CVPR 2016). So a loss on the maps changes the features and never the classifier.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from eacbook.augment.normalise import normalise
from eacbook.checks import choice, instance, number_of_classes, path_name, seed_number, shortened
from eacbook.data.faces import FaceData, synthetic_faces
from eacbook.data.images import fetch
from eacbook.errors import InputError
from eacbook.models.dlib_face import DESCRIPTOR
from eacbook.models.registry import NETWORKS
from eacbook.models.weight_files import read_weights
from eacbook.models.weights import OF_RUL, Match, fill_network, own_tensors

STATISTICS_FACES = 64
"""How many faces give dlib's weights their statistics; see :func:`build_network`."""

_WITH_SYNTHETIC_FACES: dict[int, tuple[str, dict[str, Tensor]]] = {}
"""Pixels to the name of the synthetic faces, and the state of dlib's backbone with their statistics."""

WithParts: TypeAlias = Any
"""A network with the parts that a method or a hook needs: ``backbone``, ``fc`` and added parts.

The network of a reader can be of any class, so no type names them: :func:`need_parts` checks them."""


class ClassActivationNetwork(nn.Module):
    """A convolutional backbone with a linear classifier; every method trains it.

    Args:
        backbone: ``[B,3,H,W]`` to features ``[B,C,h,w]``.
        channels: C.
        num_classes: K.
        name: the name of the network in lists of runs.

    Attributes:
        weights: the initial weights, as given to :func:`build_network`; None for random weights.
        weights_match: which tensors of these weights matched.
        statistics: the name of the faces that gave dlib's weights their statistics, else None.
    """

    def __init__(self, backbone: nn.Module, channels: int, num_classes: int, name: str = "custom"):
        super().__init__()
        self.name = name
        self.weights: str | None = None
        self.weights_match: Match | None = None
        self.statistics: str | None = None
        self.backbone = backbone
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised ``[B,3,H,W]`` to logits ``[B,K]`` and class activation maps ``[B,K,h,w]``.

        Logits are float32 under autocast, too, so the losses are also float32.
        """
        return self.classify(self.backbone(images))

    def classify(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``[B,C,h,w]`` of the backbone to logits ``[B,K]`` and maps ``[B,K,h,w]``."""
        maps = functional.conv2d(features, self.fc.weight.detach()[:, :, None, None])
        return at_least_float32(self.fc(features.mean((2, 3)))), maps


class RelativeUncertaintyNetwork(nn.Module):
    """A backbone with a branch for the feature, a branch for its uncertainty, and a classifier.

    :class:`eacbook.methods.RUL` trains it.

    Args:
        network: a network with a ``backbone`` and a classifier ``fc``; the classifier is replaced.
        shape: ``(C, h, w)``, the shape of the backbone's features. A branch has weights for every place,
            so all images must have the same size.
        dimension: D, the dimension of the feature.
        dropout: the probability of dropout.

    Attributes:
        shape: as given.
    """

    def __init__(
        self,
        network: WithParts,
        shape: tuple[int, int, int],
        dimension: int,
        dropout: float = 0.4,
    ):
        super().__init__()
        self.name = network_name(network)
        self.weights: str | None = getattr(network, "weights", None)
        self.weights_match: Match | None = getattr(network, "weights_match", None)
        self.statistics: str | None = getattr(network, "statistics", None)
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

        If batch normalisation uses its running statistics, the logits are a linear function of the
        features: the mean of the maps over the places, plus a constant. The maps always use the running
        statistics, and detached weights, as in :class:`ClassActivationNetwork`.

        Raises:
            InputError: the images do not have the size that the network was made for.
        """
        if features.shape[1:] != self.shape:
            raise InputError(
                f"the head of RUL was trained on features of {tuple(self.shape)} and gets "
                f"{tuple(features.shape[1:])}: give images of the size it was trained on"
            )
        layers: Iterable[Any] = self.mu  # each of a class of its own
        normalised, _, _, linear, norm = layers
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        weights = (self.fc.weight * scale) @ linear.weight
        weights = weights.detach().view(len(weights), *self.shape)
        before = functional.batch_norm(
            features, normalised.running_mean, normalised.running_var, eps=normalised.eps
        )
        maps = torch.einsum("bchw,kchw->bkhw", before, weights) * math.prod(self.shape[1:])
        return at_least_float32(self.fc(self.mu(features))), maps


def build_network(
    name: str,
    num_classes: int,
    *,
    weights: str | Path | None = None,
    seed: int = 0,
    faces: FaceData | None = None,
) -> ClassActivationNetwork | RelativeUncertaintyNetwork:
    """A network by name.

    ``docs/weights.md`` lists which face-trained weights belong to which network. The attribute
    ``weights_match`` of the network says which tensors matched; as text it is one line. The weights of
    your own run include their classifier, which is used if the number of classes is the same. The
    weights of a run of RUL include its head.

    Args:
        name: a name in :data:`eacbook.models.registry.NETWORKS`: ``"tiny"`` (for synthetic faces on a
            CPU), ``"dlib-face"`` (for photographs), ``"resnet18"`` or ``"resnet50"`` (torchvision's),
            ``"resnet18-caffe"`` or ``"resnet50-caffe"`` (the same shapes, with the strides and pooling
            of Caffe: for VGGFace2's ResNet-50).
        num_classes: K, 2 to 256.
        weights: None for random weights, ``"dlib"`` for dlib's weights (installed with the extra
            ``faces``), ``"imagenet"`` for torchvision's weights (downloaded), or the path of a file
            (:func:`eacbook.models.weight_files.read_weights` lists the kinds).
        seed: the seed of the random weights; the random state of the caller does not change.
        faces: dlib's file has no statistics for batch normalisation; 64 training faces of this set give
            them. None uses synthetic faces. Other weights have their own statistics.

    Raises:
        InputError: the name is unknown, or the weights are not available, cannot be read or do not fit.
    """
    entry = NETWORKS[choice("network", name, NETWORKS)]
    num_classes = number_of_classes("num_classes", num_classes)
    seed = seed_number("seed", seed)
    if faces is not None:
        instance("faces", faces, FaceData, "load_faces('synthetic')")
    if weights is not None:
        weights = path_name("weights", weights)
    with seeded(seed):
        backbone, channels = resolve_name(entry.build)()
        network: ClassActivationNetwork | RelativeUncertaintyNetwork
        network = ClassActivationNetwork(backbone, channels, num_classes, name)
    if weights is not None:
        network.weights = weights
        tensors = _find_weights(name, weights)
        with seeded(seed):
            network = _with_head_of(network, own_tensors(tensors))
        network.weights_match = fill_network(network, tensors, weights)
        if DESCRIPTOR in tensors:
            _set_statistics(network, faces, entry.recipe["size"])
    return network.to(memory_format=torch.channels_last)


def _set_statistics(network: WithParts, faces: FaceData | None, size: int) -> None:
    """Give dlib's weights the statistics of faces, resized to ``size`` pixels.

    dlib's file has only one content, so the result with synthetic faces is always the same. It is kept,
    because a grid builds a network for each of its cells.
    """
    if faces is None and size in _WITH_SYNTHETIC_FACES:
        network.statistics, state = _WITH_SYNTHETIC_FACES[size]
        network.backbone.load_state_dict(state)
        return
    measured = (
        synthetic_faces(train=STATISTICS_FACES, test=1, validation=1) if faces is None else faces
    )
    count = len(measured.train)
    rows = torch.linspace(0, count - 1, min(count, STATISTICS_FACES)).long()
    network.backbone.set_statistics(normalise(fetch(measured.train.images, rows).cpu(), size))
    network.statistics = measured.name
    if faces is None:
        state = {name: tensor.clone() for name, tensor in network.backbone.state_dict().items()}
        _WITH_SYNTHETIC_FACES[size] = measured.name, state


def copy_with_new_randomness(network: nn.Module, seed: int) -> nn.Module:
    """A copy of a network whose random weights are drawn anew; loaded weights stay.

    A classifier always gets new random weights, so that the copy is never equal to the network. In a
    network of your own, only :func:`build_network` could tell which weights are random. There the
    classifier is drawn anew, and the rest stays: ``fc`` if there is one, else the last linear layer or
    convolution.

    Raises:
        InputError: it is a network of your own without such a layer, or it cannot be copied.
    """
    try:
        peer = copy.deepcopy(network)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"the network {network_name(network)} cannot be copied ({shortened(str(error))})"
        ) from error
    state, fresh = peer.state_dict(), _fresh_state(network, seed)
    if fresh is not None:
        match = getattr(network, "weights_match", None)
        loaded = set(match.loaded) if match else set()
        for name, tensor in fresh.items():
            if name.startswith("fc.") or not loaded & {name, name.removeprefix("backbone.")}:
                state[name].copy_(tensor)
        return peer
    drawable = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    candidates = (*peer.modules(), getattr(peer, "fc", None))
    layers = [module for module in candidates if isinstance(module, drawable)]
    if not layers:
        raise InputError(
            f"the network {network_name(network)} has no linear layer and no convolution: a second "
            "network would be equal to the first one"
        )
    with seeded(seed):
        layers[-1].reset_parameters()
    return peer


def _fresh_state(network: nn.Module, seed: int) -> dict[str, Tensor] | None:
    """The state of a new network with the same name, if :func:`build_network` made this network."""
    classifier = getattr(network, "fc", None)
    if network_name(network) not in NETWORKS or not isinstance(classifier, nn.Linear):
        return None
    fresh = build_network(network_name(network), classifier.out_features, seed=seed).state_dict()
    state = network.state_dict()
    same = {name: t.shape for name, t in fresh.items()} == {n: t.shape for n, t in state.items()}
    return fresh if same else None


def _find_weights(name: str, weights: str) -> dict[str, Tensor]:
    known = NETWORKS[name].weights
    if weights in known:
        tensors: dict[str, Tensor] = resolve_name(known[weights])(name)
        return tensors
    if not Path(weights).exists():
        others = [other for other, entry in NETWORKS.items() if weights in entry.weights]
        there = f" (these are for {' and '.join(others)})" if others else ""
        expected = " or ".join([*map(repr, known), "a file"])
        raise InputError(
            f"there are no weights {weights!r} for {name!r}{there}: expected {expected}"
        )
    return read_weights(weights)


def _with_head_of(
    network: ClassActivationNetwork, own: dict[str, Tensor]
) -> ClassActivationNetwork | RelativeUncertaintyNetwork:
    """The network with the head of RUL, if these are the weights of a run of RUL."""
    if OF_RUL not in own:
        return network
    dimension, inputs = own[OF_RUL].shape if own[OF_RUL].ndim == 2 else (0, 0)
    channels = network.fc.in_features
    side = math.isqrt(inputs // channels)
    if not dimension or inputs != channels * side**2:
        raise InputError(
            f"{network.weights} is a run of RUL with a network that is not {network.name!r}"
        )
    return RelativeUncertaintyNetwork(network, (channels, side, side), dimension)


def network_name(network: nn.Module) -> str:
    """The ``name`` of a network, or the name of its class if it has none."""
    name = getattr(network, "name", None)
    return name if isinstance(name, str) else type(network).__name__


def check_network(network: nn.Module) -> None:
    """Refuse an object that is not a network, or a network that cannot be trained.

    Raises:
        InputError: it is not a module, it has nothing to train, or its numbers are not float32.
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
                "faster if the hardware supports it"
            )


@contextmanager
def shown_pictures(network: nn.Module, size: int) -> Iterator[None]:
    """Inside, an error of PyTorch about pictures of this size becomes an InputError.

    Raises:
        InputError: the network cannot take pictures of this size.
    """
    try:
        yield
    except RuntimeError as error:
        reason = shortened(str(error).partition("\n")[0], 160)
        raise InputError(
            f"the network {network_name(network)} cannot take pictures of {size} x {size} pixels "
            f"({reason})"
        ) from error


def check_answer(network: nn.Module, size: int, num_classes: int) -> None:
    """Run a network on two black pictures, and refuse an output that is not ``(logits, maps)``.

    Args:
        network: a network on any device; it is not changed.
        size: height and width of the pictures in pixels.
        num_classes: K.

    Raises:
        InputError: the network cannot take such pictures, or its output has another form.
    """
    name, device = network_name(network), next(network.parameters()).device
    pictures = torch.zeros(2, 3, size, size, device=device)
    with shown_pictures(network, size), seeded(0), evaluation_mode(network), torch.no_grad():
        answer = network(pictures)
    wanted = f"expected (logits [B,{num_classes}], maps [B,{num_classes},h,w])"
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise InputError(f"the network {name} returns a {_form(answer)}, {wanted}")
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
            f"the network {name} returns {_form(logits)} and {_form(maps)} for two pictures, {wanted}"
        )
    if not maps.numel():
        raise InputError(
            f"the network {name} gives empty maps for pictures of {size} x {size} pixels"
        )


def need_parts(who: str, network: nn.Module, *parts: str) -> None:
    """Refuse a network without the parts that a method or a hook needs.

    Args:
        who: the name of the method or hook; the message begins with it.
        network: the network to check.
        parts: the needed parts: ``"backbone"``, ``"classify"``, ``"fc"`` (a linear layer).

    Raises:
        InputError: one of the parts is missing.
    """
    lacking = [part for part in parts if not hasattr(network, part)]
    if "fc" in parts and not isinstance(getattr(network, "fc", None), nn.Linear):
        lacking = [*(part for part in lacking if part != "fc"), "fc, a linear layer"]
    if lacking:
        raise InputError(
            f"{who} needs a network such as eb.ClassActivationNetwork(backbone, channels, classes); "
            f"{network_name(network)} lacks {', '.join(lacking)}"
        )


def _form(value: object) -> str:
    """The shape of a tensor, e.g. ``[2,7]``; the type of any other object."""
    if isinstance(value, Tensor):
        return str(list(value.shape)).replace(" ", "")
    return type(value).__name__


def at_least_float32(values: Tensor) -> Tensor:
    """Values as float32 if autocast made them bfloat16, which is too coarse for losses."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, random numbers come from this seed; the random state of the caller does not change."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Inside, the network is in evaluation mode; then the mode of every module is restored."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
