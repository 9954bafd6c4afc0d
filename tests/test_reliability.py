"""Malformed inputs and killed trainings, few of each; ``make reliability`` does many more of them."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path

import pytest

from eacbook.errors import InputError

ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.reliability,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="trials need a system that can fork"),
]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
trials = importlib.import_module("tests.reliability.trials")
kills = importlib.import_module("tests.reliability.kills")
importlib.import_module("tests.reliability.__main__")  # brings every kind of trial


def leave_a_file(place):
    (place / "half.partial").touch()
    raise InputError(f"{place} is no good")


def refuse(words):
    raise InputError(words)


def say(words):
    print(words, file=sys.stderr)
    raise SystemExit(2)


FAULTS = {
    "traceback": lambda place: [][0],
    "accepted wrongly": lambda place: "a wrong result",
    "left something": leave_a_file,
    "executed": lambda place: os.system("true"),
    "too long a message": lambda place: say(f"{place}" * 100),
    "more than one line": lambda place: say(f"{place}\x1b[2J is no good"),
    "names nothing": lambda place: refuse("no good"),
    "crashed": lambda place: os.kill(os.getpid(), signal.SIGKILL),
    "hung": lambda place: os.read(os.pipe()[0], 1),
    "refused": lambda place: refuse(f"{place} is no good"),
    "accepted": lambda place: "as before",
}


@pytest.mark.parametrize("verdict", FAULTS)
def test_the_trials_see_every_kind_of_failure(verdict, monkeypatch):
    def make(rng, place):
        accept = {"as before": "it is as before"}.get
        return trials.Trial("a fault", lambda: FAULTS[verdict](place), (str(place),), accept)

    monkeypatch.setitem(trials.KINDS, "made here", lambda here: make)
    monkeypatch.setattr(trials, "SECONDS", 1 if verdict == "hung" else 60)
    first, second = trials.run_trials("made here", range(2), seed=0)
    assert first.verdict == second.verdict == verdict


@pytest.mark.parametrize("kind", trials.KINDS)
def test_no_malformed_input_gets_a_traceback_or_is_taken_for_another(kind):
    for outcome in trials.run_trials(kind, range(6), seed=0):
        assert not outcome.failed, outcome


@pytest.mark.parametrize(("command", "times"), [("train", 2), ("table", 1)])
def test_a_killed_command_ends_as_if_nobody_had_disturbed_it(command, times):
    """By one thread, as conftest sets it: a start without a checkpoint takes what cores are free."""
    series = list(kills.run_kills(command, times, seed=0))
    assert sum(len(killed.moments) for killed in series) >= times
    for killed in series:
        assert not killed.failed, killed
