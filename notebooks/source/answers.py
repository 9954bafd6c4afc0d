"""Write the page of answers for teachers from the data of the quizzes and predictions.

python notebooks/source/answers.py        # docs/answers.md
"""

from __future__ import annotations

import re
from pathlib import Path

import jupytext

from eacbook.book.quiz import read_questions

SOURCES = Path(__file__).parent
PAGE = SOURCES.parents[1] / "docs" / "answers.md"
HEAD = """# Answers

For teachers: every prediction with its short answer, and the right answers of the quiz with their
feedback. Readers have them under folds in the notebooks. Numbers differ between machines, so most
answers say what held on every processor that we tried. The open questions are on the page
[for teachers](teaching.md#open-questions). `python notebooks/source/answers.py` makes this page.
"""


def asked_before(cells: list, about: str) -> str:
    """What the text asks before the cell that keeps this prediction."""
    place = next(
        i
        for i, cell in enumerate(cells)
        if f'prediction("{about[:2]}", "{about[3:]}"' in cell.source
    )
    before = [cell.source for cell in cells[:place] if cell.cell_type == "markdown"]
    asked = next(text for text in reversed(before) if "**Predict" in text)
    asked = asked.rpartition("**Predict")[2].partition("**")[2]  # the rest of the words in bold
    first, *others = asked.split("\n\n")
    if others and others[0].startswith("1. "):
        first += " " + others[0]
    text = re.sub(r"^[:.,]? *((and write|before|first)[^.:?]*[.:])? *", "", " ".join(first.split()))
    text = text if "(" in text else text.removesuffix(")")
    return text[0].upper() + text[1:]


def answers_page() -> str:
    """The page, in the order of the notebooks."""
    parts = [HEAD]
    for source in sorted(SOURCES.glob("[0-9][0-9]_*.py")):
        number = source.name[:2]
        cells = jupytext.read(source).cells
        title = cells[0].source.splitlines()[0].removeprefix("# ")
        questions, predictions = read_questions(number)
        parts.append(f"\n## {title}\n")
        parts += [
            f"* {asked_before(cells, f'{number} {about}')} **Answer:** {text}"
            for about, text in predictions.items()
        ]
        parts.append("\n**Quiz**\n")
        for place, question in enumerate(questions, start=1):
            right = next(answer for answer in question.answers if answer.right)
            parts.append(f"{place}. {question.question} **{right.answer}** {right.feedback}")
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(answers_page(), encoding="utf-8")
