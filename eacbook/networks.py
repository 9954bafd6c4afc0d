"""Backbones with one head that gives logits and class activation maps.

``maps = W x features`` for all K classes before pooling, with the classifier's weights W detached,
and ``logits = W mean(features) + b``: global average pooling makes mean(maps) + b = logits (Zhou et
al., CVPR 2016). A loss on the maps therefore moves the features and never the classifier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from eacbook.errors import InputError


class ClassActivationNetwork(nn.Module):
    """A convolutional backbone under a linear classifier.

    Args:
        backbone: ``[B,3,H,W]`` to features ``[B,C,h,w]``.
        channels: C.
        num_classes: K.
        name: under which runs are listed.
    """

    def __init__(self, backbone: nn.Module, channels: int, num_classes: int, name: str = "custom"):
        super().__init__()
        self.name = name
        self.backbone = backbone
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised ``[B,3,H,W]`` to logits ``[B,K]`` and class activation maps ``[B,K,h,w]``."""
        return self.classify(self.backbone(images))

    def classify(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``[B,C,h,w]`` of the backbone to logits ``[B,K]`` and maps ``[B,K,h,w]``."""
        maps = functional.conv2d(features, self.fc.weight.detach()[:, :, None, None])
        return self.fc(features.mean((2, 3))), maps


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


def _tiny(weights: str | None) -> tuple[nn.Module, int]:
    """For drawn faces on a CPU: 48 x 48 pixels to maps of 6 x 6; 147,159 weights with 7 classes.

    Resolution is given up early and widths are multiples of 16, because that is what a CPU is fast at.
    """
    if weights is not None:
        raise InputError(f"there are no weights {weights!r} for 'tiny': it learns from scratch")
    stem = nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
    )
    blocks = [ResidualBlock(16, 32, 2), ResidualBlock(32, 64, 2), ResidualBlock(64, 64, 1)]
    return nn.Sequential(stem, *blocks), 64


def _residual_network(name: str, weights: str | None) -> tuple[nn.Module, int]:
    """torchvision's ResNet without its pooling and classifier."""
    import torchvision  # slow to import, and `tiny` does without it

    enum = torchvision.models.get_model_weights(name)
    if weights not in (None, "imagenet"):
        raise InputError(f"unknown weights {weights!r} for {name}: expected None or 'imagenet'")
    network = torchvision.models.get_model(name, weights=enum.IMAGENET1K_V1 if weights else None)
    channels = network.fc.in_features
    return nn.Sequential(*list(network.children())[:-2]), channels


NETWORKS: dict[str, Callable[[str | None], tuple[nn.Module, int]]] = {
    "tiny": _tiny,
    "resnet18": lambda weights: _residual_network("resnet18", weights),
    "resnet50": lambda weights: _residual_network("resnet50", weights),
}


def build_network(
    name: str, num_classes: int, *, weights: str | None = None, seed: int = 0
) -> ClassActivationNetwork:
    """A network by name.

    Args:
        name: ``"tiny"`` (drawn faces on a CPU), ``"resnet18"`` or ``"resnet50"`` (torchvision's).
        num_classes: K.
        weights: None for random ones, ``"imagenet"`` for torchvision's, which it downloads.
        seed: of the random weights; the caller's random state stays as it was.

    Raises:
        InputError: unknown name or weights.
    """
    if name not in NETWORKS:
        raise InputError(f"unknown network {name!r}: expected one of {', '.join(NETWORKS)}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        backbone, channels = NETWORKS[name](weights)
        network = ClassActivationNetwork(backbone, channels, num_classes, name)
    return network.to(memory_format=torch.channels_last)


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
