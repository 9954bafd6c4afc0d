"""The backbones: pictures ``[B,3,H,W]`` to features ``[B,C,h,w]``.

Each function returns a backbone and its number of channels C.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from eacbook.errors import InputError
from eacbook.extras import load


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
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.shortcut(x))


def tiny() -> tuple[nn.Module, int]:
    """For synthetic faces on a CPU: 48 x 48 pixels to maps of 6 x 6; 100,311 weights with 7 classes.

    The resolution is reduced early, even before the first normalisation, and the numbers of channels are
    multiples of 16. Both make it fast on a CPU.
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

    The Caffe style is that of VGGFace2's weights (Cao et al., FG 2018) and of the published code of EAC.
    Here a bottleneck has its stride in the first 1x1 convolution, not in the 3x3 convolution. The
    max-pooling uses no padding and rounds up. All shapes are the same, but the function is different.
    The pictures are prepared as for every network here (red, green, blue; ImageNet's mean and
    deviation), and as in EAC's code. VGGFace2's own pictures were blue, green, red minus their mean.
    """
    torchvision = load("torchvision")  # slow to import, and `tiny` does not need it

    network = torchvision.models.get_model(name, weights=None)
    if caffe:
        network.maxpool = nn.MaxPool2d(3, stride=2, padding=0, ceil_mode=True)
        for block in network.modules():
            if isinstance(block, torchvision.models.resnet.Bottleneck):
                block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
    parts = OrderedDict(list(network.named_children())[:-2])
    return nn.Sequential(parts), network.fc.in_features


def resnet18() -> tuple[nn.Module, int]:
    return _resnet("resnet18")


def resnet50() -> tuple[nn.Module, int]:
    return _resnet("resnet50")


def resnet18_caffe() -> tuple[nn.Module, int]:
    return _resnet("resnet18", caffe=True)


def resnet50_caffe() -> tuple[nn.Module, int]:
    return _resnet("resnet50", caffe=True)


def imagenet_weights(name: str) -> dict[str, Tensor]:
    """torchvision's weights of a ResNet, from its cache or downloaded into it.

    Raises:
        InputError: torchvision is not installed, or the weights cannot be downloaded or read.
    """
    torchvision = load("torchvision")
    weights = torchvision.models.get_model_weights(name).IMAGENET1K_V1
    try:
        tensors: dict[str, Tensor] = weights.get_state_dict(
            map_location="cpu", check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        reason = str(error).partition("\n")[0][:100]
        raise InputError(
            f"the ImageNet weights of {name} could not be loaded ({reason}): download {weights.url} on "
            f"a computer with internet and put it into {folder}, or give the path of the file as weights"
        ) from error
    return tensors
