"""The SoftmaxExplorer: from logits to probabilities, and from the given label to a loss."""

from __future__ import annotations

import html
from collections.abc import Sequence

import ipywidgets
import numpy as np
import torch
from PIL import Image, ImageDraw

from eacbook.book.widgets.explorer import WHOLE, Explorer
from eacbook.errors import InputError
from eacbook.plots import palette
from eacbook.plots.charts import Axis, Chart
from eacbook.plots.fonts import drawable, font_for, legend
from eacbook.plots.pictures import DESCRIPTION, png, side_by_side

LARGEST = 9.0
"""The loss in nats at the top of the curve; a larger loss is at its edge."""

BARS, CURVE, TEXT = (600, 320), (470, 320), 17
NAME, BAR = 110, 200


def softmax_view(logits: Sequence[float], given: int, classes: Sequence[str]) -> bytes:
    """PNG: the arithmetic of the softmax in bars, and the loss of the given label on its curve.

    Args:
        logits: K numbers.
        given: the number of the given label.
        classes: K names in label order.
    """
    shares = torch.tensor(logits, dtype=torch.float64).softmax(0)
    colours = palette.class_colours(classes)
    sheet = Image.new("RGBA", BARS, palette.rgba(palette.INK, 0))
    draw = ImageDraw.Draw(sheet)

    def write(x: float, y: float, text: str, anchor: str = "la") -> None:
        draw.text((x, y), text, palette.INK, font_for(text, TEXT), anchor)

    write(NAME + 10, 4, "exp(logit), divided by the sum of all, is the probability")
    step = (BARS[1] - 50) / len(shares)
    names = zip(drawable(classes), colours.values(), strict=True)
    for row, (logit, share, (name, colour)) in enumerate(zip(logits, shares, names, strict=True)):
        y = 50 + row * step
        write(NAME, y + 8, name, "ra")
        width = BAR * share.item()
        draw.rectangle((NAME + 10, y, NAME + 10 + max(width, 1), y + step - 34), colour)
        draw.rectangle((NAME + 10, y, NAME + 10 + BAR, y + step - 34), None, palette.INK)
        write(NAME + BAR + 22, y + 8, f"exp({logit:g}) = {np.exp(logit):.3g}, so {_percent(share)}")
        if row == given:
            write(NAME + 10, y + step - 32, "the given label")
    both = side_by_side(sheet, _loss_chart(shares[given].item(), colours[classes[given]]))
    each = ", ".join(
        f"{name} {_percent(share)}" for name, share in zip(classes, shares, strict=True)
    )
    both.info[DESCRIPTION] = (
        f"Probabilities by the softmax: {each}. The given label is {classes[given]}, and its loss on "
        f"the curve of minus the logarithm is {-shares[given].log():.2f} nats."
    )
    return png(both, compress_level=1)


def _percent(share: float) -> str:
    """A share with one decimal; a small one with its first digit, because its loss is large."""
    return f"{share:.1%}" if share >= 0.001 else f"{100 * share:.1g}%"


def _loss_chart(probability: float, colour: str) -> Image.Image:
    """The curve of the loss, with a dot at a probability."""
    chart = Chart.drawn(
        *CURVE,
        Axis("probability of the given label", 0, 1, np.arange(6) / 5),
        Axis("loss (nats)", 0, LARGEST, range(10)),
        "loss = -ln(probability)",
    )
    p = np.linspace(np.exp(-LARGEST), 1, 200)
    chart.line(p, -np.log(p), palette.INK)
    chart.point(probability, -np.log(probability), colour, radius=9)
    return chart.picture


class SoftmaxExplorer(Explorer):
    """Move the logits and choose the given label: probabilities and loss follow.

    Args:
        classes: the names of 2 to 7 classes.

    Attributes:
        logits: a slider for each class.
        given: the given label.
        numbers: its probability and its loss, in words.

    Raises:
        InputError: there are fewer than 2 or more than 7 classes.
    """

    def __init__(self, classes: Sequence[str]):
        if not 2 <= len(classes) <= 7:
            raise InputError(f"the explorer shows 2 to 7 classes; these are {len(classes)}")
        self.classes = tuple(classes)
        self.logits = [
            ipywidgets.FloatSlider(
                0, min=-4, max=4, step=0.5, description=f"logit of {name}", readout_format=".1f",
                style=WHOLE, layout={"width": "320px"},
            )
            for name in self.classes
        ]  # fmt: skip
        self.given = ipywidgets.Dropdown(
            options=list(self.classes), description="given label", style=WHOLE
        )
        self.numbers = ipywidgets.HTML()
        sliders = ipywidgets.HBox([*self.logits, self.given], layout={"flex_flow": "row wrap"})
        super().__init__("softmax-explorer", sliders, self.numbers, legend=legend(self.classes))
        self.follow(*self.logits, self.given)

    def show(self) -> None:
        logits = [round(slider.value, 1) for slider in self.logits]
        given = self.classes.index(self.given.value)
        self.put(softmax_view(logits, given, self.classes))
        share = torch.tensor(logits, dtype=torch.float64).softmax(0)[given].item()
        self.numbers.value = (
            f"The label <b>{html.escape(self.given.value)}</b> has the probability "
            f"<b>{_percent(share)}</b>. Its loss is <b>{-np.log(share):.2f} nats</b>."
        )
