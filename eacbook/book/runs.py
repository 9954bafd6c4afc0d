"""Shared by the notebooks: faces, runs, and sentences that are true on the machine of the reader.

There are fewer faces than in the demo, so that readers do not wait long. The first notebook that needs a
run trains it; the others find it. A number from a training depends on the processor, so the text of a
notebook contains none: :func:`say` fills it in from the run, and :func:`claim` checks a sentence.
"""

from __future__ import annotations

import re
from math import inf
from pathlib import Path

from IPython.display import Markdown, display

from eacbook.data.faces import FaceData, synthetic_faces
from eacbook.experiments.runs import find_or_train
from eacbook.methods import Method
from eacbook.models.networks import build_network
from eacbook.noise.inject import inject_noise
from eacbook.training.hooks import Progress, SampleLosses
from eacbook.training.recording import Recording
from eacbook.training.state import Run

RATE = 0.3
"""The rate of symmetric noise in the book."""


def book_faces() -> FaceData:
    """Synthetic faces: 1,500 for training, 700 for test and 350 for validation."""
    return synthetic_faces(train=1500, test=700, validation=350)


def book_run(
    method: Method, faces: FaceData, seed: int = 0, *, folder: str | Path, **recipe
) -> Run:
    """Train (or find) a method with the noise, the initial weights and the random streams of one seed.

    Args:
        method: e.g. ``EAC(weight=1.5)``.
        faces: the faces of :func:`book_faces`, or some of them.
        seed: the seed of the wrong labels, the initial weights, the order and the augmentation.
        folder: the folder of the stored runs.
        **recipe: fields of :class:`eacbook.training.recipe.Recipe`.

    Returns:
        The run, with the losses of its samples and the records of
        :class:`eacbook.training.recording.Recording`.
    """
    noisy = inject_noise(faces.train.labels, RATE, faces.num_classes, seed=seed)
    network = build_network("tiny", faces.num_classes, seed=seed)
    hooks = [Progress(), SampleLosses(), Recording()]
    return find_or_train(
        method, network, faces, noisy, folder=folder, hooks=hooks, seed=seed, **recipe
    )


def say(text: str) -> None:
    """Show a sentence with numbers of the run, as Markdown; ``65%`` becomes ``65 %``."""
    display(Markdown(re.sub(r"(?<=\d)%", " %", text)))


def claim(
    sentence: str, value: float, *, above: float | None = None, below: float | None = None
) -> None:
    """Show a sentence behind a tick, as Markdown, if the number that supports it is within its limit.

    The number comes from a training. The limit leaves room for the results of other processors. The
    number and the limit are in the metadata of the output; ``benchmarks/processors.py`` reads them.

    Args:
        sentence: a sentence that is true if the number is within the limit; the same on every machine.
        value: the number.
        above: the number must be larger than this.
        below: the number must be smaller than this.

    Raises:
        AssertionError: the number is not within the limit, or it is NaN.
    """
    value, given = float(value), {"above": above, "below": below}
    limits = {side: limit for side, limit in given.items() if limit is not None}
    if not (limits.get("above", -inf) < value < limits.get("below", inf)):
        expected = " and ".join(f"{side} {limit:g}" for side, limit in limits.items())
        raise AssertionError(
            f"This does not hold here: {sentence} The number is {value:.4g}; expected {expected}."
        )
    display(Markdown(f"✓ {sentence}"), metadata={"eacbook": {"value": value, **limits}})
