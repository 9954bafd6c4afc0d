"""The tests' own eyes: the network is cut, and no error escapes them."""

import pytest
from laboratory import notebook_of, open_and_run_all, open_notebook, tracebacks
from playwright.sync_api import Error

OUTSIDE = "http://example.org/"


@pytest.mark.parametrize("address", [OUTSIDE, "http://93.184.215.14/"])
def test_the_browser_has_no_network(browser, address):
    page = browser.new_page()
    with pytest.raises(Error, match="ERR_NAME_NOT_RESOLVED"):
        page.goto(address)
    page.close()


def test_no_error_of_jupyterlab_needs_to_be_forgiven_and_none_escapes(lab, page):
    lab.write("empty.ipynb", "")
    open_notebook(page, "empty.ipynb")
    page.wait_for_timeout(2000)
    assert page.watch.outside == page.watch.errors == []
    page.evaluate("console.error('oh'); setTimeout(() => { throw Error('no'); })")
    page.evaluate(f"fetch('{OUTSIDE}').catch(() => 0)")
    page.evaluate("new WebSocket('ws://example.org/socket') && 0")
    page.wait_for_timeout(500)
    assert page.watch.outside == [OUTSIDE, "ws://example.org/socket"]
    assert page.watch.errors[0].startswith("console: oh") and "page: no" in page.watch.errors


def test_an_error_in_a_cell_is_seen(lab, page):
    lab.write("broken.ipynb", "fine = 1", "1 / 0", "never = 1")
    open_and_run_all(page, "broken.ipynb")
    notebook = notebook_of(page)
    assert tracebacks(notebook) == ["ZeroDivisionError: division by zero"]
    assert [cell.execution_count for cell in notebook.cells] == [1, 2, None]
