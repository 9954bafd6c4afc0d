"""Numbers of README and notebooks are those of the results in benchmarks/."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_number_of_a_grid_is_that_of_its_csv_file(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    module = runpy.run_path(str(ROOT / "benchmarks" / "fill.py"))
    texts = [path.read_text(encoding="utf-8") for path in module["PLACES"]]
    for text in texts:
        assert module["fill"](text) == text, "run python benchmarks/fill.py"
    assert all(
        any(f"<!-- filled: {name} -->" in text for text in texts) for name in module["FILLED"]
    )
    wrong = texts[0].replace("| baseline | 89.6", "| baseline | 98.6")
    assert wrong != texts[0] and module["fill"](wrong) == texts[0]


def test_the_table_of_real_faces_is_that_of_the_measured_runs():
    table = runpy.run_path(str(ROOT / "benchmarks" / "ferplus_h100.py"))["markdown"]()
    assert table in (ROOT / "README.md").read_text(encoding="utf-8")
    notebook = (ROOT / "notebooks/source/08_real_faces.py").read_text(encoding="utf-8")
    at_30 = [row.removeprefix("| 30 % ") for row in table.splitlines() if row.startswith("| 30 %")]
    named = [row for row in at_30 if "weight 1" not in row]
    assert len(named) == 4 and all(f"# {row}" in notebook for row in named)


def test_the_claims_have_the_figures_of_readme_and_notebooks():
    sources = [ROOT / "README.md", *(ROOT / "notebooks/source").glob("[0-9]*.py")]
    known = " ".join(path.read_text(encoding="utf-8") for path in sources).replace("\n# ", " ")
    claims = (ROOT / "docs/claims.md").read_text(encoding="utf-8")
    figures = re.findall(r"\d+\.\d ± \d\.\d", claims)
    assert len(figures) >= 16
    assert [figure for figure in figures if figure not in known] == []
