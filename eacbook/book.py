"""What the book's notebooks share: faces, runs, and sentences that are true on the reader's machine.

Fewer faces than the demo's, so that a reader need not wait long. Whoever comes first trains a run,
the others find it. A trained number differs from processor to processor, so the text of a notebook
holds none: :func:`say` fills it in from the run, and :func:`claim` checks a sentence against it.
"""

from __future__ import annotations

import re
from math import inf
from pathlib import Path

from IPython.display import Markdown, display

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


def say(text: str) -> None:
    """Show a sentence with numbers of the run, as Markdown; ``65%`` becomes ``65 %``."""
    display(Markdown(re.sub(r"(?<=\d)%", " %", text)))


def claim(
    sentence: str, value: float, *, above: float | None = None, below: float | None = None
) -> None:
    """Show a sentence, as Markdown, if the trained number that it rests on is within its limit.

    The limit leaves room for what other processors give. The number and the limit are in the output's
    metadata, where ``benchmarks/processors.py`` reads them.

    Args:
        sentence: what holds if the number is within the limit; the same on every machine.
        value: the number.
        above: the number must be larger.
        below: the number must be smaller.

    Raises:
        AssertionError: the number is not within the limit, or not a number.
    """
    value, limits = float(value), {"above": above, "below": below}
    limits = {side: limit for side, limit in limits.items() if limit is not None}
    if not (limits.get("above", -inf) < value < limits.get("below", inf)):
        expected = " and ".join(f"{side} {limit:g}" for side, limit in limits.items())
        raise AssertionError(
            f"This does not hold here: {sentence} The number is {value:.4g}; expected {expected}."
        )
    display(Markdown(sentence), metadata={"eacbook": {"value": value, **limits}})
