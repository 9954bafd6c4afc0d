"""From a download to the prepared format: one module for each data set, and one command for all."""

from __future__ import annotations

import sys
from importlib import import_module

from eacbook import terminal

SETS = {
    "ferplus": ("ferplus", "FERPlus, from any form of it"),
    "rafdb": ("rafdb", "the basic emotions of RAF-DB"),
    "affectnet": ("affectnet", "AffectNet, with 7 or 8 classes"),
    "own": ("own_faces", "your own pictures, in folders named after their classes"),
}
"""Name on the command line to the module and to a text that says what it prepares."""


def prepare(name: str, arguments: list[str], program: str) -> None:
    """Run the command that prepares a data set.

    Args:
        name: one of :data:`SETS`.
        arguments: those of the command line, after the name.
        program: the command as the user wrote it, for messages and help.
    """
    # A module is loaded only for its own set: some need scikit-learn, which takes a second.
    import_module(f"{__name__}.{SETS[name][0]}").main(arguments, program)


def run_script(name: str) -> None:
    """Prepare the set of a script in ``data_scripts/``, and then exit."""
    program = f"python data_scripts/{SETS[name][0]}.py"
    sys.exit(terminal.run(program, lambda: prepare(name, sys.argv[1:], program)))
