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
from ferplus_h100 import summaries
from results import RESULTS, stored
from scipy.stats import t

from eacbook.experiments.tables import STOPPED

ROOT = Path(__file__).parents[1]
PLACES = (
    ROOT / "README.md",
    ROOT / "benchmarks" / "README.md",
    ROOT / "docs" / "audit.md",
    ROOT / "docs" / "claims.md",
    ROOT / "docs" / "teaching.md",
    *sorted((ROOT / "notebooks" / "source").glob("[0-9]*.py")),
)
TITLES = {
    "baseline": "baseline",
    STOPPED: f"{STOPPED} (sees right labels)",
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
    "eac:weight=25": "weight 25: five times this network's",
    "baseline": "baseline",
}
AUDITED = {"drawn": "synthetic faces", "digits": "written digits", "ferplus": "FERPlus"}
OURS = {
    "EAC: doubt": "doubt",
    "EAC: mean loss": "mean loss",
    "EAC: neighbours": "neighbours",
    "EAC: mean rank of all three": "all three",
}
ANNOTATORS_WRONG = 0.17
"""The share of the annotators' answers that are not the majority's."""
IN_CODE = ("every seed", "rates", "ablation")
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


def of_methods(name: str) -> pd.DataFrame:
    """The results of a grid without the baseline that is stopped early, which is no method."""
    table = cells(name)
    return table[table["method"] != STOPPED]


def known(table: pd.DataFrame, titles: dict[str, str]) -> list[str]:
    """The methods of a table that have a title, in the order of the titles."""
    return [name for name in titles if name in set(table["method"])]


def mean_and_spread(values: pd.Series) -> str:
    spread = f" ± {values.std():.1f}" if len(values) > 1 else ""
    return f"{values.mean():.1f}{spread}"


def grid(table: pd.DataFrame, titles: dict[str, str] = TITLES) -> list[str]:
    """A Markdown table: a row for each method, two columns for each kind of noise.

    The best mean of a column is in bold: the largest accuracy, the fewest memorised labels.
    """
    methods = known(table, titles)
    figures = {"test_accuracy": "accuracy", "memorised": "memorised"}
    columns, rows = [], {name: [titles[name]] for name in methods}
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
    table = of_methods("table")
    seeds = sorted(table["seed"].unique())
    names = [f"{kind}_{seed}" for kind in ("last", "best") for seed in seeds]
    lines = ["rate method     " + " ".join(names)]
    for (rate, method), group in table.groupby(["rate", "method"], sort=False):
        group = group.set_index("seed").loc[seeds]
        values = [*group["test_accuracy"], *group["test_accuracy_best"]]
        lines.append(f"{rate:.0%}  {method:<11} " + "  ".join(f"{value:.2f}" for value in values))
    return ['CELLS = """', *lines, '"""']


def paired() -> list[str]:
    """EAC minus every other method, seed by seed, with the limit of Student's t at 5 %."""
    table = cells("table")
    accuracy = table.pivot(index=["rate", "seed"], columns="method", values="test_accuracy")
    rates = list(accuracy.index.levels[0])
    count = len(accuracy.index.levels[1])
    head = ["EAC minus", *(f"{100 * rate:.0f} %" for rate in rates)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name in known(table[table["method"] != "eac"], TITLES):
        row = [name]
        for rate in rates:
            gains = (accuracy["eac"] - accuracy[name]).loc[rate]
            error = gains.std() / count**0.5
            text = f"{gains.mean():+.1f} ± {error:.1f} ({(gains > 0).sum()} of {count})"
            row.append(f"**{text}**" if abs(gains.mean()) > limit(count) * error else text)
        lines.append("| " + " | ".join(row) + " |")
    return lines


def limit(count: int) -> float:
    """How many standard errors a mean of ``count`` differences must have to be seen at 5 %."""
    return t.ppf(0.975, count - 1)


def methods_of_the_paper() -> list[str]:
    """The accuracy of the paper's four methods, for the page of the claims."""
    methods = ("baseline", "scn", "rul", "eac")
    accuracies = {
        f"synthetic, {100 * rate:.0f} %": of_rate.groupby("method")["test_accuracy"].apply(list)
        for rate, of_rate in cells("table").groupby("rate")
    }
    photographs = summaries()
    accuracies["photographs, 30 %"] = {
        name: [100 * run["test_accuracy"] for run in photographs[name, 0.3]] for name in methods
    }
    lines = ["| | " + " | ".join(TITLES[name] for name in methods) + " |", "|---" * 5 + "|"]
    for title, of_row in accuracies.items():
        values = {name: pd.Series(of_row[name]) for name in methods}
        best = max(methods, key=lambda name: values[name].mean())
        texts = {name: mean_and_spread(values[name]) for name in methods}
        texts[best] = f"**{texts[best]}**"
        lines.append(f"| {title} | " + " | ".join(texts.values()) + " |")
    return lines


def later_relabelling() -> list[str]:
    """SCN that changes labels later, or never, beside the one of the full grid with the same seeds."""
    later = cells("table_scn")
    now = cells("table")
    now = now[(now["method"] == "scn") & now["seed"].isin(later["seed"])]
    titles = {"scn": "from epoch 10", "scn:relabel_epoch=20": "from epoch 20",
              "scn:relabel_epoch=31": "never"}  # fmt: skip
    both = pd.concat([now[now["rate"].isin(later["rate"])], later])
    return grid(both, {name: f"SCN, {title}" for name, title in titles.items()})


def where_each_fails() -> list[str]:
    """60 % symmetric noise, 40 % pair noise, and real annotators, for notebook 6."""
    high, pair = of_methods("table_rates"), of_methods("table_pair")
    parts = {
        "60 % symmetric": high[high["rate"] == 0.6],
        "40 % pair": pair[pair["rate"] == 0.4],
        "FERPlus, one annotator": of_methods("table_annotator"),
    }
    return grid(pd.concat([part.assign(noise=title) for title, part in parts.items()]))


def rates() -> list[str]:
    """Mean and spread of the accuracy at every rate, for the figure of notebook 6, in percent."""
    panels = {
        "symmetric": pd.concat([of_methods("table"), of_methods("table_rates")]),
        "pair": of_methods("table_pair"),
        "annotators": of_methods("table_annotator").assign(rate=ANNOTATORS_WRONG),
    }
    lines = ["RATES = {"]
    for title, table in panels.items():
        lines.append(f'    "{title}": {{')
        for method in known(table, TITLES):
            of_method = table[table["method"] == method].groupby("rate")["test_accuracy"]
            figures = ", ".join(
                f"{100 * rate:.0f}: ({values.mean():.1f}, {values.std():.1f})"
                for rate, values in of_method
            )
            lines.append(f'        "{method}": {{{figures}}},')
        lines.append("    },")
    return [*lines, "}"]


def ablation() -> list[str]:
    """The variants of EAC for notebook 6: each seed's accuracy, and the mean of what is memorised."""
    table = cells("ablation")
    lines = ["ABLATION = {"]
    for method in known(table, VARIANTS):
        title = VARIANTS[method]
        of_variant = table[table["method"] == method].sort_values("seed")
        accuracies = ", ".join(f"{value:.1f}" for value in of_variant["test_accuracy"])
        lines.append(f'    "{title}": ([{accuracies}], {of_variant["memorised"].mean():.0f}),')
    return [*lines, "}"]


def ablation_on_photographs() -> list[str]:
    """The variants of EAC on FERPlus, with dlib's network and 12 epochs on a laptop."""
    return grid(cells("table_faces"), VARIANTS)


def later_on_photographs() -> list[str]:
    """The methods that are told nothing, on the same faces."""
    return grid(cells("table_faces"))


def clean_labels() -> list[str]:
    """The accuracy without any wrong label, for notebook 6."""
    table = of_methods("table_rates")
    table = table[table["rate"] == 0]
    lines = ["| | accuracy with clean labels |", "|---|---|"]
    for method in known(table, TITLES):
        of_method = table.loc[table["method"] == method, "test_accuracy"]
        lines.append(f"| {TITLES[method]} | {mean_and_spread(of_method)} |")
    return lines


def audits() -> dict[tuple[str, str], pd.DataFrame]:
    """For each set and kind of noise of ``audit.json``: a row a seed, a column a score."""
    found: dict[tuple[str, str], list[dict]] = {}
    for setting in stored("audit"):
        where, _, rest = setting["setting"].partition("-")
        if where not in AUDITED:
            continue
        scores = {row["score"]: row for row in setting["rows"]}
        values = {name: row.get("average precision") for name, row in scores.items()}
        theirs = [
            name for name in scores if name.startswith("cleanlab") and values[name] is not None
        ]
        best = max(theirs, key=lambda name: values[name])
        found.setdefault((where, rest.rpartition("-")[0]), []).append({
            **values, "best": values[best],
            "seconds": scores[best]["seconds"] / scores["EAC: doubt"]["seconds"],
        })  # fmt: skip
    return {key: pd.DataFrame(rows) for key, rows in found.items()}


def audit() -> list[str]:
    """Average precision of eacbook's and cleanlab's scores, for the guide of the audit."""
    head = ["pictures", "wrong labels", "seeds", *OURS.values(), "cleanlab's best", "doubt is ahead",
            "their seconds / ours"]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for (where, kind), table in audits().items():
        ahead = int((table["EAC: doubt"] > table["best"]).sum())
        row = [AUDITED[where], kind_of_noise(kind), str(len(table))]
        row += [f"{table[name].mean():.3f}" for name in [*OURS, "best"]]
        row += [f"{ahead} of {len(table)}", f"{table['seconds'].mean():.1f}"]
        lines.append("| " + " | ".join(row) + " |")
    return lines


def trials() -> list[str]:
    """What the self-test said of the planted labels, and what then was true of the others."""
    tried = [
        pd.DataFrame(setting["rows"])
        for setting in stored("audit")
        if setting["setting"].startswith("self-test")
    ]
    lines = [
        "| part of the list | planted labels found | other wrong labels found | in the interval |",
        "|---|---|---|---|",
    ]
    for first, rows in pd.concat(tried).groupby("first"):
        planted, true = (rows["found"] / rows["planted"]).mean(), rows["truth"].mean()
        shares = [f"first {100 * first:.0f} %", f"{100 * planted:.0f} %", f"{100 * true:.0f} %"]
        held = f"{rows['within'].sum()} of {len(rows)}"
        lines.append("| " + " | ".join([*shares, held]) + " |")
    return lines


def three_figures(runs: pd.DataFrame) -> list[str]:
    """Mean and spread over the seeds, in percent."""
    names = ("validation_accuracy", "test_accuracy", "memorised")
    return [mean_and_spread(100 * runs[name]) for name in names]


def laptop() -> list[str]:
    """The trials of dlib's network on a CPU; the seconds are those of the last seed."""
    head = ["trial", "method", "seeds", "validation", "test", "memorised", "seconds of a seed"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    rows = pd.DataFrame(stored("laptop"))
    for (trial, method), runs in rows.groupby(["trial", "method"], sort=False):
        row = [
            trial,
            TITLES[method],
            str(len(runs)),
            *three_figures(runs),
            f"{runs['seconds'].iloc[-1]:.0f}",
        ]
        lines.append("| " + " | ".join(row) + " |")
    return lines


def demo() -> list[str]:
    """What EAC gains in the demo, in points, with each kind of kernels."""
    kernels = {"native": "AVX-512", "avx2": "AVX2", "default": "any processor (PyTorch's plainest)"}
    rows = pd.DataFrame(stored("demo"))
    gains = rows.pivot_table("test_accuracy", ["setting", "seed"], "method")
    gains = 100 * (gains["eac"] - gains["baseline"]).unstack()
    lines = [
        "| kernels for | " + " | ".join(f"seed {seed}" for seed in gains) + " |",
        "|---" * (1 + len(gains.columns)) + "|",
    ]
    for setting, name in kernels.items():
        lines.append(
            f"| {name} | " + " | ".join(f"{gain:.1f}" for gain in gains.loc[setting]) + " |"
        )
    return lines


def book() -> list[str]:
    """How long each notebook takes, in seconds."""
    lines = [
        "| notebook | first picture | to the end | the slowest cell | to the end, with stored runs |",
        "|---|---|---|---|---|",
    ]
    for name, runs in pd.DataFrame(stored("notebooks")).groupby("notebook"):
        new, again = (runs[runs["stored"] == there].iloc[0] for there in (False, True))
        row = new["first_picture"], new["whole"], new["slowest_cell"], again["whole"]
        lines.append(f"| {name} | " + " | ".join(f"{seconds:.0f}" for seconds in row) + " |")
    return lines


def settings() -> list[str]:
    """What was tried on validation faces: the settings of every method, and ideas."""
    head = ["trial", "validation", "test", "memorised"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for trial, runs in pd.DataFrame(stored("settings")).groupby("trial", sort=False):
        lines.append("| " + " | ".join([trial, *three_figures(runs)]) + " |")
    return lines


def kind_of_noise(name: str) -> str:
    kind, _, percent = name.partition("-")
    return f"{percent} % {kind}" if percent else "annotators'"


FILLED: dict[str, Callable[[], list[str]]] = {
    "headline": headline,
    "every seed": every_seed,
    "paired": paired,
    "methods of the paper": methods_of_the_paper,
    "audit": audit,
    "trials": trials,
    "later relabelling": later_relabelling,
    "where each fails": where_each_fails,
    "rates": rates,
    "ablation": ablation,
    "ablation on photographs": ablation_on_photographs,
    "later on photographs": later_on_photographs,
    "clean labels": clean_labels,
    "laptop": laptop,
    "book": book,
    "demo": demo,
    "settings": settings,
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

    text, count = MARK.subn(filled, text)
    if count != text.count("<!-- filled: "):
        raise ValueError(
            "a place to fill has another form than <!-- filled: a name --> ... <!-- end -->"
        )
    return text


def main() -> None:
    for path in PLACES:
        text = path.read_text(encoding="utf-8")
        if (filled := fill(text)) != text:
            path.write_text(filled, encoding="utf-8", newline="\n")
            print(f"filled {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
