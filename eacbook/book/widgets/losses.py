"""The LossExplorer: how many wrong labels does a threshold of the loss find, and in which epoch?"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping

import ipywidgets
import numpy as np
import torch
from torch import Tensor

from eacbook.book.widgets.explorer import WHOLE, Explorer
from eacbook.errors import InputError
from eacbook.evaluation.evaluate import loss_shares, precision_and_recall
from eacbook.plots import palette
from eacbook.plots.charts import Axis, Chart
from eacbook.plots.fonts import drawable, legend
from eacbook.plots.pictures import DESCRIPTION, png, side_by_side
from eacbook.training.state import Run

LARGEST = 5.0
"""The loss in nats at the right end of the histograms; larger losses are in the last bar."""

TICKS = ("0", "1", "2", "3", "4", "5+")
BARS = 40
SIZE = 490, 340


def loss_view(losses: Mapping[str, Tensor], wrong: Tensor, threshold: float) -> bytes:
    """PNG: the histograms of the losses for each method, with the threshold.

    Args:
        losses: method name to float ``[N]``, in nats. It is NaN for a face that did not come in the
            epoch; such faces are left out.
        wrong: bool ``[N]``, which labels are wrong.
        threshold: labels with a larger loss are suspected.
    """
    edges = np.linspace(0, LARGEST, BARS + 1)
    charts, texts = [], []
    for name, values in zip(drawable(losses, "run"), losses.values(), strict=True):
        of_right, of_wrong = loss_shares(values, wrong, edges)
        chart = Chart.drawn(
            *SIZE,
            Axis("loss with the given label (nats)", 0, LARGEST, range(6), texts=TICKS),
            Axis("share of these labels", 0, 0.4, np.arange(5) / 10, "{:.0%}"),
            name,
        )
        chart.steps(edges, of_right, palette.RIGHT)
        chart.steps(edges, of_wrong, palette.WRONG)
        chart.mark(threshold, "suspected beyond")
        chart.legend({"right": palette.RIGHT, "wrong": palette.WRONG})
        charts.append(chart.picture)
        known = ~values.isnan()
        beyond = [
            f"{(values[known & kind] > threshold).double().mean():.0%} of the {name_of_kind} labels"
            for name_of_kind, kind in (("right", ~wrong), ("wrong", wrong))
        ]
        texts.append(f"{name}: {' and '.join(beyond)} are beyond {threshold:.1f} nats.")
    sheet = side_by_side(*charts)
    sheet.info[DESCRIPTION] = f"Histograms of the losses. {' '.join(texts)}"
    return png(sheet, compress_level=1)


class LossExplorer(Explorer):
    """Choose an epoch and a threshold, and see how well it separates wrong labels from right labels.

    Args:
        runs: method name to run, trained on the same labels with
            :class:`eacbook.training.hooks.SampleLosses`.

    Attributes:
        epoch, threshold: the controls.
        numbers: how many labels are above the threshold; their precision and recall as suspects.

    Raises:
        InputError: a run has no recorded losses, or the labels of the runs differ.
    """

    def __init__(self, runs: Mapping[str, Run]):
        if not runs:
            raise InputError("there is no run to explore: give at least one")
        self.losses, self.wrong = {}, None
        for name, run in runs.items():
            if "sample_losses" not in run.records:
                raise InputError(
                    f"the run {name} has no recorded losses: train it with hooks=[SampleLosses()]"
                )
            if self.wrong is not None and not torch.equal(self.wrong, run.noisy.wrong):
                raise InputError(
                    "the runs were trained on different labels; compare runs of one seed"
                )
            self.losses[name], self.wrong = run.records["sample_losses"], run.noisy.wrong
        last = min(len(losses) for losses in self.losses.values())
        wide = {"width": "460px"}
        self.epoch = ipywidgets.IntSlider(last, 1, last, description="epoch", layout=wide)
        self.threshold = ipywidgets.FloatSlider(
            2.0, min=0, max=LARGEST, step=0.1, readout_format=".1f", layout=wide, style=WHOLE,
            description="threshold (nats)",
        )  # fmt: skip
        self.numbers = ipywidgets.HTML()
        controls = ipywidgets.HBox([self.epoch, self.threshold], layout={"flex_flow": "row wrap"})
        numbers = legend(list(self.losses), "run")
        super().__init__("loss-explorer", controls, self.numbers, legend=numbers)
        self.follow(self.epoch, self.threshold)

    def show(self) -> None:
        threshold = round(self.threshold.value, 1)  # the page counts in steps that are not exact
        losses = {name: kept[self.epoch.value - 1] for name, kept in self.losses.items()}
        self.put(loss_view(losses, self.wrong, threshold))
        self.numbers.value = "<br>".join(
            f"<b>{html.escape(name)}</b>: {_text(values, self.wrong, threshold)}"
            for name, values in losses.items()
        )


def _text(losses: Tensor, wrong: Tensor, threshold: float) -> str:
    """The result of a threshold for the labels that came in this epoch, in words."""
    came = ~losses.isnan()
    text = detection_text(losses[came] > threshold, wrong[came])
    absent = int((~came).sum())
    return text + f" ({absent:,} faces did not come in this epoch)" * (absent > 0)


def detection_text(suspected: Tensor, wrong: Tensor) -> str:
    """A text: how well suspected labels, bool ``[N]``, match the wrong labels, bool ``[N]``."""
    precision, recall = precision_and_recall(suspected, wrong)
    count = int(suspected.sum())
    if not count:
        return "no label is suspected"
    found = "-" if math.isnan(recall) else f"{recall:.0%}"
    return (
        f"{count:,} labels suspected, <b>{precision:.0%}</b> of them wrong (precision); "
        f"<b>{found}</b> of the wrong labels found (recall)"
    )
