"""The two explorers of notebook 0, moved by keyboard: each control brings the picture it should."""

import shutil

from laboratory import NOTEBOOK, NOTEBOOKS, assert_good, assert_shows, open_and_run_all, press
from playwright.sync_api import expect

from eacbook.book.widgets.convolution import FILTERS, convolution_view
from eacbook.book.widgets.softmax import softmax_view
from eacbook.data.faces import synthetic_faces

NAME = "00_primer.ipynb"
CLASSES = ["happiness", "neutral", "fear"]


def test_the_notebook_runs_and_shows_its_pictures(run_notebook):
    assert_good(run_notebook(NAME), NAME)


def test_the_notebook_in_the_dark(lab, page):
    shutil.copy(NOTEBOOKS / NAME, lab.folder / "dark.ipynb")  # or it would get the same kernel
    with lab.override("@jupyterlab/apputils-extension:themes", '{"theme": "JupyterLab Dark"}'):
        open_and_run_all(page, "dark.ipynb")
    assert page.evaluate("document.body.dataset.jpThemeName") == "JupyterLab Dark"
    assert_good(page, "dark.ipynb")


def test_logits_and_the_given_label(run_notebook):
    box = run_notebook(NAME).locator(".softmax-explorer")
    image, logits = box.locator("img"), box.get_by_role("slider").all()
    for slider in logits:
        press(slider, "Home")
    press(logits[0], "ArrowRight", 4)
    assert_shows(image, softmax_view([-2.0, -4.0, -4.0], 0, CLASSES))
    press(logits[2], "End")
    press(box.get_by_role("combobox"), "End")
    assert_shows(image, softmax_view([-2.0, -4.0, 4.0], 2, CLASSES))
    expect(box).to_contain_text("The label fear has the probability 99.7%")


def test_the_window_the_filter_and_the_pooling(run_notebook):
    box = run_notebook(NAME).locator(".convolution-explorer")
    image, (face, kind) = box.locator("img"), box.get_by_role("combobox").all()
    pool, row, column = box.get_by_role("slider").all()
    for control in (face, kind, pool, row, column):
        press(control, "Home")
    faces = synthetic_faces(train=840, test=350, validation=7)
    drawn = [faces.train.images[(faces.train.labels == label).nonzero()[0, 0]] for label in (0, 6)]
    assert_shows(image, convolution_view(drawn[0], "dark left, bright right", 0, 0, 1))
    press(row, "ArrowRight", 3)
    press(column, "End")
    press(pool, "ArrowRight", 2)
    assert_shows(image, convolution_view(drawn[0], "dark left, bright right", 3, 47, 4))
    press(face, "End")
    press(kind, "End")
    assert_shows(image, convolution_view(drawn[1], "sum of the window", 3, 47, 4))


def test_letters_choose_in_a_list_and_are_no_commands_of_jupyterlab(run_notebook):
    """For JupyterLab, two times d deletes the cell, and b makes one below."""
    page = run_notebook(NAME)
    cells = page.locator(f"{NOTEBOOK} .jp-Notebook .jp-Cell").count()
    box = page.locator(".convolution-explorer")
    kind = box.get_by_role("combobox").all()[1]
    press(kind, "Home")
    press(kind, "d", 2)
    page.wait_for_timeout(1500)  # or the browser would look for a name that begins with ddb
    press(kind, "b")
    expect(kind.locator("option:checked")).to_have_text(next(k for k in FILTERS if k[0] == "b"))
    assert page.locator(f"{NOTEBOOK} .jp-Notebook .jp-Cell").count() == cells
