"""Show the quiz of a notebook, and a reader's prediction beside the result.

Both are HTML without a script: every answer is a fold (``<details>``). So they work by keyboard, without
a kernel and without network: in JupyterLab, in Colab, in a saved notebook and on a page of the site. A
notebook that is not trusted loses the style alone. (Radio buttons with feedback by style would be gone
there. And their arrow keys would show the feedback of every answer on the way.)
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from importlib import resources

from IPython.display import HTML, display

from eacbook.errors import InputError
from eacbook.plots import palette

STYLE = f"""<style>
.eacbook-quiz {{ max-width: 46em; font-size: 1rem; line-height: 1.5 }}
.eacbook-quiz p {{ margin: .4em 0 }} .eacbook-quiz > ol > li {{ margin: 1.2em 0 }}
.eacbook-quiz details {{ margin: .3em 0; padding: .1em .7em; border-left: 4px solid {palette.GRID} }}
.eacbook-quiz summary {{ cursor: pointer }}
.eacbook-quiz summary:focus-visible {{ outline: 3px solid {palette.RIGHT}; outline-offset: 2px }}
.eacbook-quiz details.right[open] {{ border-color: {palette.RIGHT} }}
.eacbook-quiz details.wrong[open] {{ border-color: {palette.WRONG}; border-left-style: dashed }}
</style>"""


@dataclass(frozen=True)
class Answer:
    """One answer of a question, and what the reader is told who chooses it."""

    answer: str
    right: bool
    feedback: str


@dataclass(frozen=True)
class Question:
    """A question of a quiz; one of its answers is right."""

    question: str
    answers: tuple[Answer, ...]


def read_questions(notebook: str) -> tuple[tuple[Question, ...], dict[str, str]]:
    """The quiz of a notebook, and the short answers to its predictions by their name.

    Args:
        notebook: the number of the notebook, e.g. ``"02"``.

    Raises:
        InputError: there are no questions for such a notebook.
    """
    folder = resources.files("eacbook.book.quiz")
    numbers = sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".json"))
    if notebook not in numbers:
        raise InputError(f"no questions for notebook {notebook!r}; there are {', '.join(numbers)}")
    stored = json.loads(folder.joinpath(f"{notebook}.json").read_text("utf-8"))
    questions = (
        Question(entry["question"], tuple(Answer(**answer) for answer in entry["answers"]))
        for entry in stored["quiz"]
    )
    return tuple(questions), stored["predictions"]


def quiz(notebook: str) -> None:
    """Show the quiz of a notebook, e.g. ``quiz("02")``."""
    questions, _ = read_questions(notebook)
    items = "".join(_question(question) for question in questions)
    _show(
        f"<p>Choose an answer to open its feedback: a click, or Tab and Enter.</p><ol>{items}</ol>"
    )


def prediction(notebook: str, about: str, guess: str) -> None:
    """Show the reader's prediction, and a short answer under a fold.

    Args:
        notebook: the number of the notebook, e.g. ``"02"``.
        about: the name of the prediction.
        guess: what the reader predicted. It is a text in the notebook's own cell, so it is saved with
            the notebook, and Colab shows a field for it.

    Raises:
        InputError: the notebook has no such prediction.
    """
    _, answers = read_questions(notebook)
    if about not in answers:
        raise InputError(
            f"notebook {notebook} has no prediction {about!r}; it has {', '.join(answers)}"
        )
    said = (
        _text(str(guess)) if guess else "none yet. Write it between the quotes of the first line."
    )
    _show(
        f"<p><b>Your prediction</b> ({_text(about)}): {said}</p>"
        + _fold("answer", "A short answer", _text(answers[about]))
    )


def _question(question: Question) -> str:
    folds = []
    for answer in question.answers:
        kind, verdict = ("right", "✓ Right.") if answer.right else ("wrong", "✗ Not quite.")
        folds.append(
            _fold(kind, _text(answer.answer), f"<b>{verdict}</b> {_text(answer.feedback)}")
        )
    return f"<li><p>{_text(question.question)}</p>{''.join(folds)}</li>"


def _text(text: str) -> str:
    """Text as HTML, with Markdown's `code` and *emphasis*."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
    return re.sub(r"\*(\w[^*]*)\*", r"<em>\1</em>", text)


def _fold(kind: str, head: str, text: str) -> str:
    # Otherwise JupyterLab takes keys for itself: X would cut the cell.
    return (
        f'<details class="{kind}"><summary data-lm-suppress-shortcuts="true">{head}</summary>'
        f"<p>{text}</p></details>"
    )


def _show(content: str) -> None:
    display(HTML(f'<div class="eacbook-quiz">{STYLE}{content}</div>'))
