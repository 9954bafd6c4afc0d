"""The page of an audit in Firefox, opened from the disk: decided by keyboard, saved, loaded again."""

import csv
import time

import pytest
from audits import drawn_audit
from firefox import find_firefox, run_firefox
from laboratory import ANSWER_SECONDS, TEST_OUTPUT

from eacbook.audit.page import PAGE, write_page

DECIDED = "document.querySelectorAll('[role=option]:not([aria-label*=undecided])').length"


@pytest.fixture(scope="module")
def firefox(tmp_path_factory):
    program = find_firefox()
    if not program:
        pytest.skip("no Firefox on this machine")
    place = tmp_path_factory.mktemp("firefox")
    with run_firefox(program, place) as running:
        running.downloads = place / "downloads"
        yield running
    assert running.errors == []


def wait(condition):
    end = time.monotonic() + ANSWER_SECONDS
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    assert condition()


def test_three_decisions_by_keyboard_survive_and_load_again(firefox, tmp_path):
    audit = drawn_audit()
    report = audit[0]
    write_page(*audit, tmp_path)
    firefox.open((tmp_path / PAGE).as_uri())
    wait(lambda: firefox.value("'ready' in document.body.dataset"))
    firefox.screenshot(TEST_OUTPUT / "firefox" / "audit.png")
    first, second, _, fourth = [s for s in report.suspects if s.split == "train"][:4]
    other = next(i for i in range(7) if i not in (second.given, second.suggested))
    firefox.press(
        "k", "d", "z", str(other + 1), "ArrowRight", "u", "ArrowLeft", "ArrowLeft", "d", "z"
    )
    wait(lambda: firefox.value(DECIDED) == 3)
    firefox.reload()
    wait(lambda: firefox.value(DECIDED) == 3)

    firefox.value("[...document.querySelectorAll('button')].find(b => b.textContent"
                  ".includes('Download decisions.csv')).click()")  # fmt: skip
    saved = firefox.downloads / "decisions.csv"
    wait(lambda: saved.exists() and saved.stat().st_size > 0)
    with saved.open(newline="", encoding="utf-8") as file:
        lines = {int(line["row"]): line for line in csv.DictReader(file, strict=True)}
    assert {row: (line["decision"], line["label"]) for row, line in lines.items()} == {
        first.row: ("keep", ""),
        second.row: ("relabel", report.classes[other]),
        fourth.row: ("unsure", ""),
    }

    firefox.value("localStorage.clear()")
    firefox.reload()
    wait(lambda: firefox.value(DECIDED) == 0)
    firefox.choose_file("#file", saved)
    wait(lambda: firefox.value(DECIDED) == 3)
