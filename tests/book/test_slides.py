"""The slides: what stands on them, and that they need nothing outside."""

import re
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from conftest import NOTEBOOKS, notebook_script, read_notebook


@pytest.mark.slow
def test_a_heading_begins_a_slide_and_results_come_below_it():
    from nbformat import v4 as new

    picture = new.new_output("display_data", {"image/png": "AAAA"}, metadata={})
    text = new.new_output("stream", text="3 < 4")
    field = new.new_output("display_data", {"text/html": "<b>Your prediction</b> none yet"})
    open_exercise = new.new_output("stream", text="Not yet: put your code in place")
    notebook = new.new_notebook(
        cells=[
            new.new_markdown_cell("# Title\n\n![b](colab-badge.svg)\n\nFirst.\n\nSecond."),
            new.new_code_cell("import this"),
            new.new_markdown_cell("An answer.\n\n## Part\n\nSaid.\n\n**Predict.** What?"),
            new.new_code_cell("show()", outputs=[field, text, picture]),
            new.new_code_cell("check()", outputs=[open_exercise]),
        ]
    )
    first, second = notebook_script("slides").slides_of(notebook)
    (title,) = first
    shown, notes = title.split("<aside")
    assert "First." in shown and "Second." in notes and "colab-badge" not in title
    question, result = second
    shown, notes = question.split("<aside")
    assert "What?" in shown and "Said." in notes
    assert "3 &lt; 4" in result and "data:image/png;base64,AAAA" in result and "show" not in result
    assert "none yet" not in result


@pytest.mark.slow
@pytest.mark.parametrize("name", ["02_baseline_vs_eac", "05_features"])
def test_slides_ask_for_nothing_outside(name):
    for package in ("sphinx-revealjs", "sphinx-mathjax-offline"):
        try:
            distribution(package)
        except PackageNotFoundError:
            pytest.skip(f"no {package}: needs the extra docs")
    page = notebook_script("slides").page(read_notebook(NOTEBOOKS / f"{name}.ipynb"), name)
    body = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"@import|<link|src=\"(?!data:)|url\((?!\"?data:)", body)
    assert page.count("<section>") > 30
