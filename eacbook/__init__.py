"""Learn how networks memorise wrong labels, and how Erasing Attention Consistency stops it."""

import os
from importlib import import_module
from typing import TYPE_CHECKING

# Threads that wait must soon sleep: a thread that spins takes its core from one with work. PyTorch's
# threads read this when PyTorch is loaded, so it helps where eacbook is imported first. A thousand turns
# (GNU's threads on Linux) cost nothing beside other programs; PyTorch's 300,000 cost a factor of ten.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

if TYPE_CHECKING:
    from eacbook.errors import InputError, NonFiniteLossError
    from eacbook.faces import FaceData, FaceSet, load_faces, synthetic_faces
    from eacbook.hooks import Checkpoint, EarlyStopping, Hook, Progress, SampleLosses
    from eacbook.methods import (
        EAC,
        METHODS,
        RUL,
        SCN,
        Baseline,
        SmallLoss,
        build_method,
        parse_method,
    )
    from eacbook.networks import build_network
    from eacbook.noise import NoisyLabels, inject_noise
    from eacbook.training import RECIPES, Recipe, Run, train

__all__ = [
    "EAC",
    "METHODS",
    "RECIPES",
    "RUL",
    "SCN",
    "Baseline",
    "Checkpoint",
    "EarlyStopping",
    "FaceData",
    "FaceSet",
    "Hook",
    "InputError",
    "NoisyLabels",
    "NonFiniteLossError",
    "Progress",
    "Recipe",
    "Run",
    "SampleLosses",
    "SmallLoss",
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
    "errors": ("InputError", "NonFiniteLossError"),
    "faces": ("FaceData", "FaceSet", "load_faces", "synthetic_faces"),
    "hooks": ("Checkpoint", "EarlyStopping", "Hook", "Progress", "SampleLosses"),
    "methods": (
        "EAC", "METHODS", "RUL", "SCN", "Baseline", "SmallLoss", "build_method", "parse_method"
    ),
    "networks": ("build_network",),
    "noise": ("NoisyLabels", "inject_noise"),
    "training": ("RECIPES", "Recipe", "Run", "train"),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562): the command line starts without PyTorch."""
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
