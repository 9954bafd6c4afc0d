"""Explorers: ipywidgets around pure functions. What a slider needs is made before it is shown."""

from __future__ import annotations

import base64

import ipywidgets
import torch

from eacbook.faces import FaceData
from eacbook.noise import SINGLE_VOTES, NoisyLabels, inject_noise
from eacbook.pictures import face_sheet, matrix_picture, png, side_by_side

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


class NoiseExplorer:
    """Slide the noise rate, choose its kind: faces, matrix and counts follow at once.

    Args:
        faces: seven classes.
        shown: number of training faces on the sheet.

    Attributes:
        rate, kind: the controls.
        picture, counts: what follows them.
    """

    def __init__(self, faces: FaceData, shown: int = 18):
        whole = {"style": {"description_width": "initial"}}  # or a description would be cut
        self.rate = ipywidgets.SelectionSlider(
            options=[(f"{rate:.0%}", rate) for rate in RATES],
            value=0.0,
            description="wrong labels",
            **whole,
        )
        self.kind = ipywidgets.Dropdown(
            options=[SYMMETRIC, PAIR, HUMAN], description="kind", **whole
        )
        self.picture = ipywidgets.Image(
            format="png", layout={"width": "100%", "max_width": "1000px"}
        )
        self.counts = ipywidgets.HTML()
        rows = torch.arange(min(shown, len(faces.train)))
        self._views = {}
        for kind, rate in [(k, r) for k in (SYMMETRIC, PAIR) for r in RATES] + [(HUMAN, None)]:
            noisy = noise_for(faces.train.labels, faces.num_classes, kind, rate)
            wrong, count = int(noisy.flipped.sum()), len(noisy.flipped)
            text = f"<b>{wrong:,}</b> of {count:,} labels are wrong ({noisy.rate:.1%})"
            self._views[kind, rate] = noise_picture(faces, noisy, rows), text
        self.box = ipywidgets.VBox(
            [ipywidgets.HBox([self.rate, self.kind]), self.counts, self.picture]
        )
        self.box.add_class("noise-explorer")
        self.rate.observe(self._show, "value")
        self.kind.observe(self._show, "value")
        self._show()

    def _show(self, _change=None) -> None:
        human = self.kind.value == HUMAN
        self.rate.disabled = human  # people are as wrong as they are
        view = self._views[self.kind.value, None if human else self.rate.value]
        self.picture.value, self.counts.value = view

    def _repr_mimebundle_(self, **_) -> dict:
        """The live widget, and a picture for those who read the saved notebook without a kernel."""
        return {
            "text/plain": type(self).__name__,
            "image/png": base64.b64encode(self.picture.value).decode(),
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.box.model_id,
            },
        }
