"""The faces and runs that the book's notebooks share: whoever comes first trains, the others find.

Fewer faces than the demo's, so that a reader need not wait long.
"""

from __future__ import annotations

from pathlib import Path

from eacbook.faces import FaceData, synthetic_faces
from eacbook.hooks import Progress, SampleLosses
from eacbook.methods import Method
from eacbook.networks import build_network
from eacbook.noise import inject_noise
from eacbook.recording import Recording
from eacbook.runs import find_or_train
from eacbook.training import Run

RATE = 0.3
"""Of symmetric noise in the book."""


def book_faces() -> FaceData:
    """1,500 drawn faces to train on, 700 to test, 350 to choose with."""
    return synthetic_faces(train=1500, test=700, validation=350)


def book_run(
    method: Method, faces: FaceData, seed: int = 0, *, folder: str | Path, **recipe
) -> Run:
    """Train (or find) a method on the noise, the initial weights and the stream of one seed.

    Args:
        method: e.g. ``EAC(weight=1.5)``.
        faces: those of :func:`book_faces`, or some of them.
        seed: of the wrong labels, the initial weights, the order and the augmentation.
        folder: where runs are kept.
        **recipe: the fields of :class:`eacbook.training.Recipe`.

    Returns:
        The run, with the losses of its samples and what :class:`eacbook.recording.Recording` keeps.
    """
    noisy = inject_noise(faces.train.labels, RATE, faces.num_classes, seed=seed)
    network = build_network("tiny", faces.num_classes, seed=seed)
    hooks = [Progress(), SampleLosses(), Recording()]
    return find_or_train(
        method, network, faces, noisy, folder=folder, hooks=hooks, seed=seed, **recipe
    )
