"""Make the notebooks from their sources, and run them.

    python notebooks/source/build.py              # all of them
    python notebooks/source/build.py --no-run 01  # one, without running it

A source ``NN_name.py`` is a notebook in jupytext's percent format that holds the solution of every
exercise between ``# <solution>`` and ``# </solution>``; what stands behind the first is left for the
reader, ``...`` by default. Two notebooks come out of it, so that the two
cannot drift: ``notebooks/NN_name.ipynb`` with a gap in place of each solution, and
``notebooks/solutions/NN_name.ipynb``. Both are run top to bottom on a fresh kernel. The pictures of
plotly figures are taken by kaleido, which needs Chrome or Chromium.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import re
from pathlib import Path

import jupytext
import nbformat
import plotly.io
from nbclient import NotebookClient
from PIL import Image

from eacbook.book.pictures import saved
from eacbook.plots.figures import description, still
from eacbook.plots.pictures import DESCRIPTION, png

SOURCES = Path(__file__).parent
NOTEBOOKS = SOURCES.parent
SOLUTIONS = NOTEBOOKS / "solutions"
SOLUTION = re.compile(r"^( *)# <solution>(.*?)\n(.*?)^ *# </solution>\n?", re.MULTILINE | re.DOTALL)
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"


def build(source: Path) -> dict[Path, nbformat.NotebookNode]:
    """The notebooks of one source, not yet run, by the path where each belongs."""
    text = source.read_text(encoding="utf-8")
    name = source.with_suffix(".ipynb").name
    if "# <solution>" not in text:
        raise SystemExit(f"{source.name} has no exercise")
    return {
        NOTEBOOKS / name: _notebook(SOLUTION.sub(_gap, text)),
        SOLUTIONS / name: _notebook(_one_up(SOLUTION.sub(r"\3", text))),
    }


def _one_up(text: str) -> str:
    """The solutions share the stored runs and the badge, which lie beside the exercises."""
    return text.replace('"runs"', '"../runs"').replace("(colab-badge.svg)", "(../colab-badge.svg)")


def _gap(solution: re.Match) -> str:
    indent, left = solution[1], solution[2].strip() or "..."
    return f"{indent}{left}  # your code here\n"


def _notebook(text: str) -> nbformat.NotebookNode:
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for place, cell in enumerate(notebook.cells):
        cell.id = f"cell-{place:02d}"
    return notebook


def run(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Run a notebook top to bottom on a fresh kernel and keep what a reader without one can see."""
    os.environ["PLOTLY_RENDERER"] = "plotly_mimetype"
    NotebookClient(
        notebook, timeout=1800, startup_timeout=600, resources={"metadata": {"path": str(folder)}}
    ).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _is_progress(output)]
            for output in cell.outputs:
                _add_picture(output)
    notebook.metadata.pop("widgets", None)


def _is_progress(output: nbformat.NotebookNode) -> bool:
    """Progress bars are for whoever is waiting."""
    data = output.get("data", {})
    return output.get("name") == "stderr" or (WIDGET in data and "image/png" not in data)


def _add_picture(output: nbformat.NotebookNode) -> None:
    """Code hosts show no plotly figure, so a picture of it goes beside it, with a text for the blind."""
    data = output.get("data", {})
    if PLOTLY in data:
        figure = plotly.io.from_json(json.dumps(data[PLOTLY]), skip_invalid=True)
        shown = still(figure)
        picture = Image.open(
            io.BytesIO(shown.to_image("png", width=900, height=shown.layout.height))
        )
        picture.info[DESCRIPTION] = description(figure)
        content, metadata = saved(png(picture))
        data["image/png"] = base64.b64encode(content).decode()
        output.metadata["image/png"] = metadata


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NN", help="beginnings of names (all)")
    parser.add_argument("--no-run", action="store_true", help="leave the outputs empty")
    options = parser.parse_args()
    for source in sorted(SOURCES.glob("[0-9][0-9]_*.py")):
        if options.names and not source.name.startswith(tuple(options.names)):
            continue
        for path, notebook in build(source).items():
            path.parent.mkdir(exist_ok=True)
            if not options.no_run:
                print(f"running {path}", flush=True)
                run(notebook, path.parent)
            nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
