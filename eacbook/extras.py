"""Optional modules: the extra that installs each one, and the command that installs an extra."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from eacbook.errors import InputError

SOURCE = "git+https://github.com/eacbook/eacbook"
EXTRAS = {
    "cv2": "lab",
    "IPython": "book",
    "cleanlab": "test",
    "face_recognition_models": "faces",
    "ipywidgets": "book",
    "jinja2": "table",
    "jupyterlab": "lab",
    "pandas": "table",
    "plotly": "book",
    "ray": "cluster",
    "sklearn": "book",
    "tabulate": "table",
    "torchvision": "faces",
    "umap": "book",
}
"""Name of each optional module to the extra that installs it."""


def install_line(extra: str) -> str:
    """The command that installs an extra. It does not need a release in a package index."""
    return f'pip install "eacbook[{extra}] @ {SOURCE}"'


def what_is_missing(error: ModuleNotFoundError) -> str | None:
    """A sentence that says how to install a missing optional module; None for any other module."""
    module = (error.name or "").partition(".")[0]
    if module not in EXTRAS:
        return None
    return f"{module} is not installed: {install_line(EXTRAS[module])}"


def load(module: str) -> ModuleType:
    """Import an optional module.

    Raises:
        InputError: it is not installed; the message has the command that installs it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if sentence := what_is_missing(error):
            raise InputError(sentence) from error
        raise
