"""The parts that all prepare commands share: errors in one line, and a table of the counts."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from eacbook.data.format import SPLITS
from eacbook.errors import InputError


def run(
    parser: argparse.ArgumentParser, out: Path, prepare: Callable[[], dict], reasons: dict[str, str]
) -> dict:
    """Prepare a set and print the table of counts. After an error, print one line and exit."""
    try:
        description = prepare()
    except InputError as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")
    except BrokenPipeError:
        raise  # the program that reads our output has ended
    except (OSError, KeyboardInterrupt) as error:  # the error of a full disk names no file
        partial = out.with_name(out.name + ".partial")
        kept = f"; {partial} is kept, and the same command continues" if partial.exists() else ""
        what = str(error) or "interrupted"
        parser.exit(2, f"{parser.prog}: error: {what} (while preparing {out}{kept})\n")
    print(table_of_counts(description["notes"], reasons))
    print(f"\n{out} is ready: eacbook.load_faces({str(out)!r})\n{description['licence']}")
    return description


def side(text: str) -> int:
    """The value of ``--size``: the side of a picture in pixels."""
    if not text.isdecimal() or not 16 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r} pixels, expected 16 to 1024")
    return int(text)


def warn(sentence: str) -> None:
    """Print a warning: something is unusual, but it is not an error."""
    print(f"warning: {sentence}", file=sys.stderr)


def table_of_counts(notes: dict, reasons: dict[str, str]) -> str:
    """A table of the kept images by class and split, and of the dropped ones by reason and split."""
    kept, dropped = notes["kept"], notes["dropped"]
    rows = {f"  {name}": counts for name, counts in kept.items()}
    rows |= {"kept": sum(map(Counter, kept.values()), Counter())}
    rows |= {f"  {reasons[reason]}": counts for reason, counts in dropped.items() if counts}
    rows |= {"dropped": sum(dropped.values(), Counter())}
    lines = [" " * 42 + "".join(f"{split:>12}" for split in SPLITS)]
    lines += [
        f"{name:<42}" + "".join(f"{counts[split]:>12,}" for split in SPLITS)
        for name, counts in rows.items()
    ]
    return "\n".join(lines)
