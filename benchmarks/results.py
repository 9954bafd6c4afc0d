"""Keeping what a benchmark measured."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch

from eacbook.files import write_text
from eacbook.train import choose_device

RESULTS = Path(__file__).parent / "results"


def keep(name: str, rows: list[dict]) -> None:
    """Write the rows of a benchmark to ``results/NAME.json``, with its command and the device."""
    facts = {
        "command": f"python benchmarks/{name}.py",
        "device": f"{choose_device()}, {os.cpu_count()} CPU cores, torch {torch.__version__}",
        "rows": rows,
    }
    RESULTS.mkdir(exist_ok=True)
    write_text(RESULTS / f"{name}.json", json.dumps(facts, indent=1) + "\n")
