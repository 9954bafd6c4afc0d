"""The saved notebooks come from their sources, were run top to bottom, and are true elsewhere, too."""

import ast
import re
from pathlib import Path

import pytest
from conftest import NOTEBOOKS, notebook_script, read_notebook

SOURCES = sorted((NOTEBOOKS / "source").glob("[0-9]*.py"))
LARGEST_BYTES = 800_000


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_saved_notebooks_come_from_their_source(source):
    for path, expected in notebook_script("build").build(source).items():
        saved = read_notebook(path)
        assert [cell.source for cell in saved.cells] == [cell.source for cell in expected.cells], (
            f"{path} and {source} differ: run make notebooks"
        )
        assert [cell.metadata for cell in saved.cells] == [cell.metadata for cell in expected.cells]


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", sorted(NOTEBOOKS.glob("**/[0-9]*.ipynb")), ids=lambda p: "-".join(p.parts[-2:])
)
def test_saved_notebooks_were_run_top_to_bottom(path):
    saved = read_notebook(path)
    code = [cell for cell in saved.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [o for cell in code for o in cell.outputs if o.output_type == "error"]
    assert path.stat().st_size <= LARGEST_BYTES
    assert 20 <= len(saved.cells) <= 45


@pytest.mark.slow
def test_every_picture_of_a_saved_notebook_has_an_alternative_text():
    counts = {}
    for path in NOTEBOOKS.glob("**/[0-9]*.ipynb"):
        outputs = [o for c in read_notebook(path).cells for o in c.get("outputs", [])]
        pictures = [o for o in outputs if "image/png" in o.get("data", {})]
        for output in pictures:
            text = output.metadata.get("image/png", {}).get("alt", "")
            assert len(text) > 20, f"{path}: a picture has no text: {output.data['text/plain']}"
        counts[path.parent.name] = counts.get(path.parent.name, 0) + len(pictures)
    assert counts["notebooks"] == counts["solutions"] >= 40


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_exercises_are_open_in_the_notebook_and_right_in_the_solution(source):
    outputs = {}
    for path in notebook_script("build").build(source):
        saved = read_notebook(path)
        texts = [o.text for c in saved.cells for o in c.get("outputs", []) if "text" in o]
        outputs[path.parent.name] = "".join(texts)
    exercises = source.read_text().count("# <solution>")
    assert outputs["notebooks"].count("Not yet") == exercises
    assert outputs["solutions"].count("Right!") == exercises


TRAINS = {"book_run", "find_or_train", "run_grid", "train"}
"""Whatever these return differs from processor to processor in its last digits, or by points."""
SAME_EVERYWHERE = {"shape", "noisy", "given", "true", "wrong"}
"""Of what a run holds: labels, and sizes."""
SETTLED = {"len", "claim", "allclose", "equal", "show", "check_best_epoch"}
"""What these make of trained numbers is the same everywhere, or is not compared."""


class Trained:
    """Follows trained numbers through the cells of a notebook, to where they are shown.

    Attributes:
        names: of what holds them.
        shown: the lines of cells whose output nbval compares that show one.
    """

    def __init__(self):
        self.names, self.shown = set(), []

    def run(self, code: str, compared: bool) -> None:
        body = ast.parse(code).body
        for statement in body:
            self._statement(statement, compared)
        last = body[-1].value if body and isinstance(body[-1], ast.Expr) else None
        if compared and last is not None and not self._shows_nothing(last) and self.trained(last):
            self.shown.append(ast.unparse(last))

    def trained(self, node: ast.AST) -> bool:
        match node:
            case ast.Name():
                return node.id in self.names | TRAINS
            case ast.Attribute(attr=attribute) if attribute in SAME_EVERYWHERE:
                return False
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in SETTLED:
                return False
            case ast.Attribute(value=ast.Name(id="eb")):
                return node.attr in TRAINS
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                before = set(self.names)
                for loop in node.generators:
                    self._bind_loop(loop.target, loop.iter)
                found = any(map(self.trained, ast.iter_child_nodes(node)))
                self.names = before
                return found
        return any(map(self.trained, ast.iter_child_nodes(node)))

    def _statement(self, node: ast.stmt, compared: bool) -> None:
        match node:
            case ast.FunctionDef():
                if any(self.trained(inner) for inner in node.body) or self._trains(node):
                    self.names.add(node.name)
                return
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._bind(target, self.trained(value))
            case ast.For(target=target, iter=iterable):
                self._bind_loop(target, iterable)
            case ast.If(test=test) if self.trained(test):
                self.shown += [ast.unparse(inner) for inner in node.body if compared]
        for call in ast.walk(node) if compared and isinstance(node, ast.Expr) else ():
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in {
                "print",
                "display",
                "say",
            }:
                self.shown += [ast.unparse(call)] if any(map(self.trained, call.args)) else []
        for inner in [*getattr(node, "body", []), *getattr(node, "orelse", [])]:
            self._statement(inner, compared)

    @staticmethod
    def _trains(node: ast.AST) -> bool:
        """Whether a training stands in the code itself: somebody calls ``backward``."""
        return any(isinstance(n, ast.Attribute) and n.attr == "backward" for n in ast.walk(node))

    def _bind(self, target: ast.expr, trained: bool) -> None:
        for name in ast.walk(target):
            if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                (self.names.add if trained else self.names.discard)(name.id)
        if trained and isinstance(target, ast.Subscript):
            self.names.add(target.value.id)

    def _bind_loop(self, target: ast.expr, iterable: ast.expr) -> None:
        trained = self.trained(iterable)
        self._bind(target, trained)
        if isinstance(iterable, ast.Call) and getattr(iterable.func, "attr", "") == "items":
            self._bind(target.elts[0], False)  # a key

    @staticmethod
    def _shows_nothing(last: ast.expr) -> bool:
        name = getattr(last.func, "id", "") if isinstance(last, ast.Call) else ""
        return name in {"print", "display", "say", "claim"} or name.startswith("check_")


def read(source: Path):
    import jupytext

    return jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent")


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_output_that_is_compared_holds_a_trained_number(source):
    trained = Trained()
    for cell in read(source).cells:
        if cell.cell_type == "code":
            code = re.sub(r"^ *[%!].*", "    pass", cell.source, flags=re.MULTILINE)
            trained.run(code, "nbval-ignore-output" not in cell.metadata.get("tags", []))
    assert trained.shown == []
    assert trained.names or source.name.startswith("01")


def test_trained_numbers_are_followed_to_where_they_are_shown():
    trained = Trained()
    trained.run("def run_of(m):\n    return book_run(m)\nruns = {'eac': run_of(eb.EAC())}", True)
    trained.run(
        "a = [r.summary for name, r in runs.items()]\nfor name, r in runs.items(): print(name)",
        True,
    )
    trained.run("print(f'{a[0]:.1f}')", False)
    assert trained.shown == [] and trained.names == {"run_of", "runs", "a", "r"}
    for code in ("print(f'{a[0]:.1f}')", "a", "b = {}\nb[1] = min(a)\nb", "if a: print('more')"):
        trained.run(code, True)
    assert len(trained.shown) == 4
    trained.run("claim('It holds.', a[0], above=1)\nprint(len(a), r.noisy.rate)", True)
    assert len(trained.shown) == 4
    trained.run("def fit(x):\n    loss(x).backward()\n    return x\nprint(fit(1))", True)
    assert len(trained.shown) == 5


FIGURE = re.compile(r"(\d+(?:\.\d+)?)(?: ± [\d.]+)? (?:%|points?\b|nats\b)")
ORIGIN = re.compile(r"saved run|our processors|eacbook table|benchmarks/|FERPlus|paper")


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [path for path in SOURCES if path.name[:2] not in {"01", "07"}],
    ids=lambda path: path.stem,
)
def test_a_figure_in_the_prose_says_where_it_comes_from(source):
    """Whole tens are the rates that the text speaks of. (1 trains nothing; 7 reads a stored table.)"""
    for cell in read(source).cells:
        if cell.cell_type == "markdown":
            for paragraph in re.split(r"\n\n|\n(?=\* |\d\. )", cell.source):
                text = " ".join(paragraph.split())
                odd = [figure for figure in FIGURE.findall(text) if float(figure) % 10]
                assert not odd or ORIGIN.search(text) or text.startswith("|"), text
