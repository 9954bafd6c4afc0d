"""The colours of every figure, picture and page: readable for the colour-blind, on light and dark."""

# Wong, "Points of view: Color blindness", Nature Methods 8, 2011, in the order of the classes.
EXPRESSIONS = {
    "surprise": "#56B4E9",
    "fear": "#CC79A7",
    "disgust": "#009E73",
    "happiness": "#E69F00",
    "sadness": "#0072B2",
    "anger": "#D55E00",
    "neutral": "#8A8A8A",
    "contempt": "#B8A000",
}
RIGHT, WRONG = "#0072B2", "#D55E00"
"""A right and a wrong label."""

METHODS = {"baseline": "#D55E00", "eac": "#0072B2"}
INK, PAPER, GRID = "#333333", "#FFFFFF", "#D9D9D9"
