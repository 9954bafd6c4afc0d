"""The same numbers to the last bit: digests of what every method trains on drawn faces.

    python benchmarks/digests.py             # writes benchmarks/results/digests.json
    python benchmarks/digests.py --compare   # trains again, and compares with that file

Run it before and after a change that must not move a number. Each method trains with its full recipe on
3,000 drawn faces with 30 % symmetric noise, seed 0, on one thread. The digest is of the network's
weights and of every row of the history but its seconds. It belongs to one kind of processor and to one
release of PyTorch. About 8 minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

import torch
from results import keep

import eacbook as eb

FILE = Path(__file__).parent / "results/digests.json"
RATE = 0.3


def digest_of(run: eb.Run) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(run.network.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    # The second one is younger than the stored digests, and follows from the network.
    left_out = ("seconds", "mean_class_accuracy")
    rows = [{k: v for k, v in row.items() if k not in left_out} for row in run.rows]
    digest.update(json.dumps(rows, sort_keys=True).encode())
    return digest.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--compare", action="store_true", help="with the file, which stays")
    options = parser.parse_args()
    faces = eb.load_faces("synthetic")
    noisy = eb.inject_noise(faces.train.labels, RATE, faces.num_classes)
    rows = []
    for name in eb.METHODS:
        method = eb.parse_method(name, noise_rate=RATE)
        run = eb.train(method, eb.build_network("tiny", faces.num_classes), faces, noisy)
        row = {"method": name, "digest": digest_of(run)}
        rows.append(row | {"test_accuracy": run.summary["test_accuracy"]})
        print(json.dumps(rows[-1]), flush=True)
    if not options.compare:
        keep("digests", rows, "cpu", processor=torch.backends.cpu.get_cpu_capability())
        return
    before = {row["digest"]: row["method"] for row in json.loads(FILE.read_text())["rows"]}
    changed = [row["method"] for row in rows if row["digest"] not in before]
    sys.exit(f"other numbers than before: {', '.join(changed)}" if changed else None)


if __name__ == "__main__":
    main()
