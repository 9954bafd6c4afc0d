"""One browser, one JupyterLab and one run of each notebook for all tests of this folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from laboratory import (
    ANSWER_SECONDS,
    VIEWPORT,
    Watch,
    launch_browser,
    open_and_run_all,
    serve_lab,
)
from playwright.sync_api import expect, sync_playwright

from eacbook.book.runs import book_faces, book_run
from eacbook.methods import EAC, Baseline


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser():
    expect.set_options(timeout=ANSWER_SECONDS * 1000)
    with sync_playwright() as playwright:
        try:
            running = launch_browser(playwright)
        except RuntimeError as error:
            pytest.fail(str(error), pytrace=False)
        yield running
        running.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """JupyterLab with the book; its runs are kept in ``$EACBOOK_RUNS``, if that is set."""
    stored = os.environ.get("EACBOOK_RUNS")
    runs = Path(stored).resolve() if stored else tmp_path_factory.mktemp("runs")
    with serve_lab(tmp_path_factory.mktemp("lab"), runs) as running:
        yield running


@pytest.fixture(scope="session")
def new_page(browser, lab):
    """``new_page()``: an empty page under watch, which is ``page.watch``."""
    context = browser.new_context(base_url=lab.url, viewport=VIEWPORT, service_workers="block")

    def make():
        page = context.new_page()
        page.watch = Watch(lab.url).over(page)
        return page

    yield make
    context.close()


@pytest.fixture(scope="session")
def book(lab):
    """The book's faces and its two runs of seed 0, which the notebooks trained or found."""
    methods, faces = (Baseline(), EAC()), book_faces()
    runs = {method.name: book_run(method, faces, folder=lab.runs) for method in methods}
    assert all(run.stored for run in runs.values())
    return faces, runs


@pytest.fixture
def page(new_page):
    made = new_page()
    yield made
    made.close()


@pytest.fixture(scope="session")
def pages_of_notebooks():
    return {}


@pytest.fixture
def run_notebook(new_page, pages_of_notebooks):
    """``run_notebook(name)``: the page of a notebook of the book, run top to bottom.

    The first who asks waits for it. Whatever the test did, there must be no error afterwards, and no
    request outside. Who leaves it unfit for others takes it out of ``pages_of_notebooks``.
    """
    asked = []

    def run(name):
        if name not in pages_of_notebooks:
            pages_of_notebooks[name] = new_page()
            open_and_run_all(pages_of_notebooks[name], name)
        page = pages_of_notebooks[name]
        page.bring_to_front()
        asked.append(page)
        return page

    yield run
    for page in asked:
        assert page.watch.outside == []
        assert page.watch.errors == []
