"""dlib's face recognition network, and the reader of its file of weights.

The network was trained on about 3 million photographs of 7,485 people (Davis King, 2017; public domain,
CC0). ``pip install face_recognition_models`` brings its file. Here it is a backbone without its last
block, which leaves maps of 4 x 4 at 150 pixels and 6 x 6 at 224.

The file stores batch normalisation as fixed factors and offsets. To train such a network, batch
normalisation needs the statistics of its inputs. :meth:`DlibFace.set_statistics` measures them on faces
and chooses gain and offset such that training begins with exactly the published function.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from eacbook.augment.normalise import MEAN, STD
from eacbook.errors import InputError
from eacbook.extras import install_line

PACKAGE = "face_recognition_models"
FILE_NAME = "dlib_face_recognition_resnet_model_v1.dat"
SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
BYTES = 22_466_066

DESCRIPTOR = "descriptor.weight"
"""The matrix ``[256,128]`` from the features to dlib's descriptor of a person; not used here."""

PIXEL_MEAN = (122.782, 117.001, 104.298)
"""dlib subtracts this mean of red, green and blue, and divides by 256."""

BLOCKS = (
    [(32, 32, False)] * 3
    + [(32, 64, True)] + [(64, 64, False)] * 3
    + [(64, 128, True)] + [(128, 128, False)] * 2
    + [(128, 256, True)] + [(256, 256, False)] * 2
)  # fmt: skip
"""The blocks: channels in, channels out, and whether the block halves the resolution."""

LAST_BLOCK = (256, 256, True)
"""The block that the backbone leaves out."""

_EPSILON = 1e-5
_INSTALL = f"Install it with: {install_line('faces')}"


class DlibBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut without weights.

    Where the two differ in height, width or channels, zeros are added at the end of the smaller one.

    Args:
        channels_in, channels_out: the channels; the output has at least as many as the input.
        halves: whether the block halves the resolution.
    """

    def __init__(self, channels_in: int, channels_out: int, halves: bool):
        super().__init__()
        stride, padding = (2, 0) if halves else (1, 1)
        self.halves = halves
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1)
        self.norm2 = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        body = functional.relu(self.norm1(self.conv1(x)))
        body = self.norm2(self.conv2(body))
        if self.halves:
            x = functional.avg_pool2d(x, 2)
        height, width = (x.shape[side] - body.shape[side] for side in (2, 3))
        body = functional.pad(body, (0, max(width, 0), 0, max(height, 0)))
        more = body.shape[1] - x.shape[1]
        x = functional.pad(x, (0, max(-width, 0), 0, max(-height, 0), 0, more))
        return functional.relu(x + body)


class DlibFace(nn.Module):
    """The network without its last block: normalised ``[B,3,H,W]`` to features ``[B,256,h,w]``."""

    channels = 256

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 32, 7, 2), nn.BatchNorm2d(32)
        self.blocks = nn.Sequential(*(DlibBlock(*block) for block in BLOCKS))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.conv(x)))
        features: Tensor = self.blocks(functional.max_pool2d(x, 3, 2))
        return features

    @torch.no_grad()
    def set_statistics(self, images: Tensor) -> None:
        """Measure the statistics of batch normalisation; the function of the network stays the same.

        The gain and the offset of each layer change with its mean and variance, so that evaluation mode
        gives what it gave before. Training mode gives nearly the same, for a batch of such images. All
        is computed in float64, so that rounding differs neither with the processor nor with the number
        of threads.

        Args:
            images: normalised, float ``[N,3,H,W]``; 64 faces are enough.
        """

        def measure(norm: nn.BatchNorm2d, inputs: tuple[Tensor], output: Tensor) -> None:
            variance, mean = torch.var_mean(inputs[0], (0, 2, 3), correction=0)
            assert norm.running_mean is not None and norm.running_var is not None
            factor = norm.weight / (norm.running_var + norm.eps).sqrt()
            norm.bias.add_(factor * (mean - norm.running_mean))
            norm.weight.copy_(factor * (variance + norm.eps).sqrt())
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)

        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        handles = [norm.register_forward_hook(measure) for norm in norms]
        mode, dtype = self.training, self.conv.weight.dtype
        try:
            self.double().eval()(images.double())
        finally:
            for handle in handles:
                handle.remove()
            self.to(dtype).train(mode)


def dlib_face() -> tuple[nn.Module, int]:
    """dlib's face recognition network for photographs, without its last block; 256 channels."""
    return DlibFace(), DlibFace.channels


def dlib_weights(name: str = "dlib-face") -> dict[str, Tensor]:
    """The tensors of the file in the package ``face_recognition_models``; see :func:`read_dlib_file`.

    The package is not imported: its ``__init__`` needs ``pkg_resources``, which new versions of
    setuptools do not have.

    Raises:
        InputError: the package is not installed, or its file is missing or has other content.
    """
    spec = find_spec(PACKAGE)
    places = (spec.submodule_search_locations if spec else None) or ()
    for place in places:
        path = Path(place, "models", FILE_NAME)
        if path.is_file():
            return read_dlib_file(path)
    found = f"{PACKAGE} is installed without {FILE_NAME}" if spec else f"{PACKAGE} is not installed"
    raise InputError(f"dlib's weights are not here: {found}. {_INSTALL}")


def is_dlib_file(head: bytes) -> bool:
    """Whether a file with these first bytes is a network that dlib saved."""
    return b"loss_" in head[:32]


def read_dlib_file(path: Path) -> dict[str, Tensor]:
    """The tensors of dlib's file, float32, by their names in :class:`DlibFace`.

    The first convolution is changed so that it takes pictures normalised as for all networks here. The
    tensors of the last block (``blocks.13``) and :data:`DESCRIPTOR` are included.

    In the file an integer is one byte with the number of bytes that follow (and 0x80 if it is negative),
    then these bytes, little-endian. A tensor is the integer 2, four integers (its shape) and its
    numbers. The checksum is checked first, so no other content is ever read.

    Args:
        path: a file with the content of ``dlib_face_recognition_resnet_model_v1.dat``.

    Raises:
        InputError: the file cannot be read, or it has other content.
    """
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size == BYTES else b""
    except OSError as error:
        raise InputError(f"the weights {path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != SHA256:
        found = f"{size:,} bytes" if size != BYTES else "the same size and another checksum"
        raise InputError(
            f"{path} is not dlib's face recognition network: found {found}, expected the {BYTES:,} "
            f"bytes of {FILE_NAME}. {_INSTALL}"
        )
    reader = _Reader(data)
    tensors = {}
    for norm, conv, filters in _layers():
        count, channels = filters.numel(), len(filters)
        numbers = reader.next_tensor(count + channels)
        tensors[f"{conv}.weight"] = numbers[:count].view(filters.shape)
        tensors[f"{conv}.bias"] = numbers[count:]
        affine = reader.next_tensor(2 * channels)
        tensors[f"{norm}.weight"], tensors[f"{norm}.bias"] = affine.chunk(2)
        tensors[f"{norm}.running_mean"] = torch.zeros(channels)
        tensors[f"{norm}.running_var"] = torch.full((channels,), 1 - _EPSILON)
    tensors[DESCRIPTOR] = reader.next_tensor(256, 128).view(256, 128)
    mean, std = 255 * torch.tensor(MEAN), 255 * torch.tensor(STD)
    filters = tensors["conv.weight"]
    shift = ((mean - torch.tensor(PIXEL_MEAN)) / 256)[None, :, None, None]
    tensors["conv.bias"] = tensors["conv.bias"] + (filters * shift).sum((1, 2, 3))
    tensors["conv.weight"] = filters * (std / 256)[None, :, None, None]
    return tensors


def _layers() -> Iterator[tuple[str, str, Tensor]]:
    """The layers in the order of the file: names of normalisation and convolution, and the filters."""
    with torch.device("meta"):
        network = DlibFace()
        network.blocks.append(DlibBlock(*LAST_BLOCK))
    filters = network.state_dict()
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            conv = name.replace("norm", "conv")
            yield name, conv, filters[f"{conv}.weight"]


class _Reader:
    """Finds the tensors of dlib's file, one after the other."""

    def __init__(self, data: bytes):
        self._data, self._at = data, 0

    def next_tensor(self, *shape: int) -> Tensor:
        """The next tensor of this shape, flat; trailing dimensions of 1 are added."""
        numbers = (2, *shape, *[1] * (4 - len(shape)))
        header = b"".join(_integer(number) for number in numbers)
        start = self._data.index(header, self._at) + len(header)
        self._at = start + 4 * math.prod(shape)
        return torch.frombuffer(bytearray(self._data[start : self._at]), dtype=torch.float32)


def _integer(number: int) -> bytes:
    width = (number.bit_length() + 7) // 8
    return bytes([width]) + number.to_bytes(width, "little")
