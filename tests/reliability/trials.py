"""One trial: something malformed is given to the product, and what becomes of it is judged.

Trials run in child processes, so that one that crashes, hangs or fills the memory is an outcome like
any other. In such a process nothing may be written outside the trial's own folder, no program started,
no connection opened and no pickle loaded: whoever tries is found out by Python's audit hook.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import traceback
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from eacbook.errors import InputError, NonFiniteLossError

LONGEST_MESSAGE = 1000
SECONDS = 120
"""A trial that takes longer hangs."""

MEMORY = 6 << 30
"""Bytes that a trial may have above what the process had before; where the system can limit them."""


@dataclass(frozen=True)
class Trial:
    """Something malformed and what may become of it.

    Attributes:
        change: what is malformed, in words.
        attempt: gives it to the product.
        names: a refusal names at least one of these: the file, the argument.
        accept: why it is right that the product took it and gave this result; None where it is not.
    """

    change: str
    attempt: Callable[[], object]
    names: tuple[str, ...]
    accept: Callable[[object], str | None]
    fits: bool = False
    """Whether nothing is malformed after all, and the product has to take it."""


Make = Callable[[random.Random, Path], Trial]
"""Makes a trial: everything that is random comes from the generator, all files go into the folder."""

KINDS: dict[str, Callable[[Path], Make]] = {}
"""By name: makes what is not malformed yet, once in a folder, and gives the maker of trials."""


def kind(name: str):
    """Register a kind of malformed input."""

    def register(setup):
        KINDS[name] = setup
        return setup

    return register


@dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Attributes:
        kind, number: which trial; with the seed they say everything about it.
        change: what was malformed.
        verdict: ``"refused"``, ``"accepted"``, or the name of a failure.
        words: the refusal, why accepting is right, or what went wrong.
    """

    kind: str
    number: int
    change: str
    verdict: str
    words: str

    @property
    def failed(self) -> bool:
        return self.verdict not in ("refused", "accepted")


def run_trials(name: str, numbers: range, seed: int) -> Iterator[Outcome]:
    """The outcomes of some trials of a kind, in order."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder).resolve()
        left = list(numbers)
        while left:
            for outcome in _in_child(name, left, seed, here):
                yield outcome
                left = left[1:]


def replay(name: str, number: int, seed: int) -> Outcome:
    """One trial again, in this process, with its traceback."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder).resolve()
        return _one(name, KINDS[name](_fresh(here / "input")), number, seed, here, loud=True)


def _in_child(name: str, numbers: list[int], seed: int, here: Path) -> Iterator[Outcome]:
    """Outcomes until all are there, or until the child is lost: then that is the last outcome."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(reader)
            _work(name, numbers, seed, here, writer)
            status = 0
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(status)
    os.close(writer)
    lines = _lines(reader)
    try:
        for number in numbers:
            line = next(lines, b"")
            if line:
                yield Outcome(**json.loads(line))
                continue
            if hung := line is None:
                os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
            child = None
            if os.WIFEXITED(status):
                raise RuntimeError(f"no trial of {name!r} could be made (see above)")
            words = f"over {SECONDS} s" if hung else f"signal {os.WTERMSIG(status)}"
            yield Outcome(name, number, "see --replay", "hung" if hung else "crashed", words)
            return
    finally:
        os.close(reader)
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _lines(pipe: int) -> Iterator[bytes | None]:
    """What comes through a pipe until it is closed; None when nothing comes for too long."""
    buffer = b""
    while True:
        if not select.select([pipe], [], [], SECONDS)[0]:
            yield None
        chunk = os.read(pipe, 1 << 16)
        if not chunk:
            return
        *whole, buffer = (buffer + chunk).split(b"\n")
        yield from whole


def _work(name: str, numbers: list[int], seed: int, here: Path, pipe: int) -> None:
    """In the child: the trials, an outcome a line."""
    make = KINDS[name](_fresh(here / "input"))
    _limit_memory()
    guard = Guard(here)
    for number in numbers:
        outcome = _one(name, make, number, seed, here, guard)
        os.write(pipe, (json.dumps(asdict(outcome)) + "\n").encode())


def _one(
    name: str, make: Make, number: int, seed: int, here: Path,
    guard: Guard | None = None, loud: bool = False,
) -> Outcome:  # fmt: skip
    place, scratch = _fresh(here / "trial"), _fresh(here / "scratch")
    tempfile.tempdir = str(scratch)
    trial = make(random.Random(f"{seed}/{name}/{number}"), place)
    before = _files(place)
    output = io.StringIO()
    try:
        if guard:
            guard.armed = True
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
        ):
            warnings.simplefilter("ignore")
            result = trial.attempt()
        words = trial.accept(result)
        verdict = "accepted" if words else "accepted wrongly"
        words = words or " ".join(f"{result!r}".split())[:200]
    except (InputError, NonFiniteLossError) as error:
        verdict, words = _judge_refusal(str(error), trial.names)
    except SystemExit as error:  # a command that refuses: the last line says why
        lines = output.getvalue().strip().splitlines() or [""]
        verdict, words = _judge_refusal(lines[-1], trial.names)
        if error.code not in (1, 2):
            verdict, words = "wrong exit status", f"{error.code!r}: {lines[-1][:200]}"
    except BaseException as error:
        if loud:
            traceback.print_exc()
        verdict, words = "traceback", _where(error)
    finally:
        if guard:
            guard.armed = False
    after = _files(place)
    if verdict == "refused" and trial.fits:
        verdict = "refused wrongly"
    if verdict == "refused" and before != after:
        verdict, words = "left something", ", ".join(sorted(before ^ after))
    elif half := [path for path in after - before if ".partial" in path or ".tmp" in path]:
        verdict, words = "left something", ", ".join(half)
    if rest := _files(scratch):
        verdict, words = "left something", "in the folder for temporary files: " + ", ".join(rest)
    if guard and guard.caught:
        verdict, words = "executed", "; ".join(guard.caught)
        guard.caught.clear()
    return Outcome(name, number, trial.change[:200], verdict, words[:500])


def _judge_refusal(text: str, names: tuple[str, ...]) -> tuple[str, str]:
    """A refusal is one line of a sensible length that names what was given."""
    shown = text if len(text) < 300 else f"{text[:200]} ... {text[-80:]}"
    if not text:
        return "says nothing", ""
    if len(text) > LONGEST_MESSAGE:
        return "too long a message", f"{len(text)} characters: {shown}"
    if any(unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs") for c in text):
        return "more than one line", repr(shown)
    if not any(name in text for name in names):
        return "names nothing", shown
    return "refused", shown


def _where(error: BaseException) -> str:
    """The kind of an error and the line of the product that let it out."""
    frames = [
        f"{Path(frame.filename).name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if "reliability" not in frame.filename
        and ("eacbook" in frame.filename or "data_scripts" in frame.filename)
    ]
    text = " ".join(str(error)[:150].split())
    return f"{type(error).__name__}: {text} ({' < '.join(frames[-1:-4:-1])})"


def _files(folder: Path) -> set[str]:
    """What is in a folder; locks are made to stay."""
    paths = (str(path.relative_to(folder)) for path in folder.rglob("*"))
    return {path for path in paths if ".locks" not in path}


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _limit_memory() -> None:
    status = Path("/proc/self/statm")
    if status.exists():
        import resource

        has = int(status.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (has + MEMORY,) * 2)


class Guard:
    """Notes what no reading of a file may do; see ``sys.addaudithook``, which has no way back.

    Attributes:
        armed: whether it looks.
        caught: what it saw.
    """

    EVENTS = (
        *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen"),
        *("pty.spawn", "socket.connect", "socket.getaddrinfo", "urllib.Request", "webbrowser.open"),
        "pickle.find_class",
    )

    def __init__(self, here: Path):
        self.here, self.armed, self.caught = str(here), False, []
        sys.dont_write_bytecode = True
        sys.addaudithook(self._look)

    def _look(self, event: str, arguments: tuple) -> None:
        if not self.armed:
            return
        if event in self.EVENTS:
            self.caught.append(f"{event}{arguments}"[:150])
        writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes and not isinstance(arguments[0], int):
            path = str(Path(os.fsdecode(arguments[0])).absolute())
            if not path.startswith(self.here) and path != os.devnull:
                self.caught.append(f"writes {path}"[:150])
