"""Does the environment that runs this still hold the versions of stack.txt? Fails if one moved."""

import sys
from importlib.metadata import distributions
from pathlib import Path

STACK = Path(__file__).with_name("stack.txt")

pins = dict(line.split("==") for line in STACK.read_text().split() if "==" in line)
found = {package.name.lower(): package.version for package in distributions()}
moved = [
    f"{name} from {was} to {found.get(name)}"
    for name, was in pins.items()
    if found.get(name) != was
]
if moved:
    sys.exit("Colab's packages moved: " + "; ".join(moved))
print("Colab's packages stayed:", ", ".join(map(" ".join, pins.items())))
