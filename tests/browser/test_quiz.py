"""A quiz in JupyterLab by keyboard: fresh, and in a notebook that is not trusted."""

import nbformat
import pytest
from laboratory import NOTEBOOK, open_and_run_all, open_notebook
from playwright.sync_api import expect

from eacbook.book.quiz import questions

CELL = """from eacbook.book.quiz import prediction, quiz
prediction("02", "two curves", "they <b>cross</b>")
quiz("02")"""


@pytest.fixture(scope="module")
def saved(lab):
    lab.write("quiz.ipynb", CELL, "1")
    return lab.folder / "quiz.ipynb"


def cells_of(page):
    return page.evaluate("window.jupyterapp.shell.currentWidget.content.model.cells.length")


def test_answers_open_by_keyboard_and_jupyterlab_leaves_their_keys_alone(page, saved):
    open_and_run_all(page, saved.name)
    output = page.locator(f"{NOTEBOOK} .eacbook-quiz")
    expect(output.first).to_contain_text("they <b>cross</b>")
    answers = output.nth(1).locator("summary")
    assert answers.count() == 15
    answers.nth(0).press("Enter")
    expect(output.nth(1).locator("details[open]")).to_contain_text("✗ Not quite. A wrong label")
    page.keyboard.press("Tab")
    expect(answers.nth(1)).to_be_focused()
    page.keyboard.press("Space")
    right = output.nth(1).locator("details.right[open]")
    expect(right).to_contain_text("✓ Right.")
    colours = "e => [getComputedStyle(e).borderLeftColor, getComputedStyle(e).borderLeftStyle]"
    wrong = output.nth(1).locator("details.wrong[open]")
    assert right.evaluate(colours) != wrong.evaluate(colours)
    for key in ("x", "a", "b", "ArrowDown", "m"):
        page.keyboard.press(key)
    expect(answers.nth(1)).to_be_focused()
    assert cells_of(page) == 2
    page.keyboard.press("Enter")
    expect(right).to_have_count(0)
    assert page.watch.outside == [] and page.watch.errors == []


def test_in_a_notebook_that_is_not_trusted(page, lab):
    """Without its style, it works all the same."""
    lab.write("quiz_of_others.ipynb", CELL)
    path = lab.folder / "quiz_of_others.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].outputs = [nbformat.v4.new_output("display_data", {"text/html": html()})]
    nbformat.write(notebook, path)
    open_notebook(page, path.name)
    output = page.locator(".jp-OutputArea-output")
    expect(output.locator("style")).to_have_count(0)
    output.locator("summary").nth(2).press("Enter")
    expect(output.locator("details[open]")).to_contain_text("Not quite.")


def html():
    """The output of ``quiz("02")`` as it is saved."""
    shown = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(questions, "display", shown.append)
        questions.quiz("02")
    return shown[0].data
