"""Charts: what is drawn stands where the axes say."""

import numpy as np
import pytest

from eacbook.plots import palette
from eacbook.plots.charts import BOTTOM, LEFT, RIGHT, TOP, Axis, Chart

RED, BLUE = "#FF0000", "#0000FF"


@pytest.fixture
def chart():
    x, y = Axis("epoch", 0, 10, [0, 5, 10]), Axis("share", 0, 1, [0, 1], "{:.0%}")
    return Chart.drawn(LEFT + 200 + RIGHT, TOP + 100 + BOTTOM, x, y, "title")


def pixels_of(chart, colour):
    """Columns and rows, from the corner of the axes, of the pixels that are exactly of a colour."""
    wanted = (*bytes.fromhex(colour[1:]), 255)
    rows, columns = np.nonzero((np.asarray(chart.picture) == wanted).all(2))
    return columns - LEFT, TOP + 100 - rows


def test_points_and_lines_stand_where_the_axes_say(chart):
    chart.point(5, 0.5, RED, radius=4)
    columns, heights = pixels_of(chart, RED)
    assert columns.mean() == pytest.approx(100, abs=1)
    assert heights.mean() == pytest.approx(50, abs=1)

    chart.line(np.array([0.0, 10.0]), np.array([0.2, 0.2]), BLUE)
    columns, heights = pixels_of(chart, BLUE)
    assert columns.min() <= 1 and columns.max() >= 198
    assert heights.mean() == pytest.approx(20, abs=1)


def test_steps_have_the_heights_of_the_histogram(chart):
    chart.steps(np.array([0.0, 5.0, 10.0]), np.array([0.3, 0.8]), RED)
    columns, heights = pixels_of(chart, RED)
    assert heights[(columns > 20) & (columns < 80)].max() == pytest.approx(30, abs=2)
    assert heights[(columns > 120) & (columns < 180)].max() == pytest.approx(80, abs=2)


def test_what_lies_beyond_the_range_stands_at_the_edge(chart):
    chart.point(99, -3, RED, radius=4)
    columns, heights = pixels_of(chart, RED)
    assert columns.mean() == pytest.approx(200, abs=1) and heights.mean() == pytest.approx(0, abs=1)


def test_ground_is_transparent(chart):
    assert chart.picture.getpixel((LEFT + 50, TOP + 50))[3] == 0


def test_dashes_leave_gaps_and_texts_replace_numbers(chart):
    line = np.array([0.0, 10.0]), np.array([0.2, 0.2])
    chart.line(*line, BLUE)
    whole = len(pixels_of(chart, BLUE)[0])
    chart.line(*line, RED, dash="dot")
    dots = len(pixels_of(chart, RED)[0])
    stroke, gap = palette.PATTERNS["dot"]
    assert dots == pytest.approx(whole * stroke / (stroke + gap), rel=0.5) and dots > 0
    assert Axis("loss", 0, 5, [0, 5]).numbers() == [(0, "0"), (5, "5")]
    assert Axis("loss", 0, 5, [0, 5], texts=("0", "5+")).numbers() == [(0, "0"), (5, "5+")]
