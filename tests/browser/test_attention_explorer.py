"""The AttentionExplorer of notebook 3, moved by keyboard: each control brings the picture it should."""

import io
import re

import pytest
from laboratory import assert_good, assert_shows, press, shown_bytes
from PIL import Image
from playwright.sync_api import expect

from eacbook.book.widgets.attention import GIVEN, TRUE, attention_view, looks_at, recorded_look
from eacbook.data.photo import crop_face, read_photo
from eacbook.evaluation.attention import relative_difference
from eacbook.training.recording import Recorded

NAME = "03_attention.ipynb"
NAMES = ("baseline", "eac")


def test_the_notebook_runs_and_shows_its_pictures(run_notebook):
    assert_good(run_notebook(NAME), NAME)


class Expected:
    """The pictures by the pure functions, from the runs that the notebook trained or found."""

    def __init__(self, faces, runs):
        self.faces, self.runs = faces, runs
        self.records = {name: Recorded.of(run) for name, run in self.runs.items()}

    def __call__(self, probe=0, shown=GIVEN, epoch=1, strength=0.0, names=NAMES):
        records = {name: self.records[name] for name in names}
        first = records[names[0]]
        return attention_view(
            self.faces.train.images[first.rows[probe]],
            {name: recorded_look(record, probe, epoch) for name, record in records.items()},
            shown, self.faces.classes, (int(first.given[probe]), int(first.true[probe])), strength,
            {n: relative_difference(r.maps, r.maps_of_mirror)[:, probe].numpy()
             for n, r in records.items()},
            epoch,
        )  # fmt: skip


@pytest.fixture(scope="module")
def expected(book):
    return Expected(*book)


@pytest.fixture
def explorer(run_notebook, expected):
    """The explorer with its first face in the first epoch, without an overlay."""
    box = run_notebook(NAME).locator(".attention-explorer")
    press(box.locator("button.thumbnail").first, "Enter")
    for control in box.get_by_role("combobox").all()[:2]:
        press(control, "Home")
    press(box.get_by_role("combobox").nth(2), "End")
    for slider in box.get_by_role("slider").all():
        press(slider, "Home")
    assert_shows(box.locator("img"), expected())
    return box


def test_the_epoch_and_the_overlay(explorer, expected):
    image, (_, epoch, strength) = explorer.locator("img"), explorer.get_by_role("slider").all()
    for after in (2, 3):
        press(epoch, "ArrowRight")
        assert_shows(image, expected(epoch=after))
    press(strength, "ArrowRight", times=10)
    assert_shows(image, expected(epoch=3, strength=0.5))
    press(epoch, "End")
    assert_shows(image, expected(epoch=30, strength=0.5))


def test_the_faces(explorer, expected):
    image, thumbnails = explorer.locator("img"), explorer.locator("button.thumbnail")
    flipped = expected.records["eac"].wrong[:28].tolist()
    assert thumbnails.count() == 28
    assert explorer.locator("button.thumbnail.wrong").count() == sum(flipped)
    face, epoch = explorer.get_by_role("slider").all()[:2]
    press(epoch, "End")
    for place in (5, 27):
        press(thumbnails.nth(place), "Enter")
        assert_shows(image, expected(place, epoch=30))
        expect(explorer.locator("button.chosen")).to_have_count(1)
        assert "chosen" in thumbnails.nth(place).get_attribute("class")
    press(face, "ArrowLeft", times=2)
    assert_shows(image, expected(25, epoch=30))
    expect(explorer.locator("button.chosen")).to_have_attribute(
        "title", re.compile("^26, given as")
    )
    expect(explorer.get_by_role("status")).to_contain_text("epoch 30: baseline says")
    assert explorer.locator("button.thumbnail[tabindex='-1']").count() == 28  # for the mouse alone
    background = thumbnails.nth(5).evaluate("e => getComputedStyle(e).backgroundImage")
    assert background.startswith('url("data:image/png;base64,')


def test_every_control_has_a_name(explorer):
    for role, name in (
        ("slider", "face"), ("slider", "epoch"), ("slider", "overlay"), ("combobox", "map of"),
        ("combobox", "compare"), ("combobox", "with"), ("button", "your own face"),
    ):  # fmt: skip
        expect(explorer.get_by_role(role, name=name, exact=role != "button")).to_have_count(1)


def test_the_class_whose_map_is_shown(explorer, expected):
    image, shown = explorer.locator("img"), explorer.get_by_role("combobox").first
    wrong = int(expected.records["eac"].wrong.nonzero()[0])
    press(explorer.locator("button.thumbnail").nth(wrong), "Enter")
    press(explorer.get_by_role("slider").nth(2), "End")
    assert_shows(image, expected(wrong, strength=1.0))
    for key, name in (("s", "surprise"), ("End", "neutral"), ("Home", GIVEN)):
        press(shown, key)
        assert_shows(image, expected(wrong, name, strength=1.0))
    shown.select_option(TRUE)
    assert_shows(image, expected(wrong, TRUE, strength=1.0))


def test_the_runs_that_are_compared(explorer, expected):
    image, right = explorer.locator("img"), explorer.get_by_role("combobox").nth(2)
    press(right, "Home")
    assert_shows(image, expected(names=("baseline",)))
    press(right, "End")
    assert_shows(image, expected())


def upload(explorer, content):
    """Choose a file as a reader does."""
    with explorer.page.expect_file_chooser() as chooser:
        press(explorer.get_by_role("button", name="own face"), "Enter")
    file = {"name": "me.png", "mimeType": "image/png", "buffer": content}
    chooser.value.set_files(file)


def test_own_face(explorer, expected):
    drawn = expected.faces.test.images[3].permute(1, 2, 0).numpy()
    photo = io.BytesIO()
    Image.fromarray(drawn).resize((400, 400)).save(photo, "png")
    upload(explorer, photo.getvalue())
    face, how = crop_face(read_photo(photo.getvalue()), 48, 3)
    looks = looks_at(face, expected.runs)
    assert_shows(
        explorer.locator("img"),
        attention_view(face, looks, GIVEN, expected.faces.classes, None, 0.0),
    )
    expect(explorer).to_contain_text(how)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"no picture", "not a picture that can be read"),
        (bytes(21_000_000), "this file has 21.0 MB"),
    ],
    ids=["broken", "huge"],
)
def test_a_file_that_is_no_photograph_gets_a_sentence(explorer, expected, content, sentence):
    before = shown_bytes(explorer.locator("img"))
    upload(explorer, content)
    expect(explorer).to_contain_text(sentence)
    assert shown_bytes(explorer.locator("img")) == before
    press(explorer.get_by_role("slider").nth(1), "ArrowRight")
    assert_shows(explorer.locator("img"), expected(epoch=2))  # and everything goes on
