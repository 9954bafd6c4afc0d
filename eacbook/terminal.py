"""Running a command: its errors, closed streams, pipes without a reader, and too little memory.

``eacbook`` and the scripts in ``data_scripts/`` use it. It does not need PyTorch.
"""

from __future__ import annotations

import argparse
import os
import select
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NoReturn, TextIO

from eacbook.errors import InputError, NonFiniteLossError, one_line
from eacbook.extras import what_is_missing

MISTAKE, BROKEN_PIPE = 2, 141
"""Exit status of an error that the user can correct, and of a pipe whose reader has ended (128 +
SIGPIPE, as in shells)."""

_STREAMS = {"stdin": (0, "r"), "stdout": (1, "w"), "stderr": (2, "w")}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line of limited length, for any input."""

    def parse_known_args(self, args=None, namespace=None):
        """Refuse ``--option=--``: argparse reads it as an option with an empty list."""
        found, rest = super().parse_known_args(args, namespace)
        for action in self._actions:
            if action.nargs is None and getattr(found, action.dest, None) == []:
                self.error(f"argument {'/'.join(action.option_strings)}: expected one argument")
        return found, rest

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(MISTAKE, one_line(f"{self.prog}: error: {message}") + "\n")


def text_table(rows: Sequence[Mapping[str, str]]) -> str:
    """A table of texts, with every column aligned to the right.

    If a row does not have a column, its cell is empty.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, *([row.get(name, "") for name in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [
        [text.rjust(width) for text, width in zip(line, widths, strict=True)] for line in lines
    ]
    return "\n".join("  ".join(line) for line in padded)


def run(
    program: str, command: Callable[[], int | None], reduce: str = "close other programs"
) -> int:
    """Run a command. An error that the user can correct is printed as one line, without a traceback.

    Args:
        program: the name of the program; messages begin with it.
        command: a function that returns an exit status, or None for 0.
        reduce: advice for the user if there is not enough memory.

    Returns:
        The exit status.
    """
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # tests and notebooks have other streams
            stream.reconfigure(errors="backslashreplace")
    ended = None
    try:
        try:
            status = command() or 0
        except SystemExit as error:  # argparse raises it after it has printed
            ended, status = error, error.code
        sys.stdout.flush()
        sys.stderr.flush()
    except (InputError, NonFiniteLossError, OSError) as error:
        left = isinstance(error, BrokenPipeError) and any(map(_is_broken, (sys.stdout, sys.stderr)))
        status = BROKEN_PIPE if left else _fail(program, str(error))
    except ModuleNotFoundError as error:
        sentence = what_is_missing(error)
        if sentence is None:
            raise
        status = _fail(program, sentence)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        status = _fail(program, f"not enough memory: {reduce}")
    _let_go(sys.stdout, sys.stderr)
    if ended is not None and status == ended.code:
        raise ended
    return status


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, NumPy or PyTorch could not allocate memory."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(
        words in text
        for words in ("out of memory", "not enough memory", "can't allocate memory")
        + ("storage size calculation overflowed",)
    )


def _open_closed_streams() -> None:
    """Connect closed streams to the null device.

    Python sets a closed stream to None, and libraries do not expect this. Also, the next file that is
    opened would get the number of the stream. Then terminal output of a library would go into that file.
    """
    for name, (number, mode) in _STREAMS.items():
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number and _is_free(number):
                os.dup2(nowhere, number)
            if nowhere != number:
                os.close(nowhere)
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


def _is_free(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False


def _is_broken(stream: TextIO) -> bool:
    """Whether the stream is a pipe without a reader."""
    if not hasattr(select, "poll"):  # Windows
        return False
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (OSError, ValueError):
        return False


def _fail(program: str, sentence: str) -> int:
    with suppress(OSError, ValueError):
        print(one_line(f"{program}: error: {sentence}"), file=sys.stderr, flush=True)
    return MISTAKE


def _let_go(*streams: TextIO) -> None:
    """Flush the streams, so that Python does not report an error again when it exits."""
    for stream in streams:
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
