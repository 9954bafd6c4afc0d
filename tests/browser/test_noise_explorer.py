"""The NoiseExplorer of notebook 1, moved by keyboard: each control brings the picture it should."""

import pytest
import torch
from laboratory import assert_good, assert_shows, press
from playwright.sync_api import expect

import eacbook as eb
from eacbook.book.widgets.noise import HUMAN, noise_for, noise_picture

NAME = "01_label_noise.ipynb"
SHOWN = torch.arange(18)


def test_the_notebook_runs_and_shows_its_pictures(run_notebook):
    assert_good(run_notebook(NAME), NAME)


@pytest.fixture(scope="module")
def drawn():
    return eb.load_faces("synthetic")


@pytest.fixture
def explorer(run_notebook, drawn):
    """The explorer without noise."""
    box = run_notebook(NAME).locator(".noise-explorer")
    press(box.get_by_role("combobox"), "Home")
    expect(box.get_by_role("slider")).to_be_visible()
    press(box.get_by_role("slider"), "Home")
    assert_shows(box.locator("img"), _picture(drawn, "symmetric", 0.0))
    return box


def _picture(drawn, kind, rate):
    noisy = noise_for(drawn, kind, rate)
    return noise_picture(drawn, noisy, SHOWN)


def test_the_rate(explorer, drawn):
    image, rate = explorer.locator("img"), explorer.get_by_role("slider")
    for expected in (0.05, 0.10):
        press(rate, "ArrowRight")
        assert_shows(image, _picture(drawn, "symmetric", expected))
        expect(explorer.locator(".widget-readout")).to_have_text(f"{expected:.0%}")
    press(rate, "ArrowRight", times=4)
    assert_shows(image, _picture(drawn, "symmetric", 0.30))
    expect(explorer).to_contain_text("900 of 3,000 labels are wrong (30.0%)")
    press(rate, "ArrowLeft")
    assert_shows(image, _picture(drawn, "symmetric", 0.25))


def test_the_kind(explorer, drawn):
    image, kind = explorer.locator("img"), explorer.get_by_role("combobox")
    press(explorer.get_by_role("slider"), "ArrowRight", times=6)
    press(kind, "p")
    assert_shows(image, _picture(drawn, "pair", 0.30))
    press(kind, "Home")
    assert_shows(image, _picture(drawn, "symmetric", 0.30))


def test_every_control_has_a_name(explorer):
    expect(explorer.get_by_role("slider", name="wrong labels")).to_have_count(1)
    expect(explorer.get_by_role("combobox", name="kind")).to_have_count(1)


def test_people_are_as_wrong_as_they_are(explorer, drawn):
    """With their answers there is no slider that could say another rate."""
    image, kind = explorer.locator("img"), explorer.get_by_role("combobox")
    press(kind, "End")
    assert_shows(image, _picture(drawn, HUMAN, None))
    expect(explorer.get_by_role("slider")).to_have_count(0)
    expect(explorer.locator(".widget-readout")).to_be_hidden()
