"""The base of all explorers: controls, a picture below them, and a picture in saved notebooks."""

from __future__ import annotations

import base64
import html

import ipywidgets

WHOLE = {"description_width": "initial"}
"""The style of a control that shows its whole description, even a long one."""


class Explorer:
    """Controls that change a picture; a plain class with widgets as attributes.

    A subclass makes the picture with a pure function, which also works in a script.

    Args:
        name: the class of the HTML element; a page or a test finds the explorer by it.
        *above: widgets above the picture.
        legend: the meaning of the numbers in the picture, if the font cannot show the names (see
            :mod:`eacbook.plots.fonts`); shown below the picture.

    Attributes:
        picture: the ``ipywidgets.Image`` that follows the controls.
        box: the widget that contains everything.
    """

    def __init__(self, name: str, *above: ipywidgets.Widget, legend: str = ""):
        self.picture = ipywidgets.Image(
            format="png", layout={"width": "100%", "max_width": "1110px"}
        )
        below = [ipywidgets.HTML(html.escape(legend))] if legend else []
        self.box = ipywidgets.VBox([*above, self.picture, *below])
        self.box.add_class(name)

    def follow(self, *controls: ipywidgets.Widget) -> None:
        """Update the picture now, and whenever one of the controls changes."""
        for control in controls:
            control.observe(lambda _change: self.show(), "value")
        self.show()

    def show(self) -> None:
        """Update the picture and the texts from the values of the controls."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **_) -> dict:
        """The live widget, and a picture for readers of the saved notebook without a kernel."""
        return {
            "text/plain": type(self).__name__,
            "image/png": base64.b64encode(self.picture.value).decode(),
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.box.model_id,
            },
        }
