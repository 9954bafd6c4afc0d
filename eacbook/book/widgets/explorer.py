"""The base of all explorers: controls, a picture below them, and a picture in saved notebooks."""

from __future__ import annotations

import base64
import html
import threading
from collections.abc import Callable

import ipywidgets
from IPython.display import HTML, display

from eacbook.book.pictures import saved
from eacbook.plots.pictures import described

WHOLE = {"description_width": "initial"}
"""The style of a control that shows its whole description, even a long one."""


IN_THE_PAGE = """<script>
(() => {
  let left = 40;  // the page may take a while to draw the controls
  const timer = setInterval(() => {
    for (const control of document.querySelectorAll(".@name@ :is(select, input, button, [tabindex])"))
      control.dataset.lmSuppressShortcuts = "true";
    for (const slider of document.querySelectorAll(".@name@ .widget-slider")) {
      const name = slider.querySelector(".widget-label").textContent;
      slider.querySelector("[role=slider]")?.setAttribute("aria-label", name);
      slider.querySelector(".widget-readout")?.setAttribute("aria-label", name);
    }
    if (!--left) clearInterval(timer);
  }, 500);
})();
</script>"""
"""What the page must be told about the controls.

ipywidgets gives a slider no name for screen readers: here, it takes the text of its label. JupyterLab
takes the keys that are pressed on a closed list for its own commands, and two times *d* would delete the
cell. The attribute keeps its commands off; it must be on the very control that has the focus.
"""


class Explorer:
    """Controls that change a picture; a plain class with widgets as attributes.

    A subclass makes the picture with a pure function, which also works in a script.

    JupyterLab sends the first changes of a control to the kernel's main thread, and later ones to a
    second thread. So everything that listens to a control goes through :meth:`in_turn`. Otherwise
    the older of two pictures may be finished last, and stay.

    Args:
        name: the class of the HTML element; a page or a test finds the explorer by it.
        *above: widgets above the picture.
        legend: the meaning of the numbers in the picture, if the font cannot show the names (see
            :mod:`eacbook.plots.fonts`); shown below the picture.

    Attributes:
        picture: the ``ipywidgets.Image`` that follows the controls.
        words: what the picture shows, in words; one pixel high, and read aloud when it changes.
        box: the widget that contains everything.
    """

    def __init__(self, name: str, *above: ipywidgets.Widget, legend: str = ""):
        self.picture = ipywidgets.Image(
            format="png", layout={"width": "100%", "max_width": "1110px"}
        )
        self.words = ipywidgets.HTML(
            layout={"height": "1px", "min_height": "1px", "margin": "0", "overflow": "hidden"}
        )
        below = [ipywidgets.HTML(html.escape(legend))] if legend else []
        self.box = ipywidgets.VBox([*above, self.picture, self.words, *below])
        self.name = name
        self.box.add_class(name)
        self._turn = threading.RLock()  # a listener may change another control

    def in_turn(self, act: Callable[[], None]) -> Callable:
        """A listener of a control: it acts when no other listener of this explorer does."""

        def listener(_change) -> None:
            with self._turn:
                act()

        return listener

    def follow(self, *controls: ipywidgets.Widget) -> None:
        """Update the picture now, and whenever one of the controls changes."""
        for control in controls:
            control.observe(self.in_turn(self.show), "value")
        self.show()

    def show(self) -> None:
        """Update the picture and the texts from the values of the controls."""
        raise NotImplementedError

    def put(self, content: bytes) -> None:
        """Show a PNG file, and its description to screen readers."""
        self.picture.value = content
        self.words.value = f'<div role="status">{html.escape(described(content))}</div>'

    def _ipython_display_(self) -> None:
        bundle, metadata = self._repr_mimebundle_()
        display(bundle, metadata=metadata, raw=True)
        display(HTML(IN_THE_PAGE.replace("@name@", self.name)))

    def _repr_mimebundle_(self, **_) -> tuple[dict, dict]:
        """The live widget, and a picture for readers of the saved notebook without a kernel."""
        content, metadata = saved(self.picture.value)
        bundle = {
            "text/plain": type(self).__name__,
            "image/png": base64.b64encode(content).decode(),
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.box.model_id,
            },
        }
        return bundle, {"image/png": metadata}
