"""The LossExplorer of notebook 4, moved by keyboard, and the film above it."""

import pytest
from laboratory import assert_good, assert_shows, press
from playwright.sync_api import expect

from eacbook.book.widgets.losses import detection_text, loss_view

NAME = "04_losses.ipynb"


def test_the_notebook_runs_and_shows_its_pictures(run_notebook):
    assert_good(run_notebook(NAME), NAME)


@pytest.fixture
def explorer(run_notebook):
    return run_notebook(NAME).locator(".loss-explorer")


def test_epoch_and_threshold(explorer, book):
    _, runs = book
    image, (epoch, threshold) = explorer.locator("img"), explorer.get_by_role("slider").all()
    flipped = runs["eac"].noisy.wrong
    press(epoch, "Home")
    press(threshold, "Home")
    for control, key, times, at in (
        (epoch, "ArrowRight", 9, (10, 0.0)),
        (threshold, "ArrowRight", 15, (10, 1.5)),
        (epoch, "End", 1, (30, 1.5)),
        (threshold, "ArrowLeft", 2, (30, 1.3)),
    ):
        press(control, key, times)
        losses = {name: run.records["sample_losses"][at[0] - 1] for name, run in runs.items()}
        assert_shows(image, loss_view(losses, flipped, at[1]))
        for values in losses.values():
            text = detection_text(values > at[1], flipped)
            expect(explorer).to_contain_text(text.replace("<b>", "").replace("</b>", ""))


def test_the_film_follows_its_slider_without_a_kernel(run_notebook, pages_of_notebooks):
    page = run_notebook(NAME)
    del pages_of_notebooks[NAME]  # other tests need its kernel
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    film = page.locator(".js-plotly-plot").first
    film.scroll_into_view_if_needed()
    heights = "f => f.data.map(trace => [...trace.y])"
    frames = film.evaluate("f => f._transitionData._frames.map(g => g.data.map(t => [...t.y]))")
    assert len(frames) == 30 and film.evaluate(heights) == frames[-1]
    rail = film.locator(".slider-rail-touch-rect").bounding_box()
    page.mouse.click(rail["x"] + 0.5 * rail["width"], rail["y"] + rail["height"] / 2)
    page.wait_for_timeout(500)
    active = film.evaluate("f => f._fullLayout.sliders[0].active")
    assert 12 <= active <= 17 and film.evaluate(heights) == frames[active]
    film.get_by_text("play", exact=True).click()
    expect(film.locator(".slider-label").first).to_be_visible()
    page.wait_for_function("f => f._fullLayout.sliders[0].active === 29", arg=film.element_handle())
    assert film.evaluate(heights) == frames[-1]
