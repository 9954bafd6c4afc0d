"""Make slides from the saved notebooks; each is one HTML file that needs no network.

    python notebooks/source/slides.py --out slides        # all of them
    python notebooks/source/slides.py 02 --out slides     # one

A heading begins a slide. It has the predictions, formulas, lists and tables below the heading. The
other text becomes speaker notes (key S). Below it come the outputs of every cell, a slide for each
picture or table. Code is left out.
reveal.js and MathJax are inside the file; the extra ``docs`` brings them.
"""

from __future__ import annotations

import argparse
import html
import re
from importlib.metadata import distribution
from pathlib import Path

import nbformat
from nbconvert.filters import markdown2html

NOTEBOOKS = Path(__file__).parents[1]
REVEAL = "sphinx_revealjs/_static/revealjs"
MATHJAX = "sphinx-mathjax-offline/static/mathjax/tex-svg.js"
SHOWN = re.compile(
    r"\*\*Predict|\*\*You will learn|^\s*\$\$|^\s*[*|]\s|^\s*\d+\. |^\|", re.MULTILINE
)
"""A paragraph that stands on a slide; every other one is a note."""
FEW = 250
"""So many characters of text have room beside a picture."""

STYLE = """
.reveal { font-size: 30px } .anchor-link { display: none } .reveal section { text-align: left }
.reveal h1, .reveal h2, .reveal h3 { text-transform: none; text-align: left }
.reveal h1 { font-size: 2em } .reveal h2 { font-size: 1.6em } .reveal h3 { font-size: 1.3em }
.reveal section img { margin: 0 auto; display: block; width: 100%; height: 560px;
  object-fit: contain }
.reveal .slides section section { max-height: 790px; overflow-y: auto }
.reveal pre { width: 100%; font-size: 22px; box-shadow: none } .reveal table { font-size: 24px }
"""
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{style}</style></head>
<body><div class="reveal"><div class="slides">
{slides}
</div></div>
<script>MathJax = {{tex: {{inlineMath: [["$", "$"]]}}, options: {{enableMenu: false}}}}</script>
<script>{mathjax}</script><script>{reveal}</script><script>{notes}</script>
<script>Reveal.initialize({{width: 1280, height: 800, margin: 0.06, hash: true, plugins: [RevealNotes]}})
</script></body></html>
"""


def slides_of(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """The slides of a notebook as HTML: one list for each heading, its outputs below it."""
    stacks: list[list[str]] = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for part in re.split(r"^(?=#+ )", cell.source, flags=re.MULTILINE):
                if part.startswith("#"):
                    stacks.append([_text_slide(part)])
                elif part.strip():
                    stacks[-1].append(_text_slide(part))
        else:
            stacks[-1].extend(_result_slides(cell.outputs))
    return [[slide for slide in stack if slide] for stack in stacks]


def _result_slides(outputs: list[nbformat.NotebookNode]) -> list[str]:
    """The outputs of a cell: a slide for each picture or table, with a few lines above it."""
    slides, room = [""], True
    for output in outputs:
        if not (part := _output(output)):
            continue
        large = not {"image/png", "text/html"}.isdisjoint(output.get("data", {}))
        if not room or (large and len(slides[-1]) > FEW):
            slides.append("")
        slides[-1] += part
        room = not large
    return slides


def _text_slide(markdown: str) -> str:
    """The paragraphs that are shown, and the others as notes; empty if nothing is shown.

    Below a heading something is shown in any case.
    """
    text = [part for part in re.split(r"\n\n+", markdown.strip()) if "colab-badge" not in part]
    shown = [part for part in text if part.startswith("#") or SHOWN.search(part)]
    if len(shown) == 1 and shown[0].startswith("#"):
        shown = text[:2]
    if not shown:
        return ""
    joined, notes = (
        "\n\n".join(part for part in text if (part in shown) == stands) for stands in (True, False)
    )
    return f'{markdown2html(joined)}<aside class="notes">{markdown2html(notes)}</aside>'


def _output(output: nbformat.NotebookNode) -> str:
    data = output.get("data", {})
    if (
        "text/html" in data
    ):  # a table, the quiz, or the map of the features: it is alive in the slide
        own = (
            "<b>Your prediction</b>" in data["text/html"]
        )  # a reader's field; the question is shown
        return "" if own else data["text/html"]
    if "image/png" in data:
        alternative = output.metadata.get("image/png", {}).get("alt", "")
        picture = data["image/png"].replace("\n", "")
        return f'<img alt="{html.escape(alternative)}" src="data:image/png;base64,{picture}">'
    if "text/markdown" in data:
        return markdown2html(data["text/markdown"])
    text = output.get("text", data.get("text/plain", ""))
    return f"<pre>{html.escape(text)}</pre>" if text and not text.startswith("Not yet") else ""


def page(notebook: nbformat.NotebookNode, title: str) -> str:
    """One HTML page with everything inside."""
    files = {
        name: distribution("sphinx-revealjs").locate_file(f"{REVEAL}/{path}").read_text("utf-8")
        for name, path in (
            ("reveal", "dist/reveal.js"),
            ("notes", "plugin/notes/notes.js"),
            ("style", "dist/reveal.css"),
            ("theme", "dist/theme/white.css"),
        )
    }
    # The theme asks for fonts that stand in other files.
    theme = re.sub(r"@import url\([^)]*\);?", "", files["theme"])
    slides = "\n".join(
        f"<section>{''.join(f'<section>{slide}</section>' for slide in stack)}</section>"
        for stack in slides_of(notebook)
    )
    return PAGE.format(
        title=html.escape(title),
        style=files["style"] + theme + STYLE,
        slides=slides,
        mathjax=distribution("sphinx-mathjax-offline").locate_file(MATHJAX).read_text("utf-8"),
        reveal=files["reveal"],
        notes=files["notes"].replace("</script>", r"<\/script>"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Make slides from the saved notebooks.")
    parser.add_argument("names", nargs="*", metavar="NN", help="beginnings of names (all)")
    parser.add_argument("--out", type=Path, required=True, help="the folder for the slides")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        if options.names and not path.name.startswith(tuple(options.names)):
            continue
        written = options.out / f"{path.stem}.slides.html"
        written.write_text(page(nbformat.read(path, as_version=4), path.stem), encoding="utf-8")
        print(written)


if __name__ == "__main__":
    main()
