"""Fills the stored results into README and the sources of the notebooks: nobody types a number twice.

    python benchmarks/fill.py

A place begins with the line ``<!-- filled: NAME -->`` and ends with ``<!-- end -->``. In the source of a
notebook both are comments. ``benchmarks/README.md`` has the commands that wrote the CSV files. A test
fails if a place does not hold what is computed here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from ferplus_h100 import markdown as real_faces

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PLACES = (ROOT / "README.md", *sorted((ROOT / "notebooks" / "source").glob("[0-9]*.py")))
TITLES = {
    "baseline": "baseline",
    "coteaching": "Co-teaching (knows the true rate)",
    "scn": "SCN",
    "rul": "RUL",
    "elr": "ELR",
    "resup": "ReSup",
    "eac": "EAC",
}
VARIANTS = {
    "eac": "EAC, whole",
    "eac:erasing=false": "without erasing",
    "eac:labels_on_both_views=true": "labels on both views",
    "eac:one_pass=true": "one pass for both views",
    "eac:shared_erasing=true": "the same rectangle erased in both views",
    "eac:weight=0": "weight 0: no consistency",
    "eac:weight=7.5": "weight 7.5: five times ours",
    "baseline": "baseline",
}
IN_CODE = ("every seed", "ablation")
"""Places in code cells, whose lines are no comments."""
MARK = re.compile(
    r"^(?P<prefix>#? ?)<!-- filled: (?P<name>[a-z ]+) -->\n(?P<old>.*?)^#? ?<!-- end -->$",
    re.DOTALL | re.MULTILINE,
)


def cells(name: str) -> pd.DataFrame:
    """The results of a grid, a row for each training, with the figures in percent."""
    table = pd.read_csv(RESULTS / f"{name}.csv")
    figures = ["test_accuracy", "test_accuracy_best", "memorised"]
    table[figures] *= 100
    return table


def mean_and_spread(values: pd.Series) -> str:
    spread = f" ± {values.std():.1f}" if len(values) > 1 else ""
    return f"{values.mean():.1f}{spread}"


def grid(table: pd.DataFrame) -> list[str]:
    """A Markdown table: a row for each method, two columns for each kind of noise.

    The best mean of a column is in bold: the largest accuracy, the fewest memorised labels.
    """
    methods = [name for name in TITLES if name in set(table["method"])]
    figures = {"test_accuracy": "accuracy", "memorised": "memorised"}
    columns, rows = [], {name: [TITLES[name]] for name in methods}
    for noise, of_noise in table.groupby("noise", sort=False):
        title = noise.removesuffix(" wrong labels")
        for figure, word in figures.items():
            columns.append(f"{title}: {word}" if word == "accuracy" else word)
            means = of_noise.groupby("method")[figure].mean().reindex(methods)
            winner = means.idxmax() if figure == "test_accuracy" else means.idxmin()
            for name in methods:
                text = mean_and_spread(of_noise.loc[of_noise["method"] == name, figure])
                rows[name].append(f"**{text}**" if name == winner else text)
    head = ["| wrong labels | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
    return head + ["| " + " | ".join(row) + " |" for row in rows.values()]


def headline() -> list[str]:
    """The README's table."""
    return grid(cells("table"))


def every_seed() -> list[str]:
    """The test accuracy of every seed, for notebook 7: the mean of the last epochs, and the best."""
    table = cells("table")
    seeds = sorted(table["seed"].unique())
    names = [f"{kind}_{seed}" for kind in ("last", "best") for seed in seeds]
    lines = ["rate method     " + " ".join(names)]
    for (rate, method), group in table.groupby(["rate", "method"], sort=False):
        group = group.set_index("seed").loc[seeds]
        values = [*group["test_accuracy"], *group["test_accuracy_best"]]
        lines.append(f"{rate:.0%}  {method:<11} " + "  ".join(f"{value:.2f}" for value in values))
    return ['CELLS = """', *lines, '"""']


def where_each_fails() -> list[str]:
    """60 % symmetric noise, 40 % pair noise, and real annotators, for notebook 6."""
    parts = [cells(name) for name in ("table_high", "table_pair", "table_annotator")]
    titles = ("60 % symmetric", "40 % pair", "FERPlus, one annotator")
    named = [part.assign(noise=title) for part, title in zip(parts, titles, strict=True)]
    return grid(pd.concat(named))


def ablation() -> list[str]:
    """The variants of EAC for notebook 6: each seed's accuracy, and the mean of what is memorised."""
    table = cells("ablation")
    lines = ["ABLATION = {"]
    for method, title in VARIANTS.items():
        of_variant = table[table["method"] == method].sort_values("seed")
        accuracies = ", ".join(f"{value:.1f}" for value in of_variant["test_accuracy"])
        lines.append(f'    "{title}": ([{accuracies}], {of_variant["memorised"].mean():.0f}),')
    return [*lines, "}"]


def clean_labels() -> list[str]:
    """The accuracy without any wrong label, for notebook 6."""
    table = cells("table_clean")
    lines = ["| | accuracy with clean labels |", "|---|---|"]
    for method in TITLES:
        of_method = table.loc[table["method"] == method, "test_accuracy"]
        lines.append(f"| {TITLES[method]} | {mean_and_spread(of_method)} |")
    return lines


FILLED: dict[str, Callable[[], list[str]]] = {
    "headline": headline,
    "every seed": every_seed,
    "where each fails": where_each_fails,
    "ablation": ablation,
    "clean labels": clean_labels,
    "real faces": lambda: real_faces().splitlines(),
}


def fill(text: str) -> str:
    """The text with every place filled."""

    def filled(found: re.Match) -> str:
        prefix, name = found["prefix"], found["name"]
        lines = FILLED[name]()
        of_lines = "" if name in IN_CODE else prefix
        return "\n".join([
            f"{prefix}<!-- filled: {name} -->",
            *(f"{of_lines}{line}" for line in lines),
            f"{prefix}<!-- end -->",
        ])  # fmt: skip

    return MARK.sub(filled, text)


def main() -> None:
    for path in PLACES:
        text = path.read_text(encoding="utf-8")
        if (filled := fill(text)) != text:
            path.write_text(filled, encoding="utf-8", newline="\n")
            print(f"filled {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
