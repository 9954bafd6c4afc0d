"""Malformed inputs and killed trainings, few of each; ``make reliability`` does many more of them."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
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


def test_nothing_malformed_and_no_kill_does_harm(tmp_path):
    """In a process of its own: it forks, and a fork of a process with threads may hang."""
    counts = ("--trials", "48", "--kills", "3", "--seed", "0", "--out", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability", *counts],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "benchmarks/results/reliability.json").read_text())
    assert sum(of["trials"] for of in found["kinds"].values()) == 48
    assert sum(of["kills"] for of in found["commands"].values()) == 3
