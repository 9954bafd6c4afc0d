"""The colours of every figure, picture, widget and page, for white pages and for dark ones.

The kernel does not know the theme of the page. So no picture has a background of its own, and every
colour must be visible on both kinds of page. There are eight hues after Okabe and Ito (Wong, "Points of
view: Color blindness", Nature Methods 8, 2011). They were changed as little as these two aims need
(``tests/plots/test_palette.py`` checks them):

* contrast of at least 3:1 (WCAG 2.2, 1.4.11) with white, with JupyterLab's dark page and with Colab's;
* for every pair of hues a distance of at least 0.08 in OKLab, for normal sight and for full protanopia,
  deuteranopia and tritanopia (Machado et al., IEEE TVCG 2009). Between Okabe and Ito's own colours for
  white pages, with a grey and an olive added, the smallest distance is 0.02.
"""

from collections.abc import Iterable
from itertools import cycle

SKY, BLUE = "#339CDA", "#117FC2"
GREEN, PURPLE = "#24785E", "#A65995"
AMBER, VERMILION = "#CA8507", "#C35B15"
GREY, SAND = "#8194A4", "#A6916E"
VIOLET = "#8C33FC"
"""For a seventh method; it has the same contrast and distances from the colours of the others."""

EXPRESSIONS = {
    "surprise": SKY,
    "fear": PURPLE,
    "disgust": GREEN,
    "happiness": AMBER,
    "sadness": BLUE,
    "anger": VERMILION,
    "neutral": GREY,
    "contempt": SAND,
}
"""In the order of the classes."""

RIGHT, WRONG = BLUE, VERMILION
"""A right and a wrong label: 3.8:1 and more on all three pages, and different for every kind of sight.

If the picture also has the colours of expressions, mark a wrong label by a shape, too: a frame, a cross.
"""

METHODS = {
    "baseline": GREY,
    "eac": GREEN,
    "coteaching": PURPLE,
    "scn": AMBER,
    "rul": SAND,
    "elr": SKY,
    "resup": VIOLET,
}
"""No method has the colour of right or wrong labels."""

DASHES = {
    "baseline": "solid",
    "eac": "dash",
    "coteaching": "dot",
    "scn": "dashdot",
    "rul": "longdash",
    "elr": "longdashdot",
    "resup": "12px,6px,4px,6px,4px,6px",
}
SYMBOLS = {
    "baseline": "circle",
    "eac": "diamond",
    "coteaching": "square",
    "scn": "cross",
    "rul": "triangle-up",
    "elr": "star",
    "resup": "x",
}
"""The line and the marker of each method, for readers who cannot tell the colours; plotly's names."""

PATTERNS = {
    "solid": (),
    "dash": (12, 7),
    "dot": (4, 6),
    "dashdot": (12, 6, 4, 6),
    "longdash": (22, 7),
    "longdashdot": (22, 6, 4, 6),
    "12px,6px,4px,6px,4px,6px": (12, 6, 4, 6, 4, 6),
}
"""The pixels of the strokes and gaps of a line, in turn."""

INK = "#767676"
"""Text and axes: 4.5:1 on white (WCAG 2.2, 1.4.3), 4.2:1 and 3.6:1 on the dark pages.

No colour has more than 4.1:1 on both white and #1F1F1F, so text is large. It is never in another colour:
none of the hues has 4.5:1. A page that knows its theme should use its own colour for text.
"""

GRID = "rgba(128, 128, 128, 0.25)"
CLEAR = "rgba(0, 0, 0, 0)"

PAGE_STYLE = """
:root { color-scheme: light dark; --ink: #1F1F1F; --page: #FFFFFF }
@media (prefers-color-scheme: dark) { :root { --ink: #E6E6E6; --page: #111111 } }
body { font: 18px/1.55 "Open Sans", "Segoe UI", sans-serif; color: var(--ink);
       background: var(--page); max-width: 1080px; margin: 2rem auto; padding: 0 1rem }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.6rem } img { max-width: 100% }
table { border-collapse: collapse } td, th { padding: .35rem .9rem; text-align: right }
thead th { border-bottom: 2px solid var(--ink) } td:first-child, th:first-child { text-align: left }
.xaxislayer-above text, .yaxislayer-above text, .infolayer text
  { fill: var(--ink) !important }
"""
"""The style of the HTML pages. They know their theme, so the text of their figures has its colour."""


def class_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each class. An expression has its own colour; other names get the free colours."""
    return _filled({name: EXPRESSIONS.get(name) for name in names}, tuple(EXPRESSIONS.values()))


def method_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each run. A method (the first word) has its own; other names get the free ones."""
    colours = {name: METHODS.get(name.partition(" ")[0]) for name in names}
    return _filled(colours, (SKY, AMBER, PURPLE, SAND, BLUE, VERMILION, GREEN, GREY))


def method_dashes(names: Iterable[str]) -> dict[str, str]:
    """A dash for each run, as :func:`method_colours`."""
    dashes = {name: DASHES.get(name.partition(" ")[0]) for name in names}
    return _filled(dashes, tuple(PATTERNS))


def _filled(colours: dict[str, str | None], hues: tuple[str, ...]) -> dict[str, str]:
    free = cycle([hue for hue in hues if hue not in colours.values()] or hues)
    return {name: colour or next(free) for name, colour in colours.items()}


def rgba(colour: str, opacity: float) -> tuple[int, int, int, int]:
    """A colour such as ``"#0072B2"`` with an opacity from 0 to 1, in the form that Pillow needs."""
    return (*bytes.fromhex(colour[1:]), round(255 * opacity))
