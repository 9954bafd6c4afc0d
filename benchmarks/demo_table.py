"""The README's table: baseline and EAC on the drawn faces, three noise rates, three seeds.

    python benchmarks/demo_table.py               # or: make table

Every cell is a run of ``make demo`` (``--noise RATE --seed SEED``), found again if it is stored.
Prints a Markdown table (mean and standard deviation over the seeds) and writes
``benchmarks/results/demo_table.json`` with every single figure.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import torch

from eacbook.demo import train_demo
from eacbook.files import write_text
from eacbook.train import choose_device

RATES, SEEDS = (0.3, 0.2, 0.1), (0, 1, 2)
FIGURES = ("test_accuracy", "test_accuracy_best", "memorised", "recovered")
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    rows = []
    for rate in RATES:
        for seed in SEEDS:
            print(f"noise {rate:.0%}, seed {seed}", flush=True)
            _, runs = train_demo(rate, seed)
            rows += [
                {"noise": rate, "seed": seed, "method": name, **run.summary}
                for name, run in runs.items()
            ]
    keep("demo_table", rows)
    print(markdown(pd.DataFrame(rows)))


def keep(name: str, rows: list[dict]) -> None:
    """Write the rows of a benchmark to ``results/NAME.json``, with its command and the device."""
    facts = {
        "command": f"python benchmarks/{name}.py",
        "device": f"{choose_device()}, {os.cpu_count()} CPU cores, torch {torch.__version__}",
        "rows": rows,
    }
    RESULTS.mkdir(exist_ok=True)
    write_text(RESULTS / f"{name}.json", json.dumps(facts, indent=1) + "\n")


def markdown(rows: pd.DataFrame) -> str:
    """Mean ± standard deviation over the seeds, a line a method and rate."""
    lines = [
        "| wrong labels | method | test accuracy | best epoch | memorised | recovered |",
        "|---|---|---|---|---|---|",
    ]
    for (rate, method), group in rows.groupby(["noise", "method"]):
        cells = [
            f"{100 * group[name].mean():.1f} ± {100 * group[name].std():.1f} %" for name in FIGURES
        ]
        lines.append(f"| {rate:.0%} | {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
