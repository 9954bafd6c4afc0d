"""``docs/reliability.md``, made from the figures of a run and of nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .kills import Killed
from .trials import Outcome


def figures(outcomes: Iterable[Outcome], killed: Iterable[Killed], about: dict) -> dict:
    """What is kept of a run: counts, and of every failure its words."""
    kinds: dict[str, dict] = {}
    for outcome in outcomes:
        of = kinds.setdefault(
            outcome.kind, {"trials": 0, "refused": 0, "accepted": Counter(), "failures": []}
        )
        of["trials"] += 1
        if outcome.failed:
            facts = f"{outcome.number}: {outcome.change}: {outcome.verdict}: {outcome.words}"
            of["failures"].append(facts)
        elif outcome.verdict == "refused":
            of["refused"] += 1
        else:
            of["accepted"][outcome.words] += 1
    commands: dict[str, dict] = {}
    for series in killed:
        of = commands.setdefault(
            series.command,
            {"kills": 0, "at_file_operations": 0, "series": 0, "identical": 0, "failures": []},
        )
        of["kills"] += len(series.moments)
        of["at_file_operations"] += sum("operation" in moment for moment in series.moments)
        of["series"] += 1
        if series.failed:
            facts = (
                f"{series.number}: {'; '.join(series.moments)}: {series.verdict}: {series.words}"
            )
            of["failures"].append(facts)
        else:
            of["identical"] += 1
    return about | {"kinds": kinds, "commands": commands}


def failures(found: dict) -> list[str]:
    """Every failure, with its kind."""
    groups = (found["kinds"] | found["commands"]).items()
    return [f"{name} {failure}" for name, of in groups for failure in of["failures"]]


def page(found: dict) -> str:
    """The page, in Markdown."""
    kinds, commands = found["kinds"], found["commands"]
    trials = [
        [name, of["trials"], of["refused"], sum(of["accepted"].values()), len(of["failures"])]
        for name, of in kinds.items()
    ]
    columns = ("kills", "at_file_operations", "series", "identical")
    kills = [[f"`{name}`", *(of[key] for key in columns)] for name, of in commands.items()]
    commands_head = [
        "command",
        "kills",
        "of them at a file operation",
        "trainings",
        "bit-identical",
    ]
    reasons: dict[str, Counter] = {}
    for name, of in kinds.items():
        for reason, count in of["accepted"].items():
            reasons.setdefault(reason, Counter())[name] = count
    accepted = [
        [reason, sum(of.values()), ", ".join(of)]
        for reason, of in sorted(reasons.items(), key=lambda item: -sum(item[1].values()))
    ]
    bad = failures(found)
    listed = "\n".join(f"* {text}" for text in bad) if bad else "None."
    return f"""# Reliability

Made by one command, which takes {found["minutes"]:.0f} minutes with one thread, and writes this page and
[its figures](../benchmarks/results/reliability.json):

```sh
{found["command"]}
```

Seed {found["seed"]}, PyTorch {found["torch"]}, Python {found["python"]}, {found["system"]}.
A smaller number of the same trials runs with `make test`.
`python -m tests.reliability --replay "KIND" NUMBER` does one trial again.

## Malformed inputs

Files are damaged by bytes and by what they say. Archives are made as no honest tool makes them.
Pickles try to run programs. Arguments have every type and every extreme.

* *Refused*: one line of at most 1,000 characters names the file or the argument, and nothing is left.
* *Accepted*: for one of the reasons below.
* *Failed*: all else, such as a traceback, a crash, a program that was started, a file that was left.

{markdown(["kind of input", "trials", "refused", "accepted", "failed"], trials, total=True)}

## Why accepting is right

{markdown(["reason", "trials", "kinds of input"], accepted)}

## Killed trainings

A command is killed with SIGKILL, at random moments and right before each of its file operations,
once or up to five times in a row. Then it is started once more and ends. *Bit-identical* means
that the weights, the labels and the rows of the history are those of an undisturbed training. No file
is missing or too many, and no process lives on.

{markdown(commands_head, kills, total=True)}

## What failed

{listed}
"""


def markdown(head: list[str], rows: list[list], total: bool = False) -> str:
    if total and rows:
        sums = [f"{sum(column):,}" for column in list(zip(*rows, strict=True))[1:]]
        rows = [*rows, ["**all**", *(f"**{number}**" for number in sums)]]
    texts = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *texts]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
