"""EAC as its authors published it, written straightforwardly once: what eacbook is measured against.

Worker processes read one image file at a time, make both views of it with PIL, NumPy and torchvision and
hand them to the network, which sees each view in a pass of its own, in float32::

    files = write_faces(faces.train.images, noisy.given, folder)
    network = PlainNetwork("resnet18", 7).to(device)
    optimizer = torch.optim.Adam(network.parameters())
    for batch in make_loader(files, 32, device):
        take_step(network, optimizer, batch, 5.0, device)

``python benchmarks/steps.py`` measures it.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from eacbook.augment.normalise import MEAN, STD
from eacbook.augment.streams import CAMERA_NOISE_VARIANCE
from eacbook.models.networks import build_network


def count_workers() -> int:
    """Worker processes of the loader: 2, 4 or 16, by the cores of the machine."""
    cores = os.cpu_count() or 1
    if cores >= 16:
        return 16
    return 4 if cores > 2 else 2


def add_camera_noise(image: np.ndarray) -> np.ndarray:
    """Gaussian noise on a uint8 ``[H,W,3]``."""
    noise = np.random.normal(0, CAMERA_NOISE_VARIANCE**0.5, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


@dataclass
class FaceFiles(Dataset):
    """Image files with their labels, int64 ``[N]``, shown at ``size`` pixels."""

    paths: list[Path]
    labels: Tensor
    size: int

    def __post_init__(self):
        self.transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.Resize((self.size, self.size)),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
                transforms.RandomErasing(p=0.5, scale=(0.02, 0.25)),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor, Tensor]:
        """Both views ``[3,size,size]`` and the label."""
        image = np.asarray(Image.open(self.paths[row]).convert("RGB"))
        original = add_camera_noise(image) if random.random() < 0.5 else image
        return self.transform(original), self.transform(image[:, ::-1]), self.labels[row]


def write_faces(images: Tensor, labels: Tensor, folder: Path) -> FaceFiles:
    """Write uint8 ``[N,3,H,W]`` into a folder: as JPEG, or at 48 pixels, like FERPlus, as PNG."""
    size = images.shape[-1]
    ending = "png" if size <= 48 else "jpg"
    paths = [folder / f"{row:05d}.{ending}" for row in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path, quality=95)
    return FaceFiles(paths, labels, size)


def make_loader(files: FaceFiles, batch_size: int, device: torch.device) -> DataLoader:
    """Shuffled batches of both views and the labels."""
    return DataLoader(
        files,
        batch_size,
        shuffle=True,
        num_workers=count_workers(),
        pin_memory=device.type == "cuda",
    )


class PlainNetwork(nn.Module):
    """torchvision's ResNet, or ``tiny``, in PyTorch's own memory format."""

    def __init__(self, name: str, num_classes: int):
        super().__init__()
        if name == "tiny":
            ours = build_network(name, num_classes).to(memory_format=torch.contiguous_format)
            self.features, channels = ours.backbone, ours.fc.in_features
        else:
            resnet = torchvision.models.get_model(name)
            self.features = nn.Sequential(*list(resnet.children())[:-2])
            channels = resnet.fc.in_features
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised ``[B,3,H,W]`` to logits ``[B,K]`` and class activation maps ``[B,K,h,w]``."""
        features = self.features(images)
        maps = torch.einsum("kc,bchw->bkhw", self.fc.weight.detach(), features)
        pooled = functional.adaptive_avg_pool2d(features, 1).flatten(1)
        return self.fc(pooled), maps


def take_step(
    network: PlainNetwork,
    optimizer: torch.optim.Optimizer,
    batch: list[Tensor],
    weight: float,
    device: torch.device,
) -> None:
    """One step of EAC on a batch of the loader."""
    original, mirrored, labels = (part.to(device, non_blocking=True) for part in batch)
    logits, maps = network(original)
    _, maps_of_mirror = network(mirrored)
    consistency = functional.mse_loss(maps, maps_of_mirror.flip(-1))
    loss = functional.cross_entropy(logits, labels) + weight * consistency
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
