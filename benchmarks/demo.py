"""The demo on other processors: what EAC gains over the baseline, with three kinds of kernels.

    python benchmarks/demo.py

Trains `eacbook demo` with the seeds 0, 1 and 2 under each kind of kernels, with folders of runs below
``runs/demo``; a second call finds the runs there. Puts the results into
``benchmarks/results/demo.json`` and prints the gains in points. Half an hour on 2 cores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from fill import demo
from processors import KERNELS
from results import keep

DEMO = sys.executable, "-m", "eacbook", "demo", "--device=cpu"
SEEDS = 0, 1, 2
SETTINGS = "native", "avx2", "default"


def main() -> None:
    rows = []
    for setting in SETTINGS:
        for seed in SEEDS:
            folder = Path("runs/demo") / f"{setting}-{seed}"
            subprocess.run(
                [*DEMO, f"--seed={seed}", f"--folder={folder}"],
                env=os.environ | KERNELS[setting],
                check=True,
            )
            results = json.loads((folder / "demo" / "results.json").read_text())
            for method, figures in results["methods"].items():
                rows.append({"setting": setting, "seed": seed, "method": method} | figures)
    keep("demo", rows, "cpu", threads=1)  # of each training
    print("\n".join(demo()))


if __name__ == "__main__":
    main()
