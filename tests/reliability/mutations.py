"""Changes to the content of a file: of its bytes, and of what JSON and tables hold."""

from __future__ import annotations

import csv
import io
import json
import random

LONG = "x" * 2_000_000
ODD_VALUES = (
    *(None, True, False, 0, 1, -1, 2, 7, 2.5, 1e308, -0.0, 10**30, 2**63, float("nan")),
    *(
        float("inf"),
        "",
        "0",
        "no",
        "null",
        "\x00",
        "a\nb",
        "\x1b[31m",
        "\u2028",
        "é",
        "e\u0301",
        "高兴",
    ),
    *("../../x", "/etc/passwd", "x" * 5000, [], [1], [None], {}, {"a": 1}, [[]], [[1, 2], [3]]),
)
"""Of every type that JSON has, and every extreme."""

ODD_CELLS = (
    *("", " ", "0", "1", "7", "8", "-1", "2.5", "1e9", "nan", "inf", "9" * 30, "9" * 5000, "0x1"),
    *(
        "1_0",
        "٣",
        "²",
        "\x00",
        "\x1b[31m",
        "a b",
        'a"b',
        "é",
        "高兴",
        "../x",
        "/etc/passwd",
        "TRUE",
    ),
    *("train", "test", "\ufeff1", "x" * 5000, LONG),
)


def change_bytes(rng: random.Random, data: bytes) -> tuple[bytes, str]:
    """One to three changes; the result differs from ``data``."""
    changed, words = data, []
    while changed == data or rng.random() < 0.3:
        at = rng.randrange(len(changed) + 1)
        run = min(len(changed) - at, rng.choice((1, 1, 2, 4, 16, 100, 1000)))
        piece = changed[at : at + run]
        change = rng.choice((flip_bit, flip_bit, other_bytes, insert, drop, double, zeros, cut))
        changed = change(rng, changed, at, piece)
        words.append(f"{change.__name__.replace('_', ' ')} at {at}")
    return changed, ", ".join(words)


def flip_bit(rng, data, at, piece):
    if at == len(data):
        return data
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def other_bytes(rng, data, at, piece):
    return data[:at] + rng.randbytes(len(piece)) + data[at + len(piece) :]


def insert(rng, data, at, piece):
    return data[:at] + rng.randbytes(rng.choice((1, 3, 100))) + data[at:]


def drop(rng, data, at, piece):
    return data[:at] + data[at + len(piece) :]


def double(rng, data, at, piece):
    return data[:at] + piece + data[at:]


def zeros(rng, data, at, piece):
    return data[:at] + bytes(len(piece)) + data[at + len(piece) :]


def cut(rng, data, at, piece):
    return data[:at] if rng.random() < 0.8 else data[at:]


def change_json(rng: random.Random, text: str) -> tuple[str, str]:
    """Another value, a missing or an unknown name, somewhere in the tree; or no JSON at all."""
    if rng.random() < 0.1:
        other = rng.choice(
            ("", "[" * 100_000, "9" * 5000, "\ud800", "{}{}", "\ufeff" + text, "NaN")
        )
        return other, f"the whole is {other[:9]!r}"
    tree = json.loads(text)
    places = list(_places(tree))
    holder, name, path = rng.choice(places)
    what = rng.random()
    if what < 0.7:
        value = rng.choice(ODD_VALUES)
        holder[name] = value
        words = f"{path} is {str(value)[:30]!r}"
    elif what < 0.85:
        del holder[name]
        words = f"{path} is missing"
    elif isinstance(holder, dict):
        holder[f"{name}\n"] = holder.pop(name)
        words = f"{path} has another name"
    else:
        holder.append(holder[name])
        words = f"{path} stands there twice"
    return json.dumps(tree, indent=1), words


def _places(tree, path=""):
    """Whatever holds a value, and under which name or number."""
    for name in list(tree) if isinstance(tree, dict) else range(len(tree)):
        yield tree, name, f"{path}/{name}"
        if isinstance(tree[name], dict | list):
            yield from _places(tree[name], f"{path}/{name}")


def change_table(rng: random.Random, text: str, separator: str = ",") -> tuple[str, str]:
    """Other cells, rows and columns of a table; ``separator`` between its cells."""
    rows = list(csv.reader(io.StringIO(text), delimiter=separator))
    at = rng.randrange(len(rows))
    row = rows[at]
    what = rng.choice(
        ("cell",) * 8 + ("row twice", "no row", "rows", "more", "fewer", "header", "text")
    )
    words = f"line {at + 1}: {what}"
    if what == "cell" and row:
        column = rng.randrange(len(row))
        row[column] = rng.choice(ODD_CELLS)
        words = f"line {at + 1}, cell {column + 1} is {row[column][:20]!r}"
    elif what == "row twice":
        rows.insert(rng.randrange(len(rows)), list(row))
    elif what == "no row":
        del rows[at]
    elif what == "rows":
        other = rng.randrange(len(rows))
        rows[at], rows[other] = rows[other], rows[at]
    elif what == "more":
        row.append(rng.choice(ODD_CELLS))
    elif what == "fewer" and row:
        row.pop(rng.randrange(len(row)))
    elif what == "header":
        rng.shuffle(rows[0])
    elif what == "text":
        whole, words = rng.choice(
            (
                (text.replace(separator, ";"), "semicolons"),
                (text.replace("\n", "\r"), "the line ends of old Macs"),
                (text.replace("\n", "\n\n"), "empty lines"),
                (text + '"', "a quote that does not end"),
                ("\ufeff" + text, "a mark in front"),
                (text + "\x00\n", "a zero"),
                (text[: len(text) // 2], "half of it"),
                (text + "#" * 200_000, "an endless line"),
            )
        )
        return whole, words
    file = io.StringIO()
    csv.writer(file, delimiter=separator, lineterminator="\n").writerows(rows)
    return file.getvalue(), words
