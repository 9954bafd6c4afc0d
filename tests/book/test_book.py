"""Sentences of the book: filled in from the run, or held by it."""

import math

import pytest
import torch

from eacbook.book import runs as book


@pytest.fixture
def shown(monkeypatch):
    outputs = []
    monkeypatch.setattr(
        book, "display", lambda text, metadata=None: outputs.append((text.data, metadata))
    )
    return outputs


def test_say_shows_a_sentence_with_its_numbers(shown):
    book.say(f"**eac**: {0.649:.0%} of the faces, 85.4% at best, 5 % of the rest")
    assert shown == [("**eac**: 65 % of the faces, 85.4 % at best, 5 % of the rest", None)]


@pytest.mark.parametrize(
    ("value", "limits"),
    [
        (0.3, {"above": 0}),
        (torch.tensor(0.3), {"below": 0.5}),
        (0.3, {"above": -1, "below": 1}),
    ],
)
def test_a_claim_that_holds_is_shown_with_its_number_where_nobody_compares_it(shown, value, limits):
    book.claim("It holds.", value, **limits)
    ((text, metadata),) = shown
    assert text == "✓ It holds."
    assert metadata == {"eacbook": {"value": pytest.approx(0.3), **limits}}


@pytest.mark.parametrize(
    ("value", "limits", "expected"),
    [
        (-0.25, {"above": 0}, "The number is -0.25; expected above 0."),
        (0.5, {"below": 0.5}, "The number is 0.5; expected below 0.5."),
        (2, {"above": -1, "below": 1}, "The number is 2; expected above -1 and below 1."),
        (math.nan, {"above": 0}, "The number is nan; expected above 0."),
    ],
)
def test_a_claim_that_does_not_hold_says_the_number_and_the_limit(shown, value, limits, expected):
    with pytest.raises(AssertionError) as failed:
        book.claim("It holds.", value, **limits)
    assert str(failed.value) == f"This does not hold here: It holds. {expected}"
    assert shown == []
