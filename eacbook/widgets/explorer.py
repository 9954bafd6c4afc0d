"""What all explorers share: controls, a picture below, and something to see in a saved notebook."""

from __future__ import annotations

import base64
import html

import ipywidgets

WHOLE = {"description_width": "initial"}
"""Style of a control whose description is shown whole, however long it is."""


class Explorer:
    """Controls that change a picture; a plain class that holds widgets.

    A subclass makes the picture with a pure function, which works in a script as well.

    Args:
        name: class of the HTML element, by which a page or a test finds the explorer.
        *above: widgets above the picture.
        legend: what the numbers in the picture stand for, where names cannot be drawn (see
            :mod:`eacbook.fonts`); shown below it.

    Attributes:
        picture: the ``ipywidgets.Image`` that follows the controls.
        box: everything.
    """

    def __init__(self, name: str, *above: ipywidgets.Widget, legend: str = ""):
        self.picture = ipywidgets.Image(
            format="png", layout={"width": "100%", "max_width": "1110px"}
        )
        below = [ipywidgets.HTML(html.escape(legend))] if legend else []
        self.box = ipywidgets.VBox([*above, self.picture, *below])
        self.box.add_class(name)

    def follow(self, *controls: ipywidgets.Widget) -> None:
        """Show anew whenever one of the controls changes, and now."""
        for control in controls:
            control.observe(lambda _change: self.show(), "value")
        self.show()

    def show(self) -> None:
        """Set the picture and the texts to what the controls say."""
        raise NotImplementedError

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
