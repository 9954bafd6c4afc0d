"""An audit from the pictures to its page: cost, self-test, scores, copies, matrix, files.

The audit's folder gets ``index.html``, ``audit.csv``, ``audit.json``, ``runs/`` (the trainings, which
are found again) and, for class folders, ``data/`` (the prepared set).
"""

from __future__ import annotations

from pathlib import Path

import torch

from eacbook import __version__
from eacbook.audit.cost import estimate
from eacbook.audit.duplicates import find_duplicates
from eacbook.audit.files import DATA, FACTS, RUNS, TABLE, facts_of, read_facts, table_of
from eacbook.audit.matrix import estimate_matrix
from eacbook.audit.page import first_of, write_page
from eacbook.audit.plan import Plan, check_choices, make_plan
from eacbook.audit.report import AuditReport, SelfTest, Suspect
from eacbook.audit.scores import SHOWN, Scores, attention_of_both, score_labels
from eacbook.audit.self_test import run_self_test
from eacbook.audit.source import AuditSet, is_prepared, load_set, prepare_folders
from eacbook.checks import path_name, seed_number
from eacbook.errors import InputError
from eacbook.extras import load
from eacbook.files import write_json, write_text

MAPS, MAPS_OF_A_CLASS = 500, 50
"""The page has the attention of so many suspects of each list, and of so many of each class."""


def audit(
    source: str | Path,
    out: str | Path,
    *,
    network: str | None = None,
    quick: bool = False,
    epochs: int | None = None,
    folds: int = 0,
    person: str | None = None,
    skip_broken: bool = False,
    thumbnails: bool = True,
    seed: int = 0,
    device: str | None = None,
) -> AuditReport:
    """Audit the labels of a prepared set, or of class folders. A second call goes on where one ended.

    Args:
        source: a prepared folder, or a folder or archive of class folders.
        out: the folder of the audit. It may be that of an earlier audit of the same source.
        network, quick, epochs, folds, seed, device: see :func:`eacbook.audit.plan.make_plan`.
        person: a regular expression with one group that finds the person in a path.
        skip_broken: leave pictures out that do not decode.
        thumbnails: put small pictures into the page.

    Raises:
        InputError: an argument or a file cannot be used; the message says which and why.
        KeyboardInterrupt: the training was interrupted; its whole epochs are kept.
    """
    load("sklearn")  # before anything is written
    source, out = Path(path_name("the source", source)), Path(path_name("--out", out))
    seed = seed_number("seed", seed)
    check_choices(
        network, quick, epochs, folds
    )  # before pictures are prepared, which may take long
    _check_folders(source, out)
    prepared = source
    if not is_prepared(source):
        prepared = out / DATA
        prepare_folders(source, prepared, person=person, skip_broken=skip_broken, seed=seed)
    found = load_set(prepared, person, source.resolve().name)
    _check_earlier(out, found)
    plan = make_plan(
        found, network=network, quick=quick, epochs=epochs, folds=folds, seed=seed, device=device
    )
    out.mkdir(parents=True, exist_ok=True)
    print(_intention(found, plan), flush=True)
    print(f"It needs {estimate(found, plan)}.", flush=True)
    tested = run_self_test(found, plan, out / RUNS)
    print(describe_self_test(tested), flush=True)
    scores = score_labels(found, plan, out / RUNS)
    report = make_report(found, plan, scores, tested)
    training, held_out = first_of(report.suspects, MAPS, MAPS_OF_A_CLASS)
    suspects = [*training, *held_out]
    rows = [suspect.row for suspect in suspects]
    maps = attention_of_both(
        scores.runs, scores.judge, found.pictures.images, torch.tensor(rows),
        torch.tensor([(suspect.given, suspect.other) for suspect in suspects]), plan.size,
    )  # fmt: skip
    write_text(out / TABLE, table_of(report))
    write_page(
        report, found.pictures.images, dict(zip(rows, maps, strict=True)), out, thumbnails,
        source if prepared != source and source.is_dir() else None,
    )  # fmt: skip
    write_json(out / FACTS, facts_of(report, prepared, out))
    return report


def make_report(found: AuditSet, plan: Plan, scores: Scores, tested: SelfTest) -> AuditReport:
    """All that an audit found, as plain values."""
    return AuditReport(
        name=found.name,
        fingerprint=found.fingerprint,
        classes=found.classes,
        suspects=rank(found, scores),
        self_test=tested,
        duplicates=find_duplicates(found, scores.neighbours[:, 0]),
        matrix=estimate_matrix(scores.probabilities[found.trained], found.given[found.trained]),
        settings={
            "network": plan.network,
            "weights": plan.weights or "random",
            "epochs": plan.epochs,
            "folds": plan.folds or "none",
            "persons": "known" if found.persons else "unknown",
            "seed": plan.seed,
            "score": "1 - probability of the given label",
        },
        version=__version__,
    )


def rank(found: AuditSet, scores: Scores) -> tuple[Suspect, ...]:
    """Every row as a suspect, the most doubtful first."""
    order = scores.order
    likeliest = scores.probabilities.topk(2, dim=1)
    columns = {
        "given": scores.given, "classes": likeliest.indices, "p": likeliest.values,
        "score": scores.score, "doubt": scores.doubt, "mean_loss": scores.mean_loss,
        "other": scores.neighbours_other, "neighbours": scores.neighbours[:, :SHOWN],
    }  # fmt: skip
    listed = {name: values[order].tolist() for name, values in columns.items()}
    return tuple(
        Suspect(
            row=row, file=found.pictures.files[row], split=found.splits[row],
            given=listed["given"][place],
            suggested=listed["classes"][place][0], second=listed["classes"][place][1],
            p_suggested=listed["p"][place][0], p_second=listed["p"][place][1],
            score=listed["score"][place], rank=place + 1, doubt=listed["doubt"][place],
            mean_loss=_number(listed["mean_loss"][place]),
            neighbours_other=listed["other"][place],
            neighbours=tuple(listed["neighbours"][place]),
        )
        for place, row in enumerate(order.tolist())
    )  # fmt: skip


def describe_self_test(tested: SelfTest) -> str:
    """The self-test in one sentence for each part of the list."""
    lines = [
        f"  first {share:.0%} of the list: {found.count} found ({found.low:.0%} to {found.high:.0%})"
        for share, found in tested.found.items()
    ]
    labels = "1 label was" if tested.planted == 1 else f"{tested.planted} labels were"
    return "\n".join([f"Self-test: {labels} made wrong on purpose.", *lines])


def _intention(found: AuditSet, plan: Plan) -> str:
    trainings = "one training" if not plan.folds else f"{plan.folds} trainings out of fold"
    persons = ", no person in two folds" if plan.folds and found.persons else ""
    return (
        f"{found.name}: {len(found):,} pictures, {len(found.trained):,} of them to train on, "
        f"{found.num_classes} classes.\n"
        f"Self-test and audit with {plan.network}, epochs: {plan.epochs}, {trainings} each{persons}."
    )


def _number(value: float) -> float | None:
    return None if value != value else value


def _check_folders(source: Path, out: Path) -> None:
    if not source.exists():
        raise InputError(f"there is no file or folder {source}")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file, expected a folder")
    inner, outer = out.resolve(), source.resolve()
    if source.is_dir() and outer in (inner, *inner.parents):
        raise InputError(f"--out {out} is inside {source}: choose a folder outside of it")


def _check_earlier(out: Path, found: AuditSet) -> None:
    """Refuse to write over the audit of another set, whose decisions may still be open."""
    if not (out / FACTS).exists():
        return
    if read_facts(out)["fingerprint"] != found.fingerprint:
        raise InputError(f"{out} holds the audit of another set: choose another --out")
