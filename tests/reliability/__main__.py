"""``python -m tests.reliability``: see :mod:`tests.reliability`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

import torch
from tqdm import tqdm

from . import arguments, downloads, files, pictures  # noqa: F401 (they register their kinds)
from .kills import COMMANDS, run_kills
from .page import failures, figures, page
from .trials import KINDS, replay, run_trials

ROOT = Path(__file__).parents[2]
FIGURES, PAGE = Path("benchmarks/results/reliability.json"), Path("docs/reliability.md")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    add = parser.add_argument
    add("--trials", type=int, default=2400, help="malformed inputs in all (%(default)s)")
    add("--kills", type=int, default=100, help="SIGKILLs in all (%(default)s)")
    add("--seed", type=int, default=0, help="draws everything (%(default)s)")
    add("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND", help="only these")
    add("--out", type=Path, default=ROOT, help=f"where {FIGURES} and {PAGE} are written (here)")
    add("--replay", nargs=2, metavar=("KIND", "NUMBER"), help="one trial again, with its traceback")
    options = parser.parse_args()
    if not hasattr(os, "fork"):
        parser.exit(1, "this needs a system that can fork\n")
    torch.set_num_threads(1)
    # A start without a checkpoint takes the cores that are free by then, and the number of threads
    # decides the last bits. With one core, only a kill could change them.
    os.environ["LOKY_MAX_CPU_COUNT"] = os.environ["OMP_NUM_THREADS"] = "1"
    if options.replay:
        kind, number = options.replay
        print(replay(kind, int(number), options.seed))
        return 0
    began = time.monotonic()
    outcomes, killed = [], []
    with tqdm(total=options.trials + options.kills, disable=None) as bar:
        for place, kind in enumerate(options.kinds):
            count = options.trials // len(options.kinds)
            count += place < options.trials % len(options.kinds)
            for outcome in run_trials(kind, range(count), options.seed):
                outcomes.append(outcome)
                bar.update()
        left = options.kills
        for command, share in COMMANDS.items():
            last = command == list(COMMANDS)[-1]
            count = left if last else round(share * options.kills)
            left -= count
            for series in run_kills(command, count, options.seed):
                killed.append(series)
                bar.update(len(series.moments))
    about = {
        "command": f"python -m tests.reliability --trials {options.trials} --kills {options.kills}"
        f" --seed {options.seed}",
        "seed": options.seed,
        "minutes": round((time.monotonic() - began) / 60, 1),
        "torch": torch.__version__.partition("+")[0],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    found = figures(outcomes, killed, about)
    for path, text in ((FIGURES, json.dumps(found, indent=1) + "\n"), (PAGE, page(found))):
        (options.out / path).parent.mkdir(parents=True, exist_ok=True)
        (options.out / path).write_text(text, encoding="utf-8")
    for failure in failures(found):
        print(failure, file=sys.stderr)
    return bool(failures(found))


if __name__ == "__main__":
    sys.exit(main())
