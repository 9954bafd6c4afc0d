"""The page for teachers names the sections of the notebooks, and its minutes add up."""

import re

import pytest
from conftest import NOTEBOOKS, ROOT

PAGE = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
SOURCES = sorted((NOTEBOOKS / "source").glob("[0-9]*.py"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_sections_and_minutes_are_those_of_the_notebook(source):
    row = re.search(rf"^\| \[.*?\]\(\.\./notebooks/{source.stem}\.ipynb\) \|(.*)\|$", PAGE, re.M)
    sections, minutes = (part.strip() for part in row[1].split(" | "))
    listed = re.findall(r"(.+?) (\d+)(?:, |$)", sections)
    text = source.read_text(encoding="utf-8")
    headings = re.findall(r"^# ## (.+)$", text, re.M)
    assert [name for name, _ in listed] == [name for name in headings if name != "Take away"]
    assert sum(int(number) for _, number in listed) == int(minutes)
    assert re.search(r"\*\*Time\*\*: about (\d+)\s", text)[1] == minutes


def test_sections_of_the_plan_are_there():
    plan = PAGE.partition("## Four times 90 minutes")[2].partition("\n## ")[0]
    headings = re.findall(
        r"^# #+ (.+)$", "\n".join(s.read_text(encoding="utf-8") for s in SOURCES), re.M
    )
    named = re.findall(r'"([A-Z][^"?]+\??)"', plan)
    assert len(named) > 10
    for name in named:
        assert any(heading.startswith(name) for heading in headings), name
