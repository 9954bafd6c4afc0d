"""The table of FERPlus with dlib's face network, from the runs that were measured on an H100.

    python benchmarks/ferplus_h100.py

Reads ``benchmarks/results/ferplus_h100.json``, which says how the runs were made. Prints, as Markdown,
the mean and the standard deviation over the seeds, in percent, beside the paper's numbers for FERPlus.
README has this table, and a test compares the two.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from pathlib import Path

from eacbook.experiments.published import TABLE, published_accuracy

RESULTS = Path(__file__).parent / "results" / "ferplus_h100.json"
ROWS = (
    ("baseline", 0.3), ("scn", 0.3), ("rul", 0.3), ("eac", 0.3), ("eac:weight=1", 0.3),
    ("baseline", 0.2), ("eac", 0.2), ("baseline", 0.1), ("eac", 0.1),
)  # fmt: skip
TITLES = {
    "baseline": "baseline",
    "scn": "SCN",
    "rul": "RUL",
    "eac": "EAC",
    "eac:weight=1": "EAC, weight 1",
}


def percent(values: list[float]) -> str:
    """Mean and standard deviation in percent; of a single value, the value."""
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{spread}"


def summaries() -> dict[tuple[str, float], list[dict]]:
    """The summaries of the runs with dlib's network: one a seed, by method and noise rate."""
    found = defaultdict(list)
    for run in json.loads(RESULTS.read_text())["runs"]:
        setting = run["setting"]
        if setting["network"] == "dlib":
            found[setting["method"], setting["noise"]].append(run["summary"])
    return found


def markdown() -> str:
    """The table."""
    measured = summaries()
    lines = [
        "| wrong labels | method | seeds | test accuracy | memorised | the paper's FERPlus |",
        "|---|---|---|---|---|---|",
    ]
    for method, rate in ROWS:
        of_row = measured[method, rate]
        accuracy, memorised = (
            percent([summary[field] for summary in of_row])
            for field in ("test_accuracy", "memorised")
        )
        paper = published_accuracy(TABLE["ferplus"], method, rate)
        lines.append(
            f"| {rate:.0%} | {TITLES[method]} | {len(of_row)} | {accuracy} | {memorised} | "
            f"{'' if paper is None else f'{100 * paper:.1f}'} |".replace("%", " %")
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())
