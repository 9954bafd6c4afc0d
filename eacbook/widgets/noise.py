"""Slide the noise: faces, matrix and count follow."""

from __future__ import annotations

import html

import ipywidgets
import torch

from eacbook.errors import InputError
from eacbook.faces import FaceData
from eacbook.fonts import drawable, legend
from eacbook.noise import NoisyLabels, inject_noise, likeliest_confusion, single_votes
from eacbook.pictures import face_sheet, matrix_picture, png, side_by_side
from eacbook.widgets.explorer import WHOLE, Explorer

RATES = [step / 20 for step in range(17)]
SYMMETRIC, PAIR, HUMAN = "symmetric", "pair", "single people's answers (FERPlus)"


NEEDED = {PAIR: likeliest_confusion, HUMAN: single_votes}
"""What a kind of noise must know of the classes, by their names."""


def noise_for(faces: FaceData, kind: str, rate: float) -> NoisyLabels:
    """The noise behind a position of :class:`NoiseExplorer`'s controls.

    Raises:
        InputError: this kind of noise is not known for the classes of these faces.
    """
    labels, classes = faces.train.labels, faces.classes
    if kind == HUMAN:
        matrix = single_votes(classes)
        return inject_noise(labels, None, faces.num_classes, "matrix", matrix=matrix)
    return inject_noise(labels, rate, faces.num_classes, kind, classes=classes)


def noise_picture(faces: FaceData, noisy: NoisyLabels, shown: torch.Tensor) -> bytes:
    """PNG: some training faces with their given labels, beside the transition matrix drawn."""
    classes = drawable(faces.classes)
    sheet = face_sheet(
        faces.train.images[shown], noisy.given[shown], noisy.true[shown], classes,
        columns=6, cell=92,
    )  # fmt: skip
    return png(side_by_side(sheet, matrix_picture(noisy.drawn, classes, cell=46)))


class NoiseExplorer(Explorer):
    """Slide the noise rate, choose its kind: faces, matrix and counts follow at once.

    Args:
        faces: of any classes. A kind of noise that is not known for them is left out.
        shown: number of training faces on the sheet.

    Attributes:
        rate, kind: the controls.
        picture, counts: what follows them.
        left_out: why a kind is left out, in words; empty where all are there.
    """

    def __init__(self, faces: FaceData, shown: int = 18):
        self.rate = ipywidgets.SelectionSlider(
            options=[(f"{rate:.0%}", rate) for rate in RATES],
            value=0.0,
            description="wrong labels",
            style=WHOLE,
        )
        kinds, missing = [SYMMETRIC], []
        for kind, needed in NEEDED.items():
            try:
                needed(faces.classes)
                kinds.append(kind)
            except InputError as error:
                missing.append(f"not here, {kind}: {error}")
        self.kind = ipywidgets.Dropdown(options=kinds, description="kind", style=WHOLE)
        self.left_out = ipywidgets.HTML("<br>".join(map(html.escape, missing)))
        self.counts = ipywidgets.HTML()
        rows = torch.arange(min(shown, len(faces.train)))
        self._views = {}
        views = [(kind, rate) for kind in kinds if kind != HUMAN for rate in RATES]
        for kind, rate in views + [(HUMAN, None)] * (HUMAN in kinds):
            noisy = noise_for(faces, kind, rate)
            wrong, count = int(noisy.flipped.sum()), len(noisy.flipped)
            text = f"<b>{wrong:,}</b> of {count:,} labels are wrong ({noisy.rate:.1%})"
            self._views[kind, rate] = noise_picture(faces, noisy, rows), text
        controls = ipywidgets.HBox([self.rate, self.kind])
        super().__init__(
            "noise-explorer", controls, self.left_out, self.counts, legend=legend(faces.classes)
        )
        self.follow(self.rate, self.kind)

    def show(self) -> None:
        human = self.kind.value == HUMAN
        self.rate.disabled = human  # people are as wrong as they are
        view = self._views[self.kind.value, None if human else self.rate.value]
        self.picture.value, self.counts.value = view
