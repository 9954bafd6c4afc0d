"""The explorer's page holds what was recorded, and shows something where scripts are not run."""

import base64
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from recordings import small_recording

import eacbook as eb
from eacbook.book.widgets.features import FeatureExplorer
from eacbook.errors import InputError
from eacbook.experiments.features import neighbour_shares
from eacbook.plots import palette
from eacbook.plots.pictures import MARGIN, face_picture

CELLS = 8


@pytest.fixture(scope="module")
def recording():
    return small_recording()


@pytest.fixture(scope="module")
def explorer(recording):
    return FeatureExplorer(*recording)


def embedded(html):
    (text,) = re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    return json.loads(text)


def test_the_page_holds_the_data(explorer):
    assert embedded(explorer.html()) == json.loads(json.dumps(explorer.data))


def test_labels_and_epochs_are_those_recorded(explorer, recording):
    recorded, _, _, faces = recording
    one = recorded["baseline"]
    assert explorer.data["given"] == one.given.tolist()
    assert explorer.data["true"] == one.true.tolist()
    assert explorer.data["epochs"] == [1, 3, 5]
    assert explorer.data["classes"] == list(faces.classes)
    assert explorer.data["class_colours"] == list(palette.EXPRESSIONS.values())[:7]


def test_positions_are_those_of_the_map(explorer, recording):
    for method in explorer.data["methods"]:
        stored = np.frombuffer(base64.b64decode(method["positions"]), "<u2").reshape(3, 60, 2)
        places = stored / 65535 * (CELLS - 1)
        assert np.abs(places - recording[1][method["name"]].numpy()).max() < 1e-3


def test_numbers_are_those_of_the_epochs_shown(explorer, recording):
    recorded, _, epochs, _ = recording
    for method in explorer.data["methods"]:
        shares = neighbour_shares(recorded[method["name"]])
        for epoch, (among_true, among_given, purity) in zip(epochs, method["shares"], strict=True):
            assert among_true == f"{100 * shares['among_true'][epoch]:.0f} %"
            assert among_given == f"{100 * shares['among_given'][epoch]:.0f} %"
            wrong, right = (shares[name][epoch] for name in ("purity_wrong", "purity_right"))
            assert purity == f"{100 * wrong:.0f} % | {100 * right:.0f} %"


def test_without_wrong_labels_there_is_a_dash(recording):
    recorded, positions, epochs, faces = recording
    clean = {name: replace(one, given=one.true) for name, one in recorded.items()}
    method = FeatureExplorer(clean, positions, epochs, faces).data["methods"][0]
    assert method["shares"][0][:2] == ["-", "-"]


def test_every_face_is_in_its_place_in_the_atlas(explorer, recording):
    recorded, _, _, faces = recording
    content = base64.b64decode(explorer.data["atlas"].removeprefix("data:image/webp;base64,"))
    atlas = np.asarray(Image.open(io.BytesIO(content)), int)
    side, columns = explorer.data["face"], explorer.data["columns"]
    own = np.stack([face_picture(i, side) for i in faces.train.images[recorded["baseline"].rows]])
    for face in range(60):
        y, x = face // columns * side, face % columns * side
        stored = atlas[y : y + side, x : x + side]
        differences = np.abs(own - stored).mean((1, 2, 3))
        assert differences.argmin() == face and differences[face] < 10


def test_picture_marks_right_and_wrong_labels_where_they_lie(explorer, recording):
    recorded, positions, *_ = recording
    picture = np.asarray(Image.open(io.BytesIO(explorer.picture)).convert("RGBA"), int)
    side = picture.shape[1] // 2
    lines = picture.shape[0] - side
    for place, (name, one) in enumerate(recorded.items()):
        middle = MARGIN + positions[name][-1] / (CELLS - 1) * (side - 2 * MARGIN)
        x, y = (middle + torch.tensor([place * side, lines // 5])).round().int().unbind(1)
        for pixel, wrong in zip(picture[y, x], one.wrong, strict=True):
            colour = palette.WRONG if wrong else palette.RIGHT
            assert np.abs(pixel - np.array([*bytes.fromhex(colour[1:]), 255], int)).max() < 60
    assert picture[lines // 5 + 60, side // 2, 3] == 0, "the ground is transparent"


def test_no_name_can_leave_its_place(recording):
    recorded, positions, epochs, faces = recording
    names = ("</script><u>surprise", '"fear" & <u>', *faces.classes[2:])
    html = FeatureExplorer(recorded, positions, epochs, replace(faces, classes=names)).html()
    assert embedded(html)["classes"] == list(names)
    assert "<u>" not in html
    assert "EAC &amp; &lt;co&gt;" in html and "<co>" not in html


def test_the_page_asks_for_nothing(explorer):
    assert re.findall('https?:|//[a-z]+[.]|src=(?!"data:)|@import|url[(]', explorer.html()) == []


@pytest.mark.slow
def test_a_saved_notebook_keeps_a_picture_and_stays_small():
    faces = eb.synthetic_faces(400, 7, 7)
    one = next(iter(small_recording()[0].values()))
    labels = faces.train.labels
    big = replace(
        one, rows=torch.arange(400), given=labels, true=labels, features=torch.rand(10, 400, 4)
    )
    positions = {name: torch.rand(10, 400, 2) for name in ("baseline", "EAC")}
    explorer = FeatureExplorer(dict.fromkeys(positions, big), positions, range(10), faces)
    bundle, _ = explorer._repr_mimebundle_()
    assert bundle["text/plain"] == "FeatureExplorer"
    assert base64.b64decode(bundle["image/png"]) == explorer.picture
    assert (
        f'<img src="data:image/png;base64,{bundle["image/png"]}" alt="Maps' in bundle["text/html"]
    )
    assert sum(map(len, bundle.values())) < 600_000


def test_what_does_not_belong_together_is_refused(recording):
    recorded, positions, epochs, faces = recording
    first, second = recorded
    with pytest.raises(InputError, match="do not fit"):
        FeatureExplorer({first: recorded[first]}, positions, epochs, faces)
    with pytest.raises(InputError, match="do not fit"):
        FeatureExplorer({}, {}, epochs, faces)
    other = replace(recorded[second], given=recorded[second].true)
    with pytest.raises(InputError, match="other faces or labels"):
        FeatureExplorer(recorded | {second: other}, positions, epochs, faces)
    with pytest.raises(InputError, match=r"\[3, 60, 2\], not \[2, 60, 2\]"):
        FeatureExplorer(recorded, positions, epochs[:2], faces)
