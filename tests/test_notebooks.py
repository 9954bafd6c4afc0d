"""The saved notebooks come from their sources and were run top to bottom."""

import importlib.util
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
SOURCES = sorted((NOTEBOOKS / "source").glob("[0-9]*.py"))
LARGEST_BYTES = 2_000_000

spec = importlib.util.spec_from_file_location("build", NOTEBOOKS / "source" / "build.py")
builder = importlib.util.module_from_spec(spec)
spec.loader.exec_module(builder)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_saved_notebooks_come_from_their_source(source):
    for path, expected in builder.build(source).items():
        saved = nbformat.read(path, as_version=4)
        assert [cell.source for cell in saved.cells] == [cell.source for cell in expected.cells], (
            f"{path} and {source} differ: run make notebooks"
        )
        assert [cell.metadata for cell in saved.cells] == [cell.metadata for cell in expected.cells]


@pytest.mark.parametrize(
    "path", sorted(NOTEBOOKS.glob("**/[0-9]*.ipynb")), ids=lambda p: "-".join(p.parts[-2:])
)
def test_saved_notebooks_were_run_top_to_bottom(path):
    saved = nbformat.read(path, as_version=4)
    code = [cell for cell in saved.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [o for cell in code for o in cell.outputs if o.output_type == "error"]
    assert path.stat().st_size <= LARGEST_BYTES
    assert 20 <= len(saved.cells) <= 45


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_exercises_are_open_in_the_notebook_and_right_in_the_solution(source):
    outputs = {}
    for path in builder.build(source):
        saved = nbformat.read(path, as_version=4)
        texts = [o.text for c in saved.cells for o in c.get("outputs", []) if "text" in o]
        outputs[path.parent.name] = "".join(texts)
    exercises = source.read_text().count("# <solution>")
    assert outputs["notebooks"].count("Not yet") == exercises
    assert outputs["solutions"].count("Right!") == exercises
