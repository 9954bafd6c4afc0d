"""What a command meets at its edge: closed streams, pipes without a reader, and too little memory.

``eacbook`` and the scripts in ``data_scripts/`` share it. It needs no PyTorch.
"""

from __future__ import annotations

import argparse
import os
import select
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, TextIO

from eacbook.errors import InputError, NonFiniteLossError, one_line

MISTAKE, BROKEN_PIPE = 2, 141
"""Exit status for what the user can mend, and (128 + SIGPIPE, as shells say) where the reader left."""

_STREAMS = {"stdin": (0, "r"), "stdout": (1, "w"), "stderr": (2, "w")}


class Parser(argparse.ArgumentParser):
    """argparse's own, whose errors are one line of a sensible length, whatever was typed."""

    def parse_known_args(self, args=None, namespace=None):
        """argparse takes ``--option=--`` for an option with an empty list."""
        found, rest = super().parse_known_args(args, namespace)
        for action in self._actions:
            if action.nargs is None and getattr(found, action.dest, None) == []:
                self.error(f"argument {'/'.join(action.option_strings)}: expected one argument")
        return found, rest

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(MISTAKE, one_line(f"{self.prog}: error: {message}") + "\n")


def run(
    program: str, command: Callable[[], int | None], reduce: str = "close other programs"
) -> int:
    """Run a command; what the user can mend, and what is no error of ours, gets no traceback.

    Args:
        program: its name, in front of messages.
        command: returns an exit status, or None for 0.
        reduce: what needs less memory, as a request.

    Returns:
        The exit status.
    """
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not where a test or a notebook put its own
            stream.reconfigure(errors="backslashreplace")
    ended = None
    try:
        try:
            status = command() or 0
        except SystemExit as error:  # argparse ends so, after it has printed
            ended, status = error, error.code
        sys.stdout.flush()
        sys.stderr.flush()
    except (InputError, NonFiniteLossError, OSError) as error:
        left = isinstance(error, BrokenPipeError) and any(map(_is_broken, (sys.stdout, sys.stderr)))
        status = BROKEN_PIPE if left else _fail(program, str(error))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        status = _fail(program, f"not enough memory: {reduce}")
    _let_go(sys.stdout, sys.stderr)
    if ended is not None and status == ended.code:
        raise ended
    return status


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, NumPy or PyTorch could not have the memory that it asked for."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(
        words in text
        for words in ("out of memory", "not enough memory", "can't allocate memory")
        + ("storage size calculation overflowed",)
    )


def _open_closed_streams() -> None:
    """Give a closed stream nowhere to go.

    Python has None for it, on which libraries stumble; and the next file that is opened would get its
    number, so that what a library writes to the terminal would go into that file.
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
    """Whether it is a pipe that nobody reads."""
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
    """Python flushes at its end, and complains once more of what cannot be written."""
    for stream in streams:
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
