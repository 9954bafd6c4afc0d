"""Learn how networks memorise wrong labels, and how Erasing Attention Consistency stops it."""

import os
from importlib import import_module
from typing import TYPE_CHECKING

# A thread that waits should sleep soon. A thread that spins takes a core from threads with work.
# PyTorch reads these variables when it is loaded, so they only help if eacbook is imported first. If
# other programs use the cores, 1,000 spins (GNU's threads on Linux) cost no time, but PyTorch's
# 300,000 spins make a step ten times as slow.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

if TYPE_CHECKING:
    from eacbook.data.faces import FaceData, FaceSet, load_faces, synthetic_faces
    from eacbook.errors import InputError, NonFiniteLossError
    from eacbook.methods import (
        EAC,
        ELR,
        METHODS,
        RUL,
        SCN,
        Baseline,
        CoTeaching,
        ReSup,
        build_method,
        parse_method,
    )
    from eacbook.models.networks import build_network
    from eacbook.models.registry import NETWORKS
    from eacbook.noise.inject import inject_noise
    from eacbook.noise.labels import NoisyLabels
    from eacbook.training.checkpoint import Checkpoint
    from eacbook.training.hooks import EarlyStopping, Hook, Progress, SampleLosses
    from eacbook.training.loop import train
    from eacbook.training.recipe import Recipe
    from eacbook.training.state import Run

__all__ = [
    "EAC",
    "ELR",
    "METHODS",
    "NETWORKS",
    "RUL",
    "SCN",
    "Baseline",
    "Checkpoint",
    "ClassActivationNetwork",
    "EarlyStopping",
    "FaceData",
    "FaceSet",
    "Hook",
    "InputError",
    "NoisyLabels",
    "NonFiniteLossError",
    "Progress",
    "ReSup",
    "Recipe",
    "Run",
    "SampleLosses",
    "CoTeaching",
    "build_method",
    "build_network",
    "inject_noise",
    "load_faces",
    "parse_method",
    "synthetic_faces",
    "train",
]

__version__ = "0.1.0"

_MODULES = {
    "data.faces": ("FaceData", "FaceSet", "load_faces", "synthetic_faces"),
    "errors": ("InputError", "NonFiniteLossError"),
    "methods": (
        "EAC", "ELR", "METHODS", "RUL", "SCN", "Baseline", "CoTeaching", "ReSup", "build_method",
        "parse_method",
    ),
    "models.networks": ("ClassActivationNetwork", "build_network"),
    "models.registry": ("NETWORKS",),
    "noise.inject": ("inject_noise",),
    "noise.labels": ("NoisyLabels",),
    "training.checkpoint": ("Checkpoint",),
    "training.hooks": ("EarlyStopping", "Hook", "Progress", "SampleLosses"),
    "training.loop": ("train",),
    "training.recipe": ("Recipe",),
    "training.state": ("Run",),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a public name at its first use (PEP 562), so the command line starts without PyTorch."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
