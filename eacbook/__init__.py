"""Learn how networks memorise wrong labels, and how Erasing Attention Consistency stops it."""

from eacbook.errors import InputError, NonFiniteLossError
from eacbook.faces import FaceData, FaceSet, load_faces, synthetic_faces
from eacbook.hooks import Checkpoint, EarlyStopping, Hook, Progress, SampleLosses
from eacbook.methods import EAC, METHODS, RUL, SCN, Baseline, SmallLoss, build_method, parse_method
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
