"""Learn how neural networks memorise wrong labels, and how Erasing Attention Consistency stops it."""

from eacbook.errors import InputError, NonFiniteLossError
from eacbook.faces import FaceData, FaceSet, load_faces, synthetic_faces
from eacbook.hooks import Checkpoint, EarlyStopping, Hook, Progress, SampleLosses
from eacbook.methods import EAC, METHODS, Baseline, build_method
from eacbook.networks import build_network
from eacbook.noise import NoisyLabels, inject_noise
from eacbook.train import Run, train

__version__ = "0.1.0"
