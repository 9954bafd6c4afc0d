"""Tables of a grid: mean and spread over the seeds, the paper's numbers, and the differences to it.

The same table is written as HTML (one page that opens offline), Markdown, LaTeX (it needs the package
booktabs) and CSV. ``cells.csv`` has all results of every cell. In the CSV files, accuracies and shares
are between 0 and 1. Everywhere else they are in percent. The mean class accuracy is in the page and in
the CSV files; the other forms are too narrow for it.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import pandas

from eacbook.data.format import DESCRIPTION, read_description
from eacbook.errors import InputError
from eacbook.experiments.grid import Cell, CellResult, faces_of
from eacbook.experiments.published import (
    SOURCE,
    differences,
    find_published,
    published_accuracy,
)
from eacbook.experiments.runs import read_facts
from eacbook.files import write_text
from eacbook.plots.palette import PAGE_STYLE
from eacbook.training.state import best_validation_epoch

FIGURES = (
    "test_accuracy",
    "mean_class_accuracy",
    "test_accuracy_last",
    "test_accuracy_best",
    "validation_accuracy",
    "memorised",
    "recovered",
)
KEYS = ["data", "noise", "method"]
STOPPED = "baseline, stopped early"
"""The baseline at its epoch with the best accuracy on clean validation labels."""

HOW = (
    "In percent, mean ± standard deviation over the seeds. Test accuracy (ours and the paper's) is the "
    "mean of the last five epochs; memorised is the share of the wrong training labels that the trained "
    "network predicts as given. A seed gives the same numbers again on the same kind of processor with "
    "the same number of threads; on another machine the accuracy of one run differs by up to 3 points."
)

HOW_STOPPED = (
    f"'{STOPPED}' is the baseline at its best epoch on the validation faces, and not a mean. Their "
    "labels are right; few people have such labels beside noisy ones."
)

HOW_BY_CLASS = (
    "Mean class is the mean class accuracy: the accuracy of every class, averaged over the classes and "
    "over the same epochs. It equals test accuracy if the test faces have every class equally often."
)

IN_LATEX = str.maketrans(
    {letter: f"\\{letter}" for letter in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)

WIDE = """
body { max-width: max-content; min-width: min(60rem, 100vw) } p, li { max-width: 60rem }
td, th { white-space: nowrap; font-variant-numeric: tabular-nums }
thead tr:first-child th { text-align: center; border-bottom: 1px solid var(--ink) }
tbody tr + tr > * { border-top: 1px solid rgba(128, 128, 128, .3) }
div.table { overflow-x: auto }
"""
"""Style that is added to the style of every page."""


def cells_table(results: Sequence[CellResult], folder: str | Path) -> pandas.DataFrame:
    """A row for each cell: its settings, its results, its run's folder, and its failure, if any.

    A cell of the baseline gives a second row, :data:`STOPPED`, if its faces have a validation split.
    """
    rows = []
    for result in results:
        cell = result.cell
        faces = faces_of(cell.data, cell.limit)
        published = published_accuracy(find_published(faces), cell.name, cell.rate, cell.kind)
        row = {
            "data": faces.name,
            "noise": cell.noise,
            "rate": cell.rate,
            "method": cell.name,
            "seed": cell.recipe.seed,
            **dict.fromkeys(FIGURES),
            "paper": published,
        }
        facts = _facts_of(result, folder)
        end = {"run": result.run, "failure": result.failure}
        rows.append({**row, **facts["summary"], **end})
        if cell.name == "baseline" and faces.validation is not None:
            rows.append({**row, "method": STOPPED, **_stopped_early(facts["rows"]), **end})
    return pandas.DataFrame(rows).astype(dict.fromkeys([*FIGURES, "paper"], float))


def _facts_of(result: CellResult, folder: str | Path) -> dict:
    return read_facts(Path(folder) / result.run) if result.run else {"summary": {}, "rows": []}


def confusion_table(results: Sequence[CellResult], folder: str | Path) -> pandas.DataFrame:
    """How many test faces of each true class got each prediction, a row for each pair of classes.

    The faces are summed over the seeds.
    """
    keys = ["data", "noise", "method", "true", "predicted"]
    rows = []
    for result in results:
        matrix = _facts_of(result, folder).get("confusion_matrix")
        if matrix is None:
            continue
        faces = faces_of(result.cell.data, result.cell.limit)
        for true, line in zip(faces.classes, matrix, strict=True):
            pairs = zip(faces.classes, line, strict=True)
            of_cell = (faces.name, result.cell.noise, result.cell.name, true)
            rows += [(*of_cell, predicted, count) for predicted, count in pairs]
    table = pandas.DataFrame(rows, columns=[*keys, "faces"])
    return table.groupby(keys, sort=False, as_index=False)["faces"].sum()


def _stopped_early(rows: Sequence[dict]) -> dict:
    """The figures of a network that is kept as :class:`eacbook.training.hooks.EarlyStopping` does."""
    if not rows or not all("validation_accuracy" in row for row in rows):
        return {}
    best = best_validation_epoch(rows)
    kept = {name: value for name, value in rows[best - 1].items() if name in FIGURES}
    seconds = sum(row["seconds"] for row in rows[:best])
    return kept | {"network_epoch": best, "epochs": best, "seconds": seconds}


def summary_over_seeds(cells: pandas.DataFrame) -> pandas.DataFrame:
    """A row for each method, rate and data set: seeds, and mean and standard deviation of results.

    A result that some of the stored runs lack is left out: its mean would be of other seeds.
    """
    groups = cells.groupby(KEYS, sort=False)
    seeds = groups["run"].count()
    columns = {"seeds": seeds, "of": groups.size()}
    for name in FIGURES:
        of_figure = groups[name]
        whole = of_figure.count() == seeds
        columns |= {
            name: of_figure.mean().where(whole),
            f"{name}_std": of_figure.std().where(whole),
        }
    columns |= {name: groups[name].first() for name in ("paper", "rate")}
    return pandas.DataFrame(columns).reset_index()


def shown_table(summary: pandas.DataFrame, *, by_class: bool = False) -> pandas.DataFrame:
    """A table of texts for one data set: a row for each method, with our and the paper's results.

    What was not measured, or failed, is ``-``.

    Args:
        summary: the rows of the data set, from :func:`summary_over_seeds`.
        by_class: add the mean class accuracy, if a run has it.
    """
    columns = {}
    with_paper = summary["paper"].notna().any()
    by_class = by_class and summary["mean_class_accuracy"].notna().any()
    for title in summary["noise"].unique():
        of_rate = summary[summary["noise"] == title].set_index("method")
        columns[title, "ours" if with_paper else "test accuracy"] = of_rate.apply(
            _mean_and_spread, axis=1, figure="test_accuracy"
        )
        if with_paper:
            columns[title, "paper"] = of_rate["paper"].map(_published)
        if by_class:
            columns[title, "mean class"] = of_rate.apply(
                _mean_and_spread, axis=1, figure="mean_class_accuracy"
            )
        columns[title, "memorised"] = of_rate.apply(_mean_and_spread, axis=1, figure="memorised")
    return pandas.DataFrame(columns).fillna("-").rename_axis(index=None)


def _percent(share: float) -> str:
    return "-" if pandas.isna(share) else f"{100 * share:.1f}"


def _published(share: float) -> str:
    """A share in percent, with two decimals like the paper."""
    return "-" if pandas.isna(share) else f"{100 * share:.2f}"


def _mean_and_spread(row: pandas.Series, figure: str) -> str:
    text = _percent(row[figure])
    if pandas.notna(row[f"{figure}_std"]):
        text += f" ± {100 * row[f'{figure}_std']:.1f}"
    return text if row["seeds"] in (0, row["of"]) else f"{text} ({row['seeds']} of {row['of']})"


def notes(cells: Sequence[Cell]) -> list[str]:
    """How the cells of one data set were trained, and the differences to the paper."""
    cell = cells[0]
    faces, recipe = faces_of(cell.data, cell.limit), cell.recipe
    weights = cell.weights and Path(cell.weights).name
    seeds = sorted({other.recipe.seed for other in cells})
    limit = f", a sample of at most {cell.limit:,} of each split" if cell.limit else ""
    sampler = "class-balanced" if getattr(recipe, "balanced", False) else "every face once"
    told = [
        f"{faces.name}: {faces.source}, {len(faces.train):,} training and {len(faces.test):,} test "
        f"faces of {faces.num_classes} classes{_rule(cell)}{limit}. {cell.kind.capitalize()} noise.",
        f"Network {cell.network} from {weights or 'random'} weights, {recipe.epochs} epochs, "
        f"batches of {recipe.batch_size}, {recipe.size or faces.image_size} pixels, sampler: {sampler}; "
        f"seeds {', '.join(map(str, seeds))}.",
    ]
    published = find_published(faces)
    if published is None:
        return [
            *told,
            "The paper has no such data, so none of its numbers can be compared with ours.",
        ]
    told.append(f"The paper's numbers: {SOURCE}, {published.name}; it states no spread.")
    different = differences(published, faces, cell.network, weights, recipe)
    if published.train is None:
        different.append(
            f"which faces were kept and how they were labelled: see above (paper: not stated for "
            f"{published.name} with 7 classes)"
        )
    if different:
        told.append(f"Our settings differ from the paper's in: {'; '.join(different)}.")
    return told


def _rule(cell: Cell) -> str:
    """The rule that made the labels, if the script that prepared the set has stated it."""
    if cell.data == "synthetic":
        return ""
    rule = read_description(Path(cell.data) / DESCRIPTION)["notes"].get("rule")
    return f", labels by the rule {rule!r}" if rule else ""


def show(results: Sequence[CellResult], folder: str | Path, out: str | Path) -> str:
    """Write the table in every form, and return it as text for a terminal.

    Args:
        results: from :func:`eacbook.experiments.grid.run_grid`.
        folder: the folder of the runs.
        out: folder for ``table.html``, ``.md``, ``.tex``, ``.csv``, ``cells.csv`` and ``confusion.csv``.

    Raises:
        InputError: there is no result.
    """
    if not results:
        raise InputError("there are no results, and a table needs at least one")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    cells = cells_table(results, folder)
    summary = summary_over_seeds(cells)
    how = f"{HOW} {HOW_STOPPED}" if STOPPED in set(cells["method"]) else HOW
    parts, pages = [], []
    for data in dict.fromkeys(result.cell.data for result in results):
        of_data = [result.cell for result in results if result.cell.data == data]
        name = faces_of(data, of_data[0].limit).name
        of_name, told = summary[summary["data"] == name], notes(of_data)
        parts.append((name, shown_table(of_name), told))
        pages.append((name, shown_table(of_name, by_class=True), told))
    write_text(out / "cells.csv", cells.to_csv(index=False))
    write_text(out / "confusion.csv", confusion_table(results, folder).to_csv(index=False))
    write_text(out / "table.csv", summary.to_csv(index=False))
    write_text(out / "table.md", _markdown(how, parts))
    write_text(out / "table.tex", _latex(how, parts))
    write_text(out / "table.html", _page(f"{how} {HOW_BY_CLASS}", pages))
    return f"{how}\n\n" + "\n\n".join(
        f"{name}\n{table.to_string()}\n\n" + "\n".join(told) for name, table, told in parts
    )


def _markdown(how, parts) -> str:
    sections = []
    for name, table, told in parts:
        flat = table.set_axis([": ".join(column) for column in table.columns], axis=1)
        lines = "\n".join(f"- {note}" for note in told)
        sections.append(f"## {name}\n\n{flat.to_markdown(disable_numparse=True)}\n\n{lines}\n")
    return f"{how}\n\n" + "\n".join(sections)


def _latex(how, parts) -> str:
    tables = []
    for name, table, told in parts:
        caption = _escaped(f"{name}. {how} {' '.join(told)}")
        style = table.style.format(lambda text: text.replace("±", r"$\pm$"))
        style = style.format_index(_escaped, axis=0).format_index(_escaped, axis=1)
        tables.append(
            style.to_latex(
                caption=caption,
                hrules=True,
                multicol_align="c",
                position_float="centering",
                column_format="l" + "r" * table.shape[1],
            )  # fmt: skip
        )
    return "% \\usepackage{booktabs}\n" + "\n".join(tables)


def _escaped(text: str) -> str:
    return text.translate(IN_LATEX)


def _page(how, parts) -> str:
    body = "\n".join(
        f'<h2>{html.escape(name)}</h2>\n<div class="table">{table.to_html(border=0)}</div>\n<ul>'
        + "".join(f"<li>{html.escape(note)}</li>" for note in told)
        + "</ul>"
        for name, table, told in parts
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>eacbook table</title>'
        f"<style>{PAGE_STYLE}{WIDE}</style></head><body>\n<h1>Methods under wrong labels</h1>\n"
        f"<p>{html.escape(how)}</p>\n{body}\n</body></html>\n"
    )
