"""How long the sentences are that people read: README, notebooks and documentation.

    python tests/prose.py [FILE ...]     # each sentence that is too long, and the mean of each file

Code, tables, headings and references are left out. A sentence ends with a full stop, a question mark,
an exclamation mark, or a colon before a block. A word is what stands between spaces. A formula or a
piece of code counts as one word.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LONGEST, MEAN = 30, 15
FILES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "notebooks/source").glob("[0-9]*.py")),
]
ABBREVIATIONS = ("e.g.", "i.e.", "et al.", "vs.", "cf.", "approx.", "Fig.", "No.")


def markdown_of(path: Path) -> str:
    """The file itself, or the Markdown cells of a notebook's source."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text
    cells = re.split(r"^# %%", text, flags=re.MULTILINE)
    prose = [cell for cell in cells if cell.startswith(" [markdown]")]
    return "\n\n".join(re.sub(r"^# ?", "", cell.partition("\n")[2], flags=re.M) for cell in prose)


def paragraphs(markdown: str) -> Iterator[str]:
    """Running text: no code, no table, no heading, no picture, no reference."""
    markdown = re.sub(r"^( *)(```|~~~).*?^\1\2 *$", "", markdown, flags=re.M | re.S)
    markdown = re.sub(r"<!--.*?-->|\$\$.*?\$\$", "", markdown, flags=re.S)
    lines = []
    for line in [*markdown.splitlines(), ""]:
        begins = re.match(r" *([-*+]|\d+\.) +", line)
        skipped = re.match(r" *(\||#|!\[|\[!\[|<|---|    )", line) and not begins
        if not line.strip() or begins or skipped:
            if lines:
                yield " ".join(lines)
            lines = []
        if line.strip() and not skipped:
            lines.append(line[begins.end() :] if begins else line.strip())


def sentences(paragraph: str) -> Iterator[str]:
    text = re.sub(r"`[^`]*`|\$[^$]*\$", "X", paragraph)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"https?://\S+|\[arXiv[^\]]*\]|[*_]{1,2}(?=\S)|(?<=\S)[*_]{1,2}", "", text)
    for short in ABBREVIATIONS:
        text = text.replace(short, short.replace(".", ""))
    for sentence in re.split(r"(?<=[.?!:])[\"')]*\s+(?=[\"'(]*[A-Z0-9X])", text):
        if len(sentence.split()) > 1:
            yield sentence.strip()


def too_long(path: Path) -> tuple[list[str], float]:
    """The sentences of more than :data:`LONGEST` words, and the mean length of all."""
    found = [s for part in paragraphs(markdown_of(path)) for s in sentences(part)]
    counts = [len(sentence.split()) for sentence in found]
    long = [s for s, count in zip(found, counts, strict=True) if count > LONGEST]
    return long, sum(counts) / max(len(counts), 1)


def main() -> int:
    wrong = 0
    for path in map(Path, sys.argv[1:] or FILES):
        long, mean = too_long(path)
        wrong += len(long) + (mean > MEAN)
        print(f"{path}: mean {mean:.1f} words, {len(long)} sentences of more than {LONGEST}")
        for sentence in long:
            print(f"  {len(sentence.split())}: {sentence}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
