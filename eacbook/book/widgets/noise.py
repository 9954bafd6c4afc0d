"""The NoiseExplorer: a slider for the noise rate; faces, matrix and count follow."""

from __future__ import annotations

import html

import ipywidgets
import torch

from eacbook.book.widgets.explorer import WHOLE, Explorer
from eacbook.data.faces import FaceData
from eacbook.errors import InputError
from eacbook.noise.inject import inject_noise
from eacbook.noise.labels import NoisyLabels
from eacbook.noise.matrices import likeliest_confusion, single_votes
from eacbook.plots.fonts import drawable, legend
from eacbook.plots.pictures import face_sheet, matrix_picture, png, side_by_side

RATES = [step / 20 for step in range(19)]
SYMMETRIC, PAIR, HUMAN = "symmetric", "pair", "single people's answers (FERPlus)"


NEEDED = {PAIR: likeliest_confusion, HUMAN: single_votes}
"""The function that looks up the classes for a kind of noise; it raises if they are not known."""


def noise_for(faces: FaceData, kind: str, rate: float | None) -> NoisyLabels:
    """The noise for a position of the controls of :class:`NoiseExplorer`.

    Raises:
        InputError: this kind of noise is not known for the classes of these faces.
    """
    labels, classes = faces.train.labels, faces.classes
    if kind == HUMAN:
        matrix = single_votes(classes)
        return inject_noise(labels, None, faces.num_classes, "matrix", matrix=matrix)
    return inject_noise(labels, rate, faces.num_classes, kind, classes=classes)


def noise_picture(faces: FaceData, noisy: NoisyLabels, shown: torch.Tensor) -> bytes:
    """PNG: some training faces with their given labels, beside the empirical matrix."""
    classes = drawable(faces.classes)
    sheet = face_sheet(
        faces.train.images[shown], noisy.given[shown], noisy.true[shown], classes,
        columns=6, cell=92,
    )  # fmt: skip
    return png(side_by_side(sheet, matrix_picture(noisy.empirical_matrix, classes, cell=46)))


class NoiseExplorer(Explorer):
    """Choose the rate and the kind of the noise: faces, matrix and counts follow at once.

    Args:
        faces: faces with any classes. A kind of noise that is not known for them is left out.
        shown: the number of training faces on the sheet.

    Attributes:
        rate, kind: the controls.
        picture, counts: the parts that follow the controls.
        left_out: the reason why a kind is left out, in words; empty if all kinds are there.
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
                missing.append(f"not available, {kind}: {error}")
        self.kind = ipywidgets.Dropdown(options=kinds, description="kind", style=WHOLE)
        self.left_out = ipywidgets.HTML("<br>".join(map(html.escape, missing)))
        self.counts = ipywidgets.HTML()
        rows = torch.arange(min(shown, len(faces.train)))
        self._views = {}
        views = [(kind, rate) for kind in kinds if kind != HUMAN for rate in RATES]
        for kind, rate in views + [(HUMAN, None)] * (HUMAN in kinds):
            noisy = noise_for(faces, kind, rate)
            wrong, count = int(noisy.wrong.sum()), len(noisy.wrong)
            text = f"<b>{wrong:,}</b> of {count:,} labels are wrong ({noisy.rate:.1%})"
            self._views[kind, rate] = noise_picture(faces, noisy, rows), text
        controls = ipywidgets.HBox([self.rate, self.kind])
        super().__init__(
            "noise-explorer",
            controls,
            self.left_out,
            self.counts,
            legend=legend(faces.classes),
        )
        self.follow(self.rate, self.kind)

    def show(self) -> None:
        human = self.kind.value == HUMAN
        self.rate.layout.visibility = "hidden" if human else "visible"  # the votes decide the rate
        content, self.counts.value = self._views[
            self.kind.value, None if human else self.rate.value
        ]
        self.put(content)
