"""The saved notebooks, exported to HTML and opened from disk, show their pictures."""

import shutil

import nbformat
import pytest
from laboratory import NOTEBOOKS, PICTURE, VIEWPORT, empty_pictures
from nbconvert import HTMLExporter

SAVED = sorted(NOTEBOOKS.glob("**/[0-9]*.ipynb"))


@pytest.mark.parametrize("path", SAVED, ids=lambda path: "-".join(path.parts[-2:]))
def test_exported_notebook_shows_its_pictures(browser, tmp_path, path):
    html, _ = HTMLExporter(embed_images=True).from_filename(str(path))
    # Only pictures from beneath the notebook are embedded; the solutions' badge is one folder up.
    shutil.copy(NOTEBOOKS / "colab-badge.svg", tmp_path)
    exported = tmp_path / path.relative_to(NOTEBOOKS).with_suffix(".html")
    exported.parent.mkdir(exist_ok=True)
    exported.write_text(html, encoding="utf-8")
    page = browser.new_page(viewport=VIEWPORT)
    page.goto(exported.as_uri(), wait_until="load")
    assert empty_pictures(page) == []
    saved = nbformat.read(path, as_version=4)
    cells = page.locator(".jp-Notebook > .jp-Cell, main > .jp-Cell")
    assert cells.count() == len(saved.cells)
    wanted = [
        sum(PICTURE in output.get("data", {}) for output in cell.get("outputs", []))
        for cell in saved.cells
    ]
    shown = [cell.locator(".jp-OutputArea img").count() for cell in cells.all()]
    assert shown == wanted and sum(wanted) > 0
    page.close()
