"""The book on other processors: every claim of its notebooks and every run, under several settings.

    python benchmarks/processors.py [SETTING ...]

PyTorch and oneDNN choose their kernels by what the processor can do. A setting makes one of them or both
do without some of it, or gives them another number of threads. Under each setting (or the named ones)
the notebooks run in fresh kernels, with a folder of runs of its own below ``runs/processors``. A second
call finds the runs there, and the claims of each notebook whose code is the same. Prints each claim's
limit, its worst value and the range of its values. Puts them into
``benchmarks/results/processors.json``, where the rows of other settings stay. About 10 minutes a setting
on 2 cores.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pandas as pd
from nbclient import NotebookClient
from nbformat import NotebookNode
from results import keep, stored

from eacbook.experiments.runs import list_runs, read_facts

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
KERNELS = {
    "native": {},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "sse41": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "default": {"ATEN_CPU_CAPABILITY": "default"},
}
SETTINGS = {
    f"{name}-{threads}": environment | {"OMP_NUM_THREADS": str(threads)}
    for name, environment in KERNELS.items()
    for threads in (1, 2)
}
FAILED = re.compile(r"This does not hold here: (.*) The number is (\S+); expected (.*)\.$")
FIGURES = "test_accuracy", "memorised"


def claims_of(notebook: NotebookNode) -> Iterator[dict]:
    """What :func:`eacbook.book.runs.claim` measured in a notebook that has run, held or not."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if measured := output.get("metadata", {}).get("eacbook"):
                limits = {side: limit for side, limit in measured.items() if side != "value"}
                expected = " and ".join(f"{side} {limit:g}" for side, limit in limits.items())
                sentence, value = output.data["text/markdown"].removeprefix("✓ "), measured["value"]
            elif failed := FAILED.match(output.get("evalue", "")):
                sentence, value, expected = failed[1], float(failed[2]), failed[3]
            elif output.output_type == "error":
                raise RuntimeError(f"{output.ename}: {output.evalue}")
            else:
                continue
            yield {"claim": sentence, "expected": expected, "value": value}


def claims_under(setting: str, path: Path, folder: Path) -> list[dict]:
    """Run a notebook under a setting, unless its claims are there from before; its claims."""
    notebook = nbformat.read(path, as_version=4)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    digest = hashlib.sha256(code.encode()).hexdigest()[:16]
    kept = folder.with_name(f"{setting}.claims") / f"{path.stem}-{digest}.json"
    if kept.exists():
        return json.loads(kept.read_text())
    print(f"{setting}: {path.stem}", flush=True)
    client = NotebookClient(
        notebook,
        timeout=None,
        startup_timeout=600,
        allow_errors=True,  # a claim that does not hold here
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute(env=dict(os.environ) | SETTINGS[setting] | {"EACBOOK_RUNS": str(folder)})
    claims = list(claims_of(notebook))
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(claims))
    return claims


def run_book(setting: str, folder: Path) -> Iterator[dict]:
    """Run the notebooks under a setting; their claims, and the figures of their runs."""
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        for claim in claims_under(setting, path, folder):
            yield {"setting": setting, "notebook": path.stem, **claim}
    runs = {place.name: read_facts(place) for place in list_runs(folder)}
    # A notebook takes a thread for each free core. The workers of its grid have one thread each.
    if int(setting[-1]) not in {facts["made"]["threads"] for facts in runs.values()}:
        raise SystemExit(
            f"all runs in {folder} were trained with fewer threads: a core was busy. Remove the folder "
            "and try again on an idle machine"
        )
    for name, facts in runs.items():
        seed, threads = facts["settings"]["recipe"]["seed"], facts["made"]["threads"]
        figures = {figure: facts["summary"][figure] for figure in FIGURES}
        yield {"setting": setting, "run": name, "seed": seed, "threads": threads, **figures}


def main() -> None:
    unknown = [name for name in sys.argv[1:] if name not in SETTINGS]
    if unknown:
        raise SystemExit(f"unknown setting {unknown[0]!r}: expected one of {', '.join(SETTINGS)}")
    chosen = sys.argv[1:] or list(SETTINGS)
    rows = [row for row in stored("processors") if row["setting"] not in chosen]
    for setting in chosen:
        rows += run_book(setting, Path("runs/processors", setting).resolve())
    keep("processors", rows, "cpu", settings=SETTINGS)
    table = pd.DataFrame(rows).dropna(subset="claim")
    groups = table.groupby(["notebook", "claim", "expected"], sort=False)["value"]
    print(groups.agg(["min", "max"]).round(3).to_string())


if __name__ == "__main__":
    main()
