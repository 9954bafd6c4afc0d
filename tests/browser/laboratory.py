"""JupyterLab in a browser without network: a server on loopback, the gestures, and a watch.

A test of a widget asks for a notebook that has run (the fixture ``run_notebook`` runs each one once),
finds the widget by its class, presses keys, and compares the bytes of the picture in the page with
those that the pure function gives here:

    box = run_notebook("01_label_noise.ipynb").locator(".noise-explorer")
    press(box.get_by_role("slider"), "ArrowRight", times=2)
    assert_shows(box.locator("img"), noise_picture(...))
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from playwright.sync_api import Browser, Error, Locator, Page, Playwright, expect

from eacbook.cli import JUPYTERLAB

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
TEST_OUTPUT = ROOT / "test-output" / "browser"  # what the tests saw

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NO_BROWSER = (
    "no browser found: install one (apt-get install chromium, or playwright install chromium) "
    "or name it in the environment variable CHROMIUM"
)
FLAGS = (
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",  # the network really is cut
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
VIEWPORT = {"width": 1280, "height": 1000}

START_SECONDS = 60  # a server, a page, a kernel
RUN_SECONDS = 1800  # a notebook that must train
ANSWER_SECONDS = 15  # a widget, to a key

WIDGET = "application/vnd.jupyter.widget-view+json"
PLOTLY = "application/vnd.plotly.v1+json"
PAGE = "text/html"
PICTURE = "image/png"
# Where the richest form of an output is drawn; JupyterLab shows the first of them that there is.
DRAWN = {
    WIDGET: ".jupyter-widgets",
    PLOTLY: ".js-plotly-plot .main-svg",
    PAGE: ".eacbook-features",
    PICTURE: "img",
}
NOTEBOOK = ".jp-NotebookPanel:not(.lm-mod-hidden)"
CURRENT = "window.jupyterapp?.shell.currentWidget"
NEXT_FRAMES = """async () => {
    for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
}"""


def find_browser(own: str) -> str:
    """``$CHROMIUM``, else a browser on the path, else Playwright's own, if it is installed."""
    found = [os.environ.get("CHROMIUM"), *map(shutil.which, BROWSERS)]
    return next(filter(None, found), own if Path(own).exists() else "")


def launch_browser(playwright: Playwright) -> Browser:
    """A browser without network.

    Raises:
        RuntimeError: there is none on this machine.
    """
    path = find_browser(playwright.chromium.executable_path)
    if not path:
        raise RuntimeError(NO_BROWSER)
    return playwright.chromium.launch(executable_path=path, args=FLAGS)


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its address, the folders that it serves, of its settings and of runs."""

    url: str
    folder: Path
    settings: Path
    runs: Path

    @contextlib.contextmanager
    def override(self, plugin: str, text: str) -> Iterator[None]:
        """Settings of a plugin, ``@jupyterlab/name:what``, for the pages that are opened within."""
        path = self.settings / f"{plugin.replace(':', '/')}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        try:
            yield
        finally:
            path.unlink()

    def write(self, name: str, *cells: str) -> None:
        """A notebook of these code cells."""
        notebook = nbformat.v4.new_notebook(cells=[*map(nbformat.v4.new_code_cell, cells)])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, self.folder / name)


@contextlib.contextmanager
def serve_lab(place: Path, runs: Path) -> Iterator[Lab]:
    """JupyterLab on loopback, with the book and with nobody's settings.

    Args:
        place: an empty folder.
        runs: where the notebooks find trained runs or keep them.
    """
    book = place / "book"
    book.mkdir()
    for path in [*NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.glob("*.svg")]:
        shutil.copy(path, book)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lab = Lab(f"http://127.0.0.1:{port}", book, place / "settings", runs)
    environment = dict(
        os.environ,
        EACBOOK_RUNS=str(runs),
        JUPYTER_CONFIG_DIR=str(place / "config"),
        JUPYTER_DATA_DIR=str(place / "data"),
        JUPYTERLAB_SETTINGS_DIR=str(lab.settings),
        JUPYTERLAB_WORKSPACES_DIR=str(place / "workspaces"),
        IPYTHONDIR=str(place / "ipython"),
    )
    command = [
        *JUPYTERLAB, "--no-browser", "--allow-root",
        "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={book}", "--IdentityProvider.token=",
        "--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly",
        "--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    log = place / "lab.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
    # It would ask whether to fetch news, over the first cells.
    quiet = '{"fetchNews": "false", "checkForUpdates": false, "doNotDisturbMode": true}'
    try:
        with lab.override("@jupyterlab/apputils-extension:notification", quiet):
            _wait_until_it_answers(server, lab.url, log)
            yield lab
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(START_SECONDS)


def _wait_until_it_answers(server: subprocess.Popen, url: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{url}/api/status", timeout=2).close()
            return
        time.sleep(0.3)
    raise RuntimeError(f"JupyterLab does not answer at {url}:\n{log.read_text()}")


@dataclass
class Watch:
    """What a page asked for outside of ``ours``, and the errors it had or wrote to its console.

    Nothing is forgiven: JupyterLab by itself has none (test_laboratory.py).
    """

    ours: str
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def over(self, page: Page) -> Watch:
        """Begin to watch a page, and stop what it asks for outside."""
        page.route("**/*", self._guard)
        page.on("websocket", lambda socket: self._note(socket.url))
        page.on("pageerror", lambda error: self.errors.append(f"page: {error}"))
        page.on("console", self._listen)
        return self

    def _guard(self, route) -> None:
        if self._note(route.request.url):
            route.continue_()
        else:
            route.abort()

    def _note(self, url: str) -> bool:
        inside = url.startswith((f"{self.ours}/", f"ws{self.ours[4:]}/", "data:", "blob:"))
        if not inside:
            self.outside.append(url)
        return inside

    def _listen(self, message) -> None:
        if message.type == "error":
            self.errors.append(f"console: {message.text} ({message.location['url']})")


def open_notebook(page: Page, name: str) -> None:
    """Open a notebook in JupyterLab and wait until its kernel is idle."""
    page.goto(f"/lab/workspaces/{Path(name).stem}/tree/{name}?reset", wait_until="commit")
    page.wait_for_function(
        f"() => {CURRENT}?.sessionContext?.session?.kernel?.status === 'idle'",
        timeout=START_SECONDS * 1000,
    )


def open_and_run_all(page: Page, name: str) -> None:
    """Open a notebook and run its cells top to bottom, to the end or to the first error."""
    open_notebook(page, name)
    page.evaluate(
        """() => {
            window.bookIsRunning = true;
            const done = () => { window.bookIsRunning = false; };
            window.jupyterapp.commands.execute('notebook:run-all-cells').then(done, done);
        }"""
    )
    page.wait_for_function("() => !window.bookIsRunning", timeout=RUN_SECONDS * 1000, polling=200)


def notebook_of(page: Page) -> nbformat.NotebookNode:
    """The open notebook as it stands in the page, with its outputs."""
    return nbformat.from_dict(page.evaluate(f"() => {CURRENT}.content.model.toJSON()"))


def tracebacks(notebook: nbformat.NotebookNode) -> list[str]:
    """The errors that its cells ended with."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [f"{o.ename}: {o.evalue}" for o in outputs if o.output_type == "error"]


def look_at_pictures(page: Page, folder: str) -> int:
    """Scroll to each picture, figure and explorer, see that it is drawn, and keep a screenshot.

    Args:
        page: with an open notebook.
        folder: of the screenshots, in :data:`TEST_OUTPUT`.

    Returns:
        The number of pictures, figures and explorers.
    """
    place = TEST_OUTPUT / folder
    shutil.rmtree(place, ignore_errors=True)
    cells = page.locator(f"{NOTEBOOK} .jp-Notebook .jp-Cell")
    _keep(cells.first, place / "00.png")
    count = 0
    for row, cell in enumerate(notebook_of(page).cells):
        for place_in_cell, output in enumerate(cell.get("outputs", [])):
            data = output.get("data", {})
            if PICTURE in data or PLOTLY in data:
                shown = cells.nth(row).locator(".jp-OutputArea-child").nth(place_in_cell)
                richest = next(kind for kind in DRAWN if kind in data)
                _keep(shown, place / f"{row:02d}-{place_in_cell}.png", DRAWN[richest])
                count += 1
    return count


def _keep(shown: Locator, path: Path, drawn: str | None = None) -> None:
    """A screenshot of the page with this in its middle, and see that what is ``drawn`` in it is."""
    shown.evaluate("element => element.scrollIntoView({block: 'center'})")
    if drawn:
        expect(shown.locator(drawn).first).to_be_visible()
    shown.page.evaluate(NEXT_FRAMES)  # in which what scrolls into view is drawn
    shown.page.screenshot(path=path)


def empty_pictures(page: Page) -> list[str]:
    """Where the pictures come from that show nothing; plotly keeps an empty one for itself."""
    return page.evaluate(
        """() => [...document.querySelectorAll('img:not(.js-plotly-plot img)')]
            .filter(image => !(image.complete && image.naturalWidth > 0))
            .map(image => image.src.slice(0, 80))"""
    )


def assert_good(page: Page, name: str) -> None:
    """See that a notebook ran top to bottom without an error, and that every picture is drawn."""
    notebook = notebook_of(page)
    assert tracebacks(notebook) == []
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert look_at_pictures(page, Path(name).stem) > 0
    assert empty_pictures(page) == []
    assert page.watch.outside == []
    assert page.watch.errors == []


def press(control: Locator, key: str, times: int = 1) -> None:
    """Press a key on a control, as a reader does who has no mouse."""
    for _ in range(times):
        control.press(key)


def shown_bytes(image: Locator) -> bytes:
    """The file behind an ``<img>``."""
    encoded = image.evaluate(
        """async image => {
            const blob = await (await fetch(image.src)).blob();
            const reader = new FileReader();
            await new Promise(done => { reader.onload = done; reader.readAsDataURL(blob); });
            return reader.result.split(',')[1];
        }"""
    )
    return base64.b64decode(encoded)


def wait_for_change(image: Locator, before: bytes) -> bytes:
    """The file behind an ``<img>`` as soon as it is another one than ``before``."""
    shown = _wait(image, lambda shown: shown != before)
    assert shown != before, f"the picture did not change in {ANSWER_SECONDS} s"
    return shown


def assert_shows(image: Locator, expected: bytes) -> None:
    """Wait until an ``<img>`` shows exactly this file; keep both if it does not."""
    shown = _wait(image, lambda shown: shown == expected)
    if shown != expected:
        TEST_OUTPUT.mkdir(parents=True, exist_ok=True)
        (TEST_OUTPUT / "shown.png").write_bytes(shown)
        (TEST_OUTPUT / "expected.png").write_bytes(expected)
        raise AssertionError(
            f"not the expected picture: see shown.png and expected.png in {TEST_OUTPUT}"
        )


def _wait(image: Locator, good: Callable[[bytes], bool]) -> bytes:
    end = time.monotonic() + ANSWER_SECONDS
    shown = None
    while (shown is None or not good(shown)) and time.monotonic() < end:
        image.page.wait_for_timeout(30)
        with contextlib.suppress(Error):  # the picture was replaced while it was fetched
            shown = shown_bytes(image)
    return shown or b""
