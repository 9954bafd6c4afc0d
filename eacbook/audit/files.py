"""The files of an audit's folder: ``audit.csv`` for pandas, and ``audit.json`` for the next command."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from eacbook.audit.report import AuditReport, Found
from eacbook.errors import InputError
from eacbook.files import read_json

TABLE, FACTS, DATA, RUNS = "audit.csv", "audit.json", "data", "runs"

COLUMNS = (
    "file", "split", "given", "suggested", "score", "rank",
    "doubt", "mean_loss", "neighbours_other",
)  # fmt: skip
"""Columns of ``audit.csv``. A row that was not trained on has an empty ``mean_loss``."""


def table_of(report: AuditReport) -> str:
    """``audit.csv``: one line for each picture, the most doubtful first."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for suspect in report.suspects:
        loss = "" if suspect.mean_loss is None else f"{suspect.mean_loss:.6f}"
        table.writerow([
            suspect.file, suspect.split, report.classes[suspect.given],
            report.classes[suspect.suggested], f"{suspect.score:.6f}", suspect.rank,
            f"{suspect.doubt:.6f}", loss, f"{suspect.neighbours_other:.6f}",
        ])  # fmt: skip
    return text.getvalue()


def facts_of(report: AuditReport, prepared: Path, out: Path) -> dict:
    """What ``audit.json`` keeps: all but the rows, which are in ``audit.csv``.

    Args:
        report: what the audit found.
        prepared: the prepared set.
        out: the folder of the audit.
    """
    where = DATA if prepared == out / DATA else os.path.relpath(prepared.resolve(), out.resolve())
    return {
        "name": report.name,
        "fingerprint": report.fingerprint,
        "set": where,
        "classes": list(report.classes),
        "self_test": {
            "planted": report.self_test.planted,
            "found": _of_shares(report.self_test.found),
            "by_class": {
                report.classes[label]: {"planted": planted}
                | {"found": _of_shares(report.self_test.found_by_class[label])}
                for label, planted in report.self_test.planted_by_class.items()
            },
        },
        "duplicates": [asdict(pair) for pair in report.duplicates],
        "matrix": asdict(report.matrix),
        "settings": dict(report.settings),
        "version": report.version,
    }


def _of_shares(found: Mapping[float, Found]) -> dict[str, dict]:
    return {f"{share:g}": asdict(of_share) for share, of_share in found.items()}


def read_facts(out: Path) -> dict:
    """The content of ``audit.json``.

    Raises:
        InputError: it is missing, damaged or cannot be read.
    """
    path = out / FACTS
    try:
        facts = read_json(path)
        if not all(isinstance(facts.get(name), str) for name in ("fingerprint", "set")):
            raise ValueError("it lacks the set")
    except FileNotFoundError as error:
        raise InputError(f"{out} holds no finished audit: {FACTS} is missing") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged or cannot be read ({error}): audit again") from error
    return facts
