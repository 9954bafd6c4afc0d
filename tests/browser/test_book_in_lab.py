"""Each notebook of the book, run top to bottom in JupyterLab, without the internet."""

import shutil

import pytest
from laboratory import (
    NOTEBOOKS,
    empty_pictures,
    look_at_pictures,
    notebook_of,
    open_and_run_all,
    tracebacks,
)

NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in NAMES]
)
def test_notebook_runs_and_shows_its_pictures(run_notebook, name):
    _assert_good(run_notebook(name), name.removesuffix(".ipynb"))


def test_notebook_in_the_dark(lab, page):
    shutil.copy(NOTEBOOKS / NAMES[0], lab.folder / "dark.ipynb")  # or it would get the same kernel
    with lab.override("@jupyterlab/apputils-extension:themes", '{"theme": "JupyterLab Dark"}'):
        open_and_run_all(page, "dark.ipynb")
    assert page.evaluate("document.body.dataset.jpThemeName") == "JupyterLab Dark"
    _assert_good(page, "dark")


def _assert_good(page, screenshots):
    notebook = notebook_of(page)
    assert tracebacks(notebook) == []
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert look_at_pictures(page, screenshots) > 0
    assert empty_pictures(page) == []
    assert page.watch.outside == []
    assert page.watch.errors == []
