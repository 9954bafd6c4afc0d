"""Sentences that people read are short: README, notebooks and documentation."""

import prose
import pytest


@pytest.mark.parametrize("path", prose.FILES, ids=lambda path: path.name)
def test_sentences_are_short(path):
    long, mean = prose.too_long(path)
    assert not long
    assert mean <= prose.MEAN


def test_sentences_are_counted_as_a_reader_would(tmp_path):
    page = tmp_path / "page.md"
    words = " ".join(["word"] * 31)
    page.write_text(
        f"# A heading of its own\n\nOne two. Three, e.g. `a b c` four!\n\n* {words}\n\n"
        f"```\n{words}\n```\n\n| {words} |\n|---|\n"
    )
    long, mean = prose.too_long(page)
    assert long == [words]
    assert mean == pytest.approx((2 + 4 + 31) / 3)
