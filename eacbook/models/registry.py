"""The registry of networks: how each network is built, and its defaults.

To add a network, add one entry here. The help of the command line reads this list without PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PAPERS_WEIGHT = 5.0
"""The weight of EAC in the paper; also the default for a network that has no entry here."""


@dataclass(frozen=True)
class NetworkEntry:
    """The entry of one network.

    Attributes:
        build: ``"module:function"``; the function has no arguments, and returns the backbone
            (normalised ``[B,3,H,W]`` to features ``[B,C,h,w]``) and C.
        about: a few words for the help.
        recipe: the fields of :class:`eacbook.training.recipe.Recipe` that differ from its defaults.
        laptop: the fields of a smaller recipe, for a CPU and about a thousand photographs; empty if the
            network has none. Use it with ``eb.train(..., **NETWORKS["dlib-face"].laptop)``.
        eac_weight: the weight of EAC, if none is given.
        gibibytes: the memory that a training on the CPU needs, a rough and safe estimate.
        weights: the published weights that :func:`eacbook.build_network` knows by name, and for each
            one ``"module:function"``; the function gets the name of the network and returns its tensors.
    """

    build: str
    about: str
    recipe: Mapping[str, Any] = field(default_factory=dict)
    laptop: Mapping[str, Any] = field(default_factory=dict)
    eac_weight: float = PAPERS_WEIGHT
    gibibytes: int = 4
    weights: Mapping[str, str] = field(default_factory=dict)


def _published(learning_rate: float) -> dict[str, Any]:
    """EAC's published recipe."""
    return {
        "epochs": 60,
        "batch_size": 32,
        "learning_rate": learning_rate,
        "weight_decay": 1e-4,
        "schedule": "exponential",
        "decay": 0.9,
        "size": 224,
    }


_BACKBONES = "eacbook.models.backbones"
_IMAGENET = {"imagenet": f"{_BACKBONES}:imagenet_weights"}
NETWORKS: dict[str, NetworkEntry] = {
    # Trained from scratch, its maps have another scale than those of the paper's networks. The weight
    # was chosen on synthetic validation faces (benchmarks/README.md); on FERPlus 0.25 to 0.5 is better.
    "tiny": NetworkEntry(
        f"{_BACKBONES}:tiny", "for synthetic faces on a CPU", eac_weight=1.5, gibibytes=1
    ),
    "dlib-face": NetworkEntry(
        "eacbook.models.dlib_face:dlib_face", "dlib's face recognition network, for photographs",
        {
            "epochs": 60, "batch_size": 128, "learning_rate": 4e-4, "schedule": "exponential",
            "decay": 0.9, "size": 150,
        },
        # Chosen on validation faces of FERPlus (benchmarks/README.md).
        laptop={
            "epochs": 18, "batch_size": 32, "learning_rate": 5e-4, "schedule": "one-cycle", "size": 96,
        },
        weights={"dlib": "eacbook.models.dlib_face:dlib_weights"},
    ),
    "resnet18": NetworkEntry(
        f"{_BACKBONES}:resnet18", "torchvision's", _published(2e-4), weights=_IMAGENET
    ),
    "resnet50": NetworkEntry(
        f"{_BACKBONES}:resnet50", "torchvision's", _published(1e-4),
        gibibytes=10, weights=_IMAGENET,
    ),
    "resnet18-caffe": NetworkEntry(
        f"{_BACKBONES}:resnet18_caffe", "strides and pools as Caffe does", _published(2e-4)
    ),
    "resnet50-caffe": NetworkEntry(
        f"{_BACKBONES}:resnet50_caffe", "as Caffe does: for VGGFace2's weights", _published(1e-4),
        gibibytes=10,
    ),
}  # fmt: skip
"""Every network that has a name; add an entry to register another one."""
