"""What the site needs beyond Sphinx: figures that can be moved, tables of results, no network."""

from __future__ import annotations

import base64
import hashlib
import html
import inspect
import json
import re
from importlib.metadata import distribution
from pathlib import Path, PurePosixPath

import nbformat
import pandas
from docutils import nodes
from plotly.offline import get_plotlyjs
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective
from sphinx.util.fileutil import copy_asset_file

import eacbook as eb
from eacbook.experiments.tables import FIGURES, shown_table, summary_over_seeds

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
PICTURE = "image/png"
PLOTLY = "application/vnd.plotly.v1+json"
# One file, with its fonts as outlines. The package has them all.
MATHJAX = distribution("sphinx-mathjax-offline").locate_file(
    "sphinx-mathjax-offline/static/mathjax/tex-svg.js"
)
OURS = re.compile(
    "https://github.com/eacbook/eacbook"
    "(?:/(?:blob|tree)/main/(?P<path>[^#]+)(?P<part>#.+)?|#readme)"
)
ALTERNATIVES = "alternative_texts"
FIGURE = """<div class="plotly-figure">
<img src="data:image/png;base64,{picture}" alt="{alt}">
<script type="application/json">{figure}</script>
</div>"""


def read_notebook(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put each plotly figure of a notebook into its page, where site.js draws it over its picture.

    The other pictures become files, named by their content; their alternative texts wait under
    these names for :func:`name_pictures`.
    """
    if not docname.startswith("notebooks/"):
        return
    notebook = nbformat.reads(source[0], as_version=4)
    texts = app.env.temp_data[ALTERNATIVES] = {}
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        data = output.get("data", {})
        if PICTURE not in data:
            continue
        alt = output.metadata.get(PICTURE, {}).get("alt", "")
        if PLOTLY in data:
            picture = data[PICTURE].replace("\n", "")
            figure = json.dumps(data[PLOTLY]).replace("<", r"\u003c")
            page = FIGURE.format(picture=picture, alt=html.escape(alt), figure=figure)
            output.data = nbformat.from_dict({"text/html": page})
        else:
            texts[hashlib.sha256(base64.b64decode(data[PICTURE])).hexdigest()] = alt
    source[0] = nbformat.writes(notebook)


def name_pictures(app: Sphinx, doctree: nodes.document) -> None:
    texts = app.env.temp_data.get(ALTERNATIVES, {})
    for image in doctree.findall(nodes.image):
        if (name := PurePosixPath(image["uri"]).stem) in texts:
            image["alt"] = texts[name]


def stay_on_the_site(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Turn links to files at the repository's host into links to their pages.

    A notebook must name its neighbours in docs/ by their whole addresses, because it is also read in
    Colab. The reader of the site may have no network.
    """
    for link in doctree.findall(nodes.reference):
        if match := OURS.fullmatch(link.get("refuri", "")):
            name = (
                (match["path"] or "README").rstrip("/").removesuffix(".md").removesuffix(".ipynb")
            )
            for target in {name, f"{name}/README"} & app.env.found_docs:
                page = app.builder.get_relative_uri(docname, target)
                link["refuri"] = page + (match["part"] or "")


def plotly_where_it_is_needed(app: Sphinx, pagename, templatename, context, doctree) -> None:
    if 'class="plotly-figure"' in context.get("body", ""):
        app.add_js_file("plotly.min.js", loading_method="defer", priority=400)


class ResultsTable(SphinxDirective):
    """``{results} table.csv``: mean and spread over the seeds, from a file of benchmarks/results/."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        path = RESULTS / self.arguments[0]
        self.env.note_dependency(str(path))
        cells = pandas.read_csv(path)
        cells = cells.reindex(columns=[*cells.columns.union(FIGURES, sort=False)])  # of older runs
        table = shown_table(summary_over_seeds(cells)).to_html(border=0, classes="table")
        page = f'<div class="pst-scrollable-table-container">{table}</div>'
        return [nodes.raw("", page, format="html")]


class PublicNames(SphinxDirective):
    """``public-names``: what ``import eacbook as eb`` brings, in a table made from its own list."""

    def run(self) -> list[nodes.Node]:
        table = [".. list-table::", "   :widths: auto", ""]
        for name in sorted(eb.__all__, key=str.lower):
            thing, module = getattr(eb, name), f"eacbook.{eb._MODULE_OF[name]}"
            if callable(thing):
                module, text = thing.__module__, inspect.getdoc(thing)
            else:
                text = "\n".join(ModuleAnalyzer.for_module(module).find_attr_docs()["", name])
            summary = text.partition("\n\n")[0].replace("\n", " ")
            table += [f"   * - :py:obj:`eb.{name} <{module}.{name}>`", f"     - {summary}"]
        return self.parse_text_to_nodes("\n".join(table))


def copy_scripts(app: Sphinx, problem: Exception | None) -> None:
    if problem is None:
        static = Path(app.outdir) / "_static"
        copy_asset_file(str(MATHJAX), str(static / "mathjax.js"))
        (static / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.config.mathjax_path = "mathjax.js"
    app.connect("source-read", read_notebook)
    app.connect("doctree-read", name_pictures)
    app.connect("doctree-resolved", stay_on_the_site)
    app.connect("html-page-context", plotly_where_it_is_needed)
    app.connect("build-finished", copy_scripts)
    app.add_directive("public-names", PublicNames)
    app.add_directive("results", ResultsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
