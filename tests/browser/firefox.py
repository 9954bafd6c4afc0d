"""Firefox without network, driven over its own WebDriver BiDi (https://w3c.github.io/webdriver-bidi/).

Playwright drives only a Firefox of its own build, which has to be downloaded from elsewhere. A
distribution's Firefox speaks BiDi by itself.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import websocket

BROWSERS = ("firefox", "firefox-esr")
START_SECONDS = 60
KEYS = {"ArrowRight": "\ue014", "ArrowLeft": "\ue012"}
PREFERENCES = {
    "network.proxy.type": 1,  # every request goes to a port where nobody answers
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "browser.download.folderList": 2,
    "browser.download.useDownloadDir": True,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
}


def find_firefox() -> str | None:
    return next(filter(None, map(shutil.which, BROWSERS)), None)


class Firefox:
    """One tab. What the console calls an error is in ``errors``."""

    def __init__(self, address: str):
        self.socket = websocket.create_connection(f"{address}/session", suppress_origin=True)
        self.numbers = itertools.count(1)
        self.errors: list[str] = []
        self.ask("session.new", capabilities={})
        self.ask("session.subscribe", events=["log.entryAdded"])
        (tab,) = self.ask("browsingContext.getTree")["contexts"]
        self.tab = tab["context"]

    def ask(self, method: str, **parameters) -> dict:
        """Send a command and return its result; what arrives before it is read, too."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            said = json.loads(self.socket.recv())
            if said.get("method") == "log.entryAdded" and said["params"]["level"] == "error":
                self.errors.append(said["params"]["text"])
            if said.get("id") == number:
                assert said["type"] == "success", f"{method}: {said}"
                return said["result"]

    def open(self, address: str) -> None:
        self.ask("browsingContext.navigate", context=self.tab, url=address, wait="complete")

    def reload(self) -> None:
        self.ask("browsingContext.reload", context=self.tab, wait="complete")

    def value(self, expression: str):
        """A string, number or truth value of the page; a promise is waited for."""
        found = self.ask(
            "script.evaluate", expression=expression, target={"context": self.tab},
            awaitPromise=True,
        )  # fmt: skip
        assert found["type"] == "success", found
        return found["result"].get("value")

    def press(self, *names: str) -> None:
        """Press keys one after the other."""
        values = [KEYS.get(name, name) for name in names]
        actions = [{"type": kind, "value": v} for v in values for kind in ("keyDown", "keyUp")]
        keyboard = {"type": "key", "id": "keyboard", "actions": actions}
        self.ask("input.performActions", context=self.tab, actions=[keyboard])

    def choose_file(self, selector: str, path: Path) -> None:
        """Give a file to an ``<input type=file>``."""
        (node,) = self.ask(
            "browsingContext.locateNodes", context=self.tab,
            locator={"type": "css", "value": selector},
        )["nodes"]  # fmt: skip
        element = {"sharedId": node["sharedId"]}
        self.ask("input.setFiles", context=self.tab, element=element, files=[str(path)])

    def screenshot(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        taken = self.ask("browsingContext.captureScreenshot", context=self.tab)
        path.write_bytes(b64decode(taken["data"]))


@contextlib.contextmanager
def run_firefox(program: str, place: Path) -> Iterator[Firefox]:
    """A new profile in the empty folder ``place``; downloads go to ``place/downloads``."""
    downloads = place / "downloads"
    downloads.mkdir()
    settings = PREFERENCES | {"browser.download.dir": str(downloads)}
    lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in settings.items()]
    (place / "user.js").write_text("\n".join(lines))
    command = [
        program, "--headless", "--remote-debugging-port=0", "--profile", str(place),
        "--no-remote", "--width=1280", "--height=1000",
    ]  # fmt: skip
    log = place / "firefox.log"
    with log.open("w") as out:
        running = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield Firefox(_address(running, log))
    finally:
        running.terminate()
        running.wait(START_SECONDS)


def _address(running: subprocess.Popen, log: Path) -> str:
    """Where it listens. It says this when it is ready."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and running.poll() is None:
        found = re.search(r"WebDriver BiDi listening on (ws://\S+)", log.read_text())
        if found:
            return found[1]
        time.sleep(0.2)
    raise RuntimeError(f"Firefox does not answer:\n{log.read_text()}")
