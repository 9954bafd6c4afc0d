"""How long the book takes: seconds to each notebook's first picture, and until it is through.

    python benchmarks/notebooks.py [02 05 ...]

Runs every notebook (or those whose numbers are named) as a reader would who has nothing stored, one
after the other, each in a fresh kernel and with a folder of runs of its own; then once more with what
it has stored. Counts from the start of the kernel: to the end of the first cell that shows a picture,
of the last cell, and what the slowest cell took. Prints a table and puts the rows into
``benchmarks/results/notebooks.json``, where those of other notebooks stay. Its command and
device are those of the last call.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import pandas as pd
from nbclient import NotebookClient
from nbformat import NotebookNode
from results import keep, stored

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
PICTURES = {"image/png", "image/jpeg", "application/vnd.plotly.v1+json"}


def shows_picture(cell: NotebookNode) -> bool:
    """Whether an output of the cell holds one; an explorer's page counts, a table does not."""
    found = [output.get("data", {}) for output in cell.outputs]
    return any(PICTURES & set(data) or "<canvas" in data.get("text/html", "") for data in found)


def seconds_of(path: Path) -> dict:
    """Run one notebook; see the module."""
    notebook = nbformat.read(path, as_version=4)
    begin = time.time()
    NotebookClient(
        notebook, timeout=None, kernel_name="python3", record_timing=True,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()  # fmt: skip
    cells = [cell for cell in notebook.cells if "execution" in cell.metadata]

    def ends(cell: NotebookNode, which: str = "shell.execute_reply") -> float:
        return datetime.fromisoformat(cell.metadata.execution[which]).timestamp() - begin

    last = [0.0, *(ends(cell) for cell in cells)]
    took = [end - before for before, end in zip(last[:-1], last[1:], strict=True)]
    slowest = max(range(len(cells)), key=took.__getitem__)
    return {
        "first_picture": next(ends(cell) for cell in cells if shows_picture(cell)),
        "whole": last[-1],
        "slowest_cell": took[slowest],
        "it_begins": cells[slowest].source.splitlines()[0],
    }


def main() -> None:
    rows = stored("notebooks")
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        if sys.argv[1:] and path.name[:2] not in sys.argv[1:]:
            continue
        rows = [row for row in rows if row["notebook"] != path.stem]
        with TemporaryDirectory() as runs:
            os.environ["EACBOOK_RUNS"] = runs
            for again in (False, True):
                facts = {"notebook": path.stem, "stored": again} | seconds_of(path)
                print(facts, flush=True)
                rows.append(facts)
    rows.sort(key=lambda row: (row["notebook"], row["stored"]))
    keep("notebooks", rows)
    print(pd.DataFrame(rows).round(1).to_string(index=False))


if __name__ == "__main__":
    main()
