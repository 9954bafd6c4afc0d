"""Slide the noise: faces, matrix and count follow."""

from __future__ import annotations

import ipywidgets
import torch

from eacbook.faces import FaceData
from eacbook.noise import SINGLE_VOTES, NoisyLabels, inject_noise
from eacbook.pictures import face_sheet, matrix_picture, png, side_by_side
from eacbook.widgets.explorer import WHOLE, Explorer

RATES = [step / 20 for step in range(17)]
SYMMETRIC, PAIR, HUMAN = "symmetric", "pair", "single people's answers (FERPlus)"


def noise_for(labels: torch.Tensor, num_classes: int, kind: str, rate: float) -> NoisyLabels:
    """The noise behind a position of :class:`NoiseExplorer`'s controls."""
    if kind == HUMAN:
        return inject_noise(labels, None, num_classes, "matrix", matrix=torch.tensor(SINGLE_VOTES))
    return inject_noise(labels, rate, num_classes, kind)


def noise_picture(faces: FaceData, noisy: NoisyLabels, shown: torch.Tensor) -> bytes:
    """PNG: some training faces with their given labels, beside the transition matrix drawn."""
    sheet = face_sheet(
        faces.train.images[shown], noisy.given[shown], noisy.true[shown], faces.classes,
        columns=6, cell=92,
    )  # fmt: skip
    return png(side_by_side(sheet, matrix_picture(noisy.drawn, faces.classes, cell=46)))


class NoiseExplorer(Explorer):
    """Slide the noise rate, choose its kind: faces, matrix and counts follow at once.

    Args:
        faces: seven classes.
        shown: number of training faces on the sheet.

    Attributes:
        rate, kind: the controls.
        picture, counts: what follows them.
    """

    def __init__(self, faces: FaceData, shown: int = 18):
        self.rate = ipywidgets.SelectionSlider(
            options=[(f"{rate:.0%}", rate) for rate in RATES],
            value=0.0,
            description="wrong labels",
            style=WHOLE,
        )
        self.kind = ipywidgets.Dropdown(
            options=[SYMMETRIC, PAIR, HUMAN], description="kind", style=WHOLE
        )
        self.counts = ipywidgets.HTML()
        rows = torch.arange(min(shown, len(faces.train)))
        self._views = {}
        for kind, rate in [(k, r) for k in (SYMMETRIC, PAIR) for r in RATES] + [(HUMAN, None)]:
            noisy = noise_for(faces.train.labels, faces.num_classes, kind, rate)
            wrong, count = int(noisy.flipped.sum()), len(noisy.flipped)
            text = f"<b>{wrong:,}</b> of {count:,} labels are wrong ({noisy.rate:.1%})"
            self._views[kind, rate] = noise_picture(faces, noisy, rows), text
        super().__init__("noise-explorer", ipywidgets.HBox([self.rate, self.kind]), self.counts)
        self.follow(self.rate, self.kind)

    def show(self) -> None:
        human = self.kind.value == HUMAN
        self.rate.disabled = human  # people are as wrong as they are
        view = self._views[self.kind.value, None if human else self.rate.value]
        self.picture.value, self.counts.value = view
