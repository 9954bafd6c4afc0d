"""The FeatureExplorer by keyboard and mouse: every point where it should be, in its colour.

Its recording has each face in a cell of its own, so that the colour of every single point can be read
from the canvas. Most is tested on a bare page; the last tests are JupyterLab's.
"""

from __future__ import annotations

import base64
import inspect

import nbformat
import numpy as np
import pytest
from laboratory import VIEWPORT, open_and_run_all, open_notebook, press
from playwright.sync_api import expect
from recordings import small_recording

from eacbook.book.widgets.features import FeatureExplorer
from eacbook.plots.pictures import face_picture

FACES = 60
INK = "#ff00ff"  # of the page: no colour of the palette

PIXELS = """([canvas, points]) => {
    const pen = canvas.getContext("2d"), scale = canvas.width / canvas.clientWidth;
    return points.map(([x, y]) => [...pen.getImageData(x * scale, y * scale, 1, 1).data]);
}"""


@pytest.fixture(scope="module")
def recording():
    return small_recording()


@pytest.fixture(scope="module")
def explorer(recording):
    return FeatureExplorer(*recording)


@pytest.fixture
def bare(browser, explorer, request):
    """The explorer on a page of its own; without the network, and with these settings."""
    page = browser.new_page(viewport=VIEWPORT, **getattr(request, "param", {}))
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("request", lambda asked: page.errors.append(asked.url[:80]) if outside(asked) else None)
    page.set_content(f"<body style='color: {INK}'>{explorer.html()}</body>")
    yield page
    assert page.errors == []
    page.close()


def outside(request):
    return not request.url.startswith(("data:", "about:"))


@pytest.fixture
def root(bare):
    return settled(bare.locator(".eacbook-features"))


def settled(root):
    """Wait until the points are where they belong."""
    expect(root).to_have_attribute("data-epoch", "5")
    expect(root).not_to_have_attribute("data-moving", "")
    return root


def go_to(root, key, epoch):
    press(root.get_by_role("slider"), key)
    expect(root).to_have_attribute("data-epoch", str(epoch))
    expect(root).not_to_have_attribute("data-moving", "")


def places(root, data, method, epoch):
    """Where each face should be, ``[n,2]`` in pixels of the page."""
    stored = np.frombuffer(base64.b64decode(data["methods"][method]["positions"]), "<u2")
    of_epoch = stored.reshape(-1, FACES, 2)[data["epochs"].index(epoch)]
    side = maps(root).nth(method).evaluate("canvas => canvas.clientWidth")
    assert side > 200
    return data["margin"] + of_epoch / 65535 * (side - 2 * data["margin"])


def maps(root):
    return root.get_by_role("application")


def pixels(canvas, points):
    """RGBA ``[n,4]`` of a canvas at some pixels of the page."""
    return np.array(canvas.page.evaluate(PIXELS, [canvas.element_handle(), points.tolist()]), int)


def colours_of(data, colouring):
    if colouring == "label":
        wrong = np.not_equal(data["given"], data["true"])
        return [data["label_colours"][one] for one in wrong.astype(int)]
    return [data["class_colours"][label] for label in data[colouring]]


def rgb(colour):
    return np.array(tuple(bytes.fromhex(colour[1:])))


def assert_drawn(root, data, epoch, colouring):
    """Every face of both maps is at its place in its colour, and nothing is between the cells."""
    expected = np.stack([[*rgb(colour), 255] for colour in colours_of(data, colouring)])
    for method in range(2):
        points = places(root, data, method, epoch)
        shown = pixels(maps(root).nth(method), points)
        assert np.abs(shown - expected).max() <= 3
        cell = (points.max() - points.min()) / 7
        between = points[(points + cell / 2 < points.max()).all(1)] + cell / 2
        assert pixels(maps(root).nth(method), between)[:, 3].max() == 0


def test_the_slider_brings_the_points_of_its_epoch(root, explorer):
    assert_drawn(root, explorer.data, 5, "label")
    for key, epoch in (("ArrowLeft", 3), ("Home", 1), ("ArrowRight", 3), ("End", 5)):
        go_to(root, key, epoch)
        assert_drawn(root, explorer.data, epoch, "label")
        expect(root.get_by_role("status")).to_have_text(f"{epoch} of 5")
        assert root.get_by_role("slider").get_attribute("aria-valuetext") == f"epoch {epoch}"
        place = explorer.data["epochs"].index(epoch)
        numbers = [
            number for method in explorer.data["methods"] for number in method["shares"][place]
        ]
        assert root.locator("figure b").all_inner_texts() == numbers


def test_points_travel(root, explorer):
    """Half way, all of them are on their straight ways, and equally far."""
    before, after = (places(root, explorer.data, 0, epoch) for epoch in (5, 3))
    colours = np.stack([rgb(colour) for colour in colours_of(explorer.data, "label")])
    root.page.clock.install()
    root.page.clock.pause_at(1e12)
    press(root.get_by_role("slider"), "ArrowLeft")
    root.page.clock.run_for(350)
    expect(root).to_have_attribute("data-moving", "")
    there = {}
    for way in np.linspace(0, 1, 101):
        shown = pixels(maps(root).first, before + way * (after - before))
        there[way] = ((np.abs(shown[:, :3] - colours) <= 3).all(1) & (shown[:, 3] > 200)).mean()
    assert 0.4 < max(there, key=there.get) < 0.6, "some may be hidden by others"
    assert max(there.values()) > 0.85 > 0.6 > max(there[0], there[1])
    root.page.clock.run_for(400)
    expect(root).not_to_have_attribute("data-moving", "")
    assert_drawn(root, explorer.data, 3, "label")


@pytest.mark.parametrize("bare", [{"reduced_motion": "reduce"}], indirect=True)
def test_points_jump_where_motion_is_unwelcome(root, explorer):
    assert root.evaluate(
        """root => {
            const slider = root.shadowRoot.querySelector("input");
            slider.value = 0;
            slider.dispatchEvent(new Event("input"));
            return "moving" in root.dataset;
        }"""
    ) is False  # fmt: skip
    assert_drawn(root, explorer.data, 1, "label")


@pytest.mark.parametrize("bare", [{"device_scale_factor": 2}], indirect=True)
def test_it_is_sharp_on_a_fine_screen(root, explorer):
    ratio = maps(root).first.evaluate("canvas => canvas.width / canvas.clientWidth")
    assert ratio == pytest.approx(2, abs=0.01)
    assert_drawn(root, explorer.data, 5, "label")


def test_colours_follow_the_choice(root, explorer):
    root.get_by_role("radio", name="right or wrong").focus()
    for key, colouring in (("ArrowUp", "true"), ("ArrowUp", "given"), ("ArrowUp", "label")):
        root.page.keyboard.press(key)
        expect(root).to_have_attribute("data-colour", colouring)
        assert_drawn(root, explorer.data, 5, colouring)
    expect(root.get_by_role("listitem")).to_have_text(["right label", "wrong label"])
    root.get_by_role("radio", name="given label").check()
    expect(root.get_by_role("listitem")).to_have_text([*explorer.data["classes"], "label is wrong"])


def test_wrong_labels_are_crosses(root, explorer):
    """Beside the middle a dot has colour and a cross has none; on the diagonal it is the reverse."""
    beside, diagonal = np.array([2.9, 0]), np.array([3.6, 3.6])
    wrong = np.not_equal(explorer.data["given"], explorer.data["true"])
    points = places(root, explorer.data, 0, 5)
    for offset, among in ((beside, ~wrong), (diagonal, wrong)):
        drawn = pixels(maps(root).first, points + offset)[:, 3] > 128
        assert (drawn == among).mean() > 0.9


def assert_shows_face(root, recording, face):
    """The card holds this face, more like it than like any other, with its labels."""
    recorded, _, _, faces = recording
    one = recorded["baseline"]
    expect(root).to_have_attribute("data-face", str(face))
    card = root.locator(".card canvas")
    side = card.evaluate("canvas => canvas.width")
    grid = (np.stack(np.mgrid[:48, :48][::-1], -1).reshape(-1, 2) + 0.5) * 3
    assert side == 3 * 48
    shown = pixels(card, grid)[:, :3].reshape(48, 48, 3)
    own = np.stack([face_picture(image, 48) for image in faces.train.images[one.rows]])
    differences = np.abs(own.astype(int) - shown).mean((1, 2, 3))
    assert differences.argmin() == face and differences[face] < 12
    given, true = faces.classes[one.given[face]], faces.classes[one.true[face]]
    text = f"given: {given}, rightly" if given == true else f"given: {given}, truly: {true}"
    expect(root.locator(".card p")).to_have_text(text)


def ringed(root, data, epoch):
    """The faces with a ring around them, in each map."""
    found = []
    for method in range(2):
        ring = pixels(maps(root).nth(method), places(root, data, method, epoch) + np.array([9, 0]))
        # The line of the way has the same ink, and is seen through.
        inked = (np.abs(ring[:, :3] - rgb(INK)).max(1) < 40) & (ring[:, 3] > 200)
        found.append(np.flatnonzero(inked).tolist())
    return found


def test_arrow_keys_go_from_face_to_face(root, explorer, recording):
    expect(root.locator(".card p")).to_have_text("Point at a face in a map.")
    keys = (
        ("ArrowRight", 0), ("ArrowRight", 1), ("ArrowDown", 3), ("ArrowDown", 7), ("ArrowLeft", 6),
        ("ArrowUp", 3), ("ArrowUp", 59), ("ArrowRight", 0),
    )  # fmt: skip
    for key, face in keys:
        press(maps(root).nth(1), key)
        assert_shows_face(root, recording, face)
        assert ringed(root, explorer.data, 5) == [[face], [face]]
    press(maps(root).nth(1), "Escape")
    expect(root).to_have_attribute("data-face", "")
    assert ringed(root, explorer.data, 5) == [[], []]
    assert_drawn(root, explorer.data, 5, "label")


def test_pointing_shows_the_face_and_a_click_keeps_it(root, explorer, recording):
    points = places(root, explorer.data, 1, 5)

    def at(face):
        return {"x": points[face, 0] + 1 + 3, "y": points[face, 1] + 1 - 3}  # 1: the border

    canvas = maps(root).nth(1)
    for face in (11, 12):
        canvas.hover(position=at(face))
        assert_shows_face(root, recording, face)
    canvas.click(position=at(20))
    canvas.hover(position=at(30))
    assert_shows_face(root, recording, 20)
    go_to(root, "Home", 1)
    assert ringed(root, explorer.data, 1) == [[20], [20]]
    go_to(root, "End", 5)
    canvas.click(position=at(20))
    canvas.hover(position=at(30))
    assert_shows_face(root, recording, 30)


def test_play_goes_through_the_epochs_once(root):
    button = root.get_by_role("button", name="Play")
    root.page.clock.install()
    press(button, "Enter")
    expect(root.get_by_role("button", name="Pause")).to_be_focused()
    expect(root).to_have_attribute("data-epoch", "1")
    for epoch in ("3", "5"):
        root.page.clock.run_for(1150)
        expect(root).to_have_attribute("data-epoch", epoch)
    expect(button).to_be_visible()


def test_two_explorers_in_a_page_do_not_meddle(bare, root, explorer):
    bare.set_content(explorer.html() + explorer.html())
    first, second = (settled(bare.locator(".eacbook-features").nth(place)) for place in (0, 1))
    go_to(second, "Home", 1)
    second.get_by_role("radio", name="given label").check()
    assert_drawn(first, explorer.data, 5, "label")
    assert_drawn(second, explorer.data, 1, "given")


@pytest.mark.parametrize("bare", [{"java_script_enabled": False}], indirect=True)
def test_without_scripts_there_is_the_picture(bare):
    expect(bare.get_by_role("img", name="Maps of the features")).to_be_visible()
    expect(bare.get_by_role("slider")).to_have_count(0)


def test_it_is_drawn_anew_when_it_comes_back(bare, root, explorer):
    """JupyterLab takes cells off the page and puts them back."""
    bare.evaluate(
        """() => {
            const root = document.querySelector(".eacbook-features");
            root.remove();
            document.body.style.width = "700px";
            document.body.append(root);
        }"""
    )
    go_to(root, "Home", 1)
    assert_drawn(root, explorer.data, 1, "label")


def test_a_frontend_may_run_the_script_from_elsewhere(bare, root, explorer):
    """As jQuery does in the classic notebook: from the head, when the rest is in place."""
    bare.evaluate(
        """html => {
            document.body.innerHTML = html;
            const run = document.querySelector(".eacbook-features script:not([type])").textContent;
            document.head.append(Object.assign(document.createElement("script"), {text: run}));
        }""",
        explorer.html(),
    )
    settled(root)
    assert_drawn(root, explorer.data, 5, "label")


CELL = f"""
from eacbook.book.widgets.features import FeatureExplorer
{inspect.getsource(small_recording)}
FeatureExplorer(*small_recording())
"""


def test_in_jupyterlab(page, lab, explorer, recording):
    """Its keys stay with it, and it asks for nothing."""
    lab.write("features.ipynb", CELL, "'a cell below'")
    open_and_run_all(page, "features.ipynb")
    page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex = 0")
    root = page.locator(".eacbook-features")
    root.scroll_into_view_if_needed()
    settled(root)
    assert_drawn(root, explorer.data, 5, "label")
    for key, epoch in (("Home", 1), ("ArrowUp", 3), ("ArrowDown", 1)):
        go_to(root, key, epoch)
        assert_drawn(root, explorer.data, epoch, "label")
    root.get_by_role("radio", name="right or wrong").press("ArrowUp")
    assert_drawn(root, explorer.data, 1, "true")
    press(maps(root).first, "ArrowDown")
    assert_shows_face(root, recording, 3)
    assert page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex") == 0
    assert page.watch.outside == [] and page.watch.errors == []


def test_in_a_notebook_that_is_not_trusted(page, lab, explorer):
    """Whoever opens another person's notebook sees the picture, and nothing of the script."""
    lab.write("features_of_others.ipynb", CELL)
    path = lab.folder / "features_of_others.ipynb"
    notebook = nbformat.read(path, as_version=4)
    bundle, _ = explorer._repr_mimebundle_()
    notebook.cells[0].outputs = [nbformat.v4.new_output("display_data", bundle)]
    nbformat.write(notebook, path)
    open_notebook(page, path.name)
    output = page.locator(".jp-OutputArea-output")
    expect(output.get_by_role("img", name="Maps of the features")).to_be_visible()
    expect(output.get_by_role("slider")).to_have_count(0)
    assert output.inner_text().strip() == ""
