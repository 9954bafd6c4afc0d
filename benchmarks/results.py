"""Keeping what a benchmark measured."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import torch

from eacbook.devices import choose_device
from eacbook.files import write_text

RESULTS = Path(__file__).parent / "results"


def stored(name: str) -> list[dict]:
    """The rows of ``results/NAME.json``, or none if nothing was measured yet."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text())["rows"] if path.exists() else []


def keep(name: str, rows: list[dict], device: str | torch.device | None = None, **facts) -> None:
    """Write the rows of a benchmark to ``results/NAME.json``, with its command and the device.

    Args:
        device: where it was measured; by default where eacbook trains.
        facts: what else there is to say, as plain values.
    """
    device = choose_device(device)
    chip = torch.cuda.get_device_name(device) if device.type == "cuda" else device
    # The folders of this machine say nothing to a reader.
    words = [word if not Path(word).is_absolute() else Path(word).name for word in sys.argv]
    facts = {
        "command": shlex.join(["python", *words]),
        "device": f"{chip}, {os.cpu_count()} CPU cores, torch {torch.__version__}",
        "threads": torch.get_num_threads(),
        **facts,
        "rows": rows,
    }
    RESULTS.mkdir(exist_ok=True)
    write_text(RESULTS / f"{name}.json", json.dumps(facts, indent=1) + "\n")
