"""The quiz of each notebook and the answers to its predictions: whole, fair, plain, and safe as HTML."""

import re

import pytest
from conftest import NOTEBOOKS, notebook_script
from prose import LONGEST, MEAN, sentences

from eacbook.book.quiz import prediction, questions, quiz, read_questions
from eacbook.errors import InputError

SOURCES = sorted((NOTEBOOKS / "source").glob("[0-9]*.py"))
NUMBERS = [f"{number:02d}" for number in range(10)]


@pytest.fixture
def shown(monkeypatch):
    """``shown(call, *arguments)``: the HTML that a call displays."""
    outputs = []
    monkeypatch.setattr(questions, "display", outputs.append)

    def run(call, *arguments):
        call(*arguments)
        return outputs.pop().data

    return run


@pytest.mark.parametrize("number", NUMBERS)
def test_five_questions_with_one_right_answer_each_and_feedback_for_all(number):
    asked, _ = read_questions(number)
    assert len(asked) == len({question.question for question in asked}) == 5
    places = []
    for question in asked:
        assert len(question.answers) >= 3
        (place,) = (i for i, answer in enumerate(question.answers) if answer.right)
        places.append(place)
        texts = [*(a.answer for a in question.answers), *(a.feedback for a in question.answers)]
        assert all(texts) and len(set(texts)) == len(texts)
    assert len(set(places)) >= 3  # nobody can learn the place


def test_the_longest_answer_is_not_the_right_one_more_often_than_by_chance():
    asked = [question for number in NUMBERS for question in read_questions(number)[0]]
    longest = [max(q.answers, key=lambda answer: len(answer.answer)).right for q in asked]
    assert sum(longest) <= len(asked) / 3


@pytest.mark.parametrize("number", NUMBERS)
def test_the_sentences_are_short(number):
    asked, predictions = read_questions(number)
    texts = [*predictions.values(), *(question.question for question in asked)]
    texts += [text for q in asked for a in q.answers for text in (a.answer, a.feedback)]
    counts = [len(sentence.split()) for text in texts for sentence in sentences(text)]
    assert max(counts) <= LONGEST and sum(counts) / len(counts) <= MEAN


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_has_its_quiz_and_a_field_for_each_prediction(source):
    text, number = source.read_text(encoding="utf-8"), source.name[:2]
    assert text.count(f'\nquiz("{number}")\n') == 1
    field = r'guess = ""  # @param \{"type": "string", "placeholder": "your prediction"\}\n'
    found = re.findall(field + rf'prediction\("{number}", "([^"]+)", guess\)\n', text)
    assert found == list(read_questions(number)[1])
    assert text.count("\nprediction(") == len(found)


def test_the_quiz_is_folds_without_a_script(shown):
    page = shown(quiz, "02")
    answers = sum(len(question.answers) for question in read_questions("02")[0])
    assert page.count("<details") == page.count("<summary ") == answers
    assert page.count('class="right"') == page.count("✓ Right.") == 5
    assert not re.search("<script|<input|http|onclick", page)
    assert "<code>labels_on_both_views=True</code>" in page and "<em>Memorised</em>" in page
    assert "`" not in page and "*" not in page


def test_the_prediction_stands_beside_the_answer_and_is_escaped(shown):
    page = shown(prediction, "02", "three seeds", "<b>5</b> points & more")
    assert "&lt;b&gt;5&lt;/b&gt; points &amp; more" in page
    assert page.index("Your prediction") < page.index("<details") < page.index("several points")
    assert "none yet" in shown(prediction, "02", "three seeds", "")


def test_what_is_not_there_gets_a_sentence():
    with pytest.raises(InputError, match="no questions for notebook '2'; there are 00, 01"):
        quiz("2")
    with pytest.raises(InputError, match="no prediction 'seeds'; it has misled by labels"):
        prediction("02", "seeds", "")


@pytest.mark.slow
def test_the_page_of_answers_is_that_of_the_notebooks():
    answers = notebook_script("answers")
    saved = answers.PAGE.read_text(encoding="utf-8")
    assert saved == answers.answers_page(), "run python notebooks/source/answers.py"
