"""The page of an audit in Chromium, opened from the disk: decided by keyboard, saved, loaded again."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from audits import CLASSES, drawn_audit
from laboratory import VIEWPORT, Watch
from PIL import Image
from playwright.sync_api import expect

from eacbook.audit.page import PAGE, write_page
from eacbook.audit.report import LOOKED_AT, Found
from eacbook.data.faces import load_faces, synthetic_faces

MANY = tuple(f"class {number:02d}" for number in range(1, 15))
HEADER = ["set", "row", "file", "decision", "label"]


@pytest.fixture(scope="module")
def audit():
    return drawn_audit()


@pytest.fixture
def open_page(browser, tmp_path):
    """``open_page(audit, folder)``: the page, watched. Without an audit, the one that is there.

    There must be no error afterwards.
    """
    contexts, pages = [], []

    def make(audit, folder=tmp_path, thumbnails=True, source=None, **settings):
        contexts.append(browser.new_context(**({"viewport": VIEWPORT} | settings)))
        page = contexts[-1].new_page()
        page.watch = Watch(tmp_path.as_uri()).over(page)
        pages.append(page)
        if audit:
            write_page(*audit, folder, thumbnails, source)
        page.goto((folder / PAGE).as_uri())
        expect(page.locator("body[data-ready]")).to_be_attached()
        return page

    yield make
    for page in pages:
        assert page.watch.outside == []
        assert page.watch.errors == []
    for context in contexts:
        context.close()


def training(report):
    return [one for one in report.suspects if one.split == "train"]


def options(page):
    return page.get_by_role("listbox", name="Suspects").get_by_role("option")


def position(page):
    return page.locator(".detail .top span").inner_text()


def keys(page, *names):
    for name in names:
        page.keyboard.press(name)


def saved(page):
    """The lines of ``decisions.csv``, as a spreadsheet or Python reads them."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download decisions.csv").click()
    assert waiting.value.suggested_filename == "decisions.csv"
    with Path(waiting.value.path()).open(newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file, strict=True)
    assert header == HEADER
    return lines


def line(report, one, decision, label=""):
    return [report.fingerprint, str(one.row), one.file, decision, label]


def test_three_decisions_by_keyboard(open_page, audit, tmp_path):
    report = audit[0]
    first, second, third, fourth = training(report)[:4]
    page = open_page(audit)
    expect(page.get_by_text("hold 8 of 10 wrong labels")).to_be_visible()
    other = next(i for i in range(7) if i not in (second.given, second.suggested))
    keys(page, "k", "d", "z", str(other + 1), "ArrowRight", "u", "ArrowLeft", "ArrowLeft", "d", "z")
    expect(options(page).nth(1)).to_have_accessible_name(
        re.compile(f"relabelled as {CLASSES[other]}$")
    )
    expected = [
        line(report, first, "keep"),
        line(report, second, "relabel", CLASSES[other]),
        line(report, fourth, "unsure"),
    ]
    assert saved(page) == sorted(expected, key=lambda fields: int(fields[1]))
    assert third.file not in str(expected)
    page.reload()
    assert saved(page) == sorted(expected, key=lambda fields: int(fields[1]))
    assert "undecided" in options(page).nth(2).get_attribute("aria-label")


def test_undo_goes_back_step_by_step(open_page, audit):
    report = audit[0]
    page = open_page(audit)
    keys(page, "k", "u", "Home", "d")
    assert [fields[3] for fields in saved(page)].count("drop") == 1
    keys(page, "z", "z")
    assert saved(page) == [line(report, training(report)[0], "keep")]
    keys(page, "z", "z")
    expect(page.get_by_role("button", name="Download decisions.csv")).to_be_disabled()
    assert position(page) == f"1 of {len(training(report))}"


def test_the_given_label_is_to_keep(open_page, audit):
    page = open_page(audit)
    first = training(audit[0])[0]
    keys(page, str(first.given + 1))
    assert saved(page) == [line(audit[0], first, "keep")]


def test_filters_and_the_list_of_a_class(open_page, audit):
    report = audit[0]
    page = open_page(audit)
    table = page.get_by_role("region", name="The classes").get_by_role("table")
    hidden = str(report.self_test.planted_by_class[1])
    found = ["3" + "30 to 95\u00a0%"] * len(LOOKED_AT)
    expect(table.get_by_role("row", name="fear").get_by_role("cell")).to_have_text(
        [re.compile(r"\d+"), re.compile(r"\d+"), hidden, *found]
    )
    page.get_by_role("button", name="List the pictures given as fear").click()
    own = [one for one in training(report) if one.given == 1]
    assert position(page) == f"1 of {len(own)}"
    expect(options(page).first).to_have_accessible_name(re.compile(re.escape(own[0].file)))
    page.get_by_role("combobox", name="show").select_option("undecided")
    keys(page, "d")
    assert position(page) == f"1 of {len(own) - 1}"
    expect(options(page).first).to_have_accessible_name(re.compile(re.escape(own[1].file)))
    keys(page, "z")
    assert position(page) == f"1 of {len(own)}"
    keys(page, "d")
    page.get_by_role("combobox", name="show").select_option("decided")
    assert position(page) == "1 of 1"
    page.get_by_role("combobox", name="show").select_option("all")
    page.get_by_role("combobox", name="given").select_option("all")
    page.get_by_role("combobox", name="suggested").select_option("anger")
    both = [one for one in training(report) if one.suggested == 5]
    assert position(page) == f"1 of {len(both)}"
    page.get_by_role("combobox", name="given").select_option("anger")
    agreed = sum(one.given == 5 for one in both)
    assert position(page) == f"1 of {agreed}"


def test_held_out_pictures_are_apart(open_page, audit):
    report = audit[0]
    held = [one for one in report.suspects if one.split != "train"]
    page = open_page(audit)
    page.get_by_role("button", name="Validation and test").click()
    assert position(page) == f"1 of {len(held)}"
    expect(page.get_by_text("The model was not trained on these pictures.")).to_be_visible()
    expect(page.get_by_text("No loss: the network was not trained")).to_be_visible()
    keys(page, "d")
    assert saved(page) == [line(report, held[0], "drop")]


def test_a_drawn_split_that_was_trained_on_is_called_so(open_page, audit):
    report, *others = audit
    trained = tuple(replace(one, mean_loss=1.0) for one in report.suspects)
    page = open_page((replace(report, suspects=trained), *others))
    page.get_by_role("button", name="Validation and test").click()
    expect(page.get_by_text("eacbook drew this test split")).to_be_visible()
    expect(page.get_by_text("not trained on these pictures")).to_have_count(0)


def test_a_picture_and_what_is_said_of_it(open_page, audit):
    report = audit[0]
    disagreeing = next(
        one for one in training(report)[:30] if one.doubt > 0.5 and one.neighbours_other <= 0.5
    )
    page = open_page(audit)
    at = training(report).index(disagreeing)
    for _ in range(at):
        keys(page, "ArrowRight")
    keys(page, "Enter")
    expect(page.get_by_role("listbox")).to_be_hidden()
    detail = page.get_by_role("article")
    given, suggested = CLASSES[disagreeing.given], CLASSES[disagreeing.suggested]
    expect(
        detail.get_by_text("Doubt: the network and the loss. No doubt: the neighbours")
    ).to_be_visible()
    for which in (given, suggested):
        box = detail.locator(".attended", has=page.get_by_alt_text(f"evidence for {which} is"))
        expect(box).to_be_visible()
        assert box.locator("canvas").evaluate(
            "canvas => canvas.getContext('2d').getImageData(0, 0, 96, 96).data.some((x) => x > 100)"
        )
    expect(detail.get_by_alt_text(re.compile("^Neighbour "))).to_have_count(3)
    empty = "() => [...document.images].filter(i => !(i.complete && i.naturalWidth)).length"
    assert page.evaluate(empty) == 0
    keys(page, "ArrowRight", "Escape")
    expect(page.get_by_role("listbox")).to_be_visible()
    assert position(page).startswith(f"{at + 2} of")


def test_more_than_nine_classes_have_a_list_to_choose_from(open_page):
    audit = drawn_audit(84, MANY)
    first, second = training(audit[0])[:2]
    page = open_page(audit)
    wanted = next(i for i in (12, 13) if first.given != i)
    keys(page, *str(wanted + 1))
    expect(page.get_by_role("textbox", name="Right label")).to_have_value(str(wanted + 1))
    keys(page, "Enter")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("button", name="Another class").click()
    named = next(name for name in ("class 03", "class 04") if second.given != MANY.index(name))
    page.get_by_role("textbox", name="Right label").fill(named[-4:])
    page.get_by_role("dialog").get_by_role("button", name=named).click()
    keys(page, "1", "Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    lines = [
        line(audit[0], first, "relabel", MANY[wanted]),
        line(audit[0], second, "relabel", named),
    ]
    assert saved(page) == sorted(lines, key=lambda fields: int(fields[1]))


def test_a_saved_file_is_loaded_again(open_page, audit, tmp_path):
    page = open_page(audit)
    keys(page, "k", "d", "u")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download decisions.csv").click()
    path = tmp_path / "mine.csv"
    shutil.copy(waiting.value.path(), path)
    other = open_page(audit)
    chooser = other.get_by_label("A decisions.csv to load")
    chooser.set_input_files(path)
    expect(other.locator("#kept")).to_contain_text("3 decisions: 1 keep, 1 drop, 1 unsure.")
    assert saved(other) == saved(page)
    good = path.read_text()
    row, file = good.splitlines()[1].split(",")[1:3]
    for text, message in (
        ("", "line 1: expected the header set,row,file,decision,label"),
        (
            good.replace("0123456789abcdef", "other"),
            "line 2: these decisions are about another set",
        ),
        (good.replace(f",{row},", ",9999,"), "line 2: row 9999 is not on this page"),
        (good.replace(file, "no.png"), f"line 2: row {row} is the file {file}, not no.png"),
        (good + '0123456789abcdef,1,"a', "line 5: a quotation mark is not closed"),
        (re.sub("keep|drop|unsure", "relabel", good, count=1), "line 2: unknown class"),
        (re.sub("keep|drop|unsure", "burn", good, count=1), "line 2: unknown decision burn"),
        (good.splitlines()[0] + "\n", "it has no decision"),
    ):
        path.write_text(text)
        chooser.set_input_files(path)
        expect(other.get_by_role("alert")).to_contain_text(f"mine.csv: {message}")
    assert saved(other) == saved(page)
    keys(other, "z")
    expect(other.locator("#kept")).to_contain_text("No decision yet")


PICKER = """window.showSaveFilePicker = async (wanted) => ({
    name: wanted.suggestedName,
    createWritable: async () => ({
        write: async (text) => { window.written = text; },
        close: async () => {},
    }),
});"""


FULL = "window.showSaveFilePicker = async () => { throw new Error('the disk is full'); }"


def test_the_file_picker_gets_the_same_file(open_page, audit):
    page = open_page(audit)
    page.evaluate(f"() => {{ {PICKER} }}")
    keys(page, "k", "u")
    page.get_by_role("button", name="Save as").click()
    expect(page.get_by_text("Saved as decisions.csv.")).to_be_attached()
    assert list(csv.reader(page.evaluate("written").splitlines())) == [HEADER, *saved(page)]
    page.evaluate(f"() => {{ {FULL} }}")
    page.get_by_role("button", name="Save as").click()
    expect(page.get_by_role("alert")).to_have_text(
        "The file could not be written: the disk is full."
    )


def test_a_self_test_no_better_than_chance_is_a_warning(open_page, audit):
    report, images, maps = audit
    warning = "may be no better than chance"
    expect(open_page(audit).get_by_text(warning)).to_have_count(0)
    poor = replace(
        report.self_test, planted=3, found=dict.fromkeys(LOOKED_AT, Found(1, 0.06, 0.79))
    )
    page = open_page((replace(report, self_test=poor), images, maps))
    expect(page.get_by_text(warning)).to_be_visible()
    expect(page.get_by_text("hold 1 of 3 wrong labels")).to_be_visible()


def test_duplicates_are_pairs(open_page, audit):
    report = audit[0]
    by_row = {one.row: one for one in report.suspects}
    page = open_page(audit)
    page.get_by_role("button", name="Duplicates").click()
    pairs = page.get_by_role("list", name="Pairs").get_by_role("listitem")
    expect(pairs).to_have_count(3)
    expect(pairs.nth(0)).to_contain_text("equal pixels")
    expect(pairs.nth(1)).to_contain_text("distance 0.0023, by thumbnails")
    pairs.nth(0).get_by_role("button", name="Drop").nth(1).press("Enter")
    expect(pairs.nth(0).get_by_role("button", name="Drop").nth(1)).to_be_focused()
    assert saved(page) == [line(report, by_row[10], "drop")]
    keys(page, "z")
    page.get_by_role("button", name="Duplicates").click()
    pairs.nth(2).get_by_role("button", name="Show").nth(0).click()
    expect(page.locator(".detail .file")).to_contain_text(by_row[5].file)


def test_hostile_names_are_shown_as_they_are(open_page, audit):
    names = (
        "</script><b>",
        '"><img src=x onerror=alert(1)>',
        "a,b",
        'q"uote',
        "&lt;",
        "\u202eabc",
        "é😀",
    )
    report, images, maps = audit
    suspects = tuple(replace(one, file=f'{one.row}</script>,"\n<b>.png') for one in report.suspects)
    report = replace(report, name="<b>set</b>", classes=names, suspects=suspects)
    page = open_page((report, images, maps))
    dialogs = []
    page.on("dialog", lambda dialog: dialogs.append(dialog))
    expect(page.get_by_role("heading", name="Labels to check in <b>set</b>")).to_be_visible()
    first = training(report)[0]
    keys(page, "d")
    for which in range(7):
        keys(page, str(which + 1))
    found = saved(page)
    assert line(report, first, "drop") in found and len(found) == 8
    assert {fields[4] for fields in found} <= {"", *names}
    for part in ("Duplicates", "Noise matrix", "How it works"):
        page.get_by_role("button", name=part).click()
    assert dialogs == [] and page.locator("b", has_text="set").count() == 0
    assert page.evaluate("document.images.length") == page.locator(".shot img").count()


def test_without_thumbnails_files_are_shown_where_there_are_any(open_page, audit, tmp_path):
    report, images, maps = audit
    first, second = training(report)[:2]
    folder, source = tmp_path / "out", tmp_path / "faces & co"
    folder.mkdir()
    file = source / first.file
    file.parent.mkdir(parents=True)
    Image.fromarray(images[first.row].permute(1, 2, 0).numpy()).save(file)
    page = open_page(audit, folder, False, source)
    shots = page.get_by_role("listbox").locator(".shot")
    expect(shots.nth(0).locator("img")).to_have_js_property("naturalWidth", 48)
    expect(shots.nth(1)).to_have_text(second.file)
    page.watch.errors = [one for one in page.watch.errors if "ERR_FILE_NOT_FOUND" not in one]
    other = open_page(audit, folder, False)
    expect(other.get_by_role("listbox").locator(".shot").first).to_have_text(first.file)


def test_every_control_has_a_name_and_a_visible_focus(open_page, audit):
    page = open_page(audit)
    for part in ("Training", "Duplicates", "Noise matrix", "How it works", "Training"):
        page.get_by_role("button", name=part).click()
        snapshot = page.locator("body").aria_snapshot()
        nameless = r"- (button|combobox|textbox|listbox|option|img|region|group)( \[[^]]*\])*:?$"
        assert re.findall(nameless, snapshot, re.MULTILINE) == []
    page.evaluate("scrollTo(0, 0); document.activeElement.blur()")
    seen = set()
    for _ in range(60):
        keys(page, "Tab")
        name, shown = page.evaluate(
            """() => {
                const at = document.activeElement, style = getComputedStyle(at);
                const mark = at.matches(".list")
                    ? getComputedStyle(at.querySelector("[aria-selected=true]")).boxShadow : "none";
                return [at.outerHTML.slice(0, 90), at === document.body
                    || style.outlineStyle === "solid" || mark !== "none"];
            }"""
        )
        assert shown, name
        seen.add(name)
    assert len(seen) > 25


@pytest.mark.parametrize("width", [390, 320])
def test_it_fits_a_phone(open_page, audit, width):
    page = open_page(audit, viewport={"width": width, "height": 844}, has_touch=True)
    wide = "document.documentElement.scrollWidth"
    page.locator("nav").evaluate("nav => nav.scrollIntoView()")
    options(page).first.tap()
    expect(page.get_by_role("button", name="Keep")).to_be_in_viewport()
    page.get_by_role("button", name="Drop", exact=True).tap()
    assert saved(page) == [line(audit[0], training(audit[0])[0], "drop")]
    for part in ("Training", "Duplicates", "Noise matrix", "How it works"):
        page.get_by_role("button", name=part).click()
        assert page.evaluate(wide) == width


def test_ten_thousand_pictures_respond(open_page):
    audit = drawn_audit(10_000)
    page = open_page(audit)
    count = len(training(audit[0]))
    assert options(page).count() < 100
    keys(page, "End")
    assert position(page) == f"{count:,} of {count:,}"
    expect(options(page).last.locator("img")).to_have_js_property("naturalWidth", 48)
    keys(page, "Home", *["k"] * 30)
    assert position(page) == f"31 of {count:,}"
    assert options(page).count() < 100 and len(saved(page)) == 30


@pytest.mark.slow
def test_from_class_folders_to_a_corrected_copy(open_page, built, tmp_path):
    """The whole way of a user, with an installed wheel: audit, three decisions, saved, applied."""
    installed = tmp_path / "installed"
    command = [
        Path(sys.executable).with_name("uv"),
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        installed,
        built[0],
    ]
    subprocess.run([*command, "--python", sys.executable], check=True)
    environment = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}

    def eacbook(*words):
        command = [sys.executable, "-m", "eacbook", *words]
        ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    assert str(installed) in subprocess.check_output(
        [sys.executable, "-c", "import eacbook; print(eacbook.__file__)"],
        cwd=tmp_path, env=environment, text=True,
    )  # fmt: skip
    faces = synthetic_faces(300, 7, 7)
    for row, (image, label) in enumerate(zip(faces.train.images, faces.train.labels, strict=True)):
        file = tmp_path / "mine" / CLASSES[label] / f"{row}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(file)
    quick = ("--quick", "--epochs", "2", "--folds", "0", "--device", "cpu")
    assert "300 pictures" in eacbook("audit", "mine", *quick, "--out", "audit")
    with (tmp_path / "audit/audit.csv").open(encoding="utf-8") as file:
        first, second, third = [one for one in csv.DictReader(file) if one["split"] == "train"][:3]
    page = open_page(None, tmp_path / "audit")
    labels = [next(name for name in CLASSES if name != one["given"]) for one in (second, third)]
    keys(page, "d", *(str(CLASSES.index(label) + 1) for label in labels))
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download decisions.csv").click()
    shutil.copy(waiting.value.path(), tmp_path / "audit/decisions.csv")
    said = eacbook("audit", "--apply", "audit/decisions.csv", "--out", "clean")
    assert "labels changed: 2, pictures dropped: 1" in said
    before, after = load_faces(tmp_path / "audit/data"), load_faces(tmp_path / "clean")
    of_file = [
        {
            file: before.classes[label]
            for part in (one.train, one.validation, one.test)
            if part is not None
            for file, label in zip(part.files, part.labels.tolist(), strict=True)
        }
        for one in (before, after)
    ]
    assert len(of_file[0]) == 300 and before.classes == after.classes
    del of_file[0][first["file"]]
    changed = {one["file"]: label for one, label in zip((second, third), labels, strict=True)}
    assert of_file[1] == of_file[0] | changed
