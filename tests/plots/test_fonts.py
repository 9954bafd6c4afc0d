"""Names in any script can be told apart in the pictures, with the fonts that a machine has."""

import io
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFont, features

from eacbook.book.widgets.attention import PREDICTED, Look, attention_view
from eacbook.book.widgets.losses import loss_view
from eacbook.book.widgets.noise import NoiseExplorer
from eacbook.data.faces import synthetic_faces
from eacbook.plots import fonts
from eacbook.plots.charts import Axis, Chart
from eacbook.plots.fonts import drawable, font_for, legend
from eacbook.plots.pictures import attention_sheet, face_sheet, matrix_picture, picture_grid

NAMES = [
    ("高兴", "悲伤"),
    ("기쁨", "슬픔"),
    ("فرح", "حزن"),
    ("χαρά", "λύπη"),
    ("Überraschung", "Übermüdung"),
    ("😀", "😢"),
    ("a\u200b", "a"),
    ("e\u0301", "é"),
    ("a\nb", "c"),
    (" ", "  "),
]


@pytest.fixture(autouse=True)
def afresh(monkeypatch):
    """Fonts are looked for again in every test."""
    fonts._installed.cache_clear()
    fonts._drawable.cache_clear()
    monkeypatch.setattr(fonts, "_found", {})
    yield
    fonts._installed.cache_clear()
    fonts._drawable.cache_clear()


@pytest.fixture
def no_fonts(monkeypatch, tmp_path):
    monkeypatch.setattr(fonts, "font_folders", lambda: [tmp_path])
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    return tmp_path


def pixels(picture):
    if isinstance(picture, bytes):
        picture = Image.open(io.BytesIO(picture))
    return picture.size, np.asarray(picture).tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.filterwarnings("ignore:no font here")
def test_two_names_never_look_alike(names, installed, request):
    if not installed:
        request.getfixturevalue("no_fonts")
    drawn = drawable(names)
    assert len({fonts._picture(font_for(text, 17), text) for text in drawn}) == 2
    image = torch.zeros(1, 1, 48, 48, dtype=torch.uint8)
    one, other = (face_sheet(image, torch.tensor([k]), torch.tensor([k]), names) for k in (0, 1))
    assert pixels(one) != pixels(other)
    for text, name, number in zip(drawn, names, ("class 1", "class 2"), strict=True):
        written = fonts._has(font_for(text, 17), text)
        assert written and (text == name or f"{number}: {name}" in legend(names))


def test_names_in_english_letters_are_drawn_as_ever():
    names = ("surprise", "fear", "happiness 2")
    assert drawable(names) == names and legend(names) == ""
    assert font_for("surprise", 17).getname() == ImageFont.load_default(17).getname()
    image = torch.zeros(1, 1, 48, 48, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture_grid({"surprise": image})


def test_an_installed_font_is_used_where_it_has_the_letters():
    names = ("χαρά", "λύπη")
    paths = [path for path in fonts._installed() if path.stem == "DejaVuSans"]
    if not paths:
        pytest.skip("DejaVu Sans, which has Greek letters, is not installed")
    assert drawable(names) == names and legend(names) == ""
    assert font_for("χαρά", 17).getname()[0] != ImageFont.load_default(17).getname()[0]


@pytest.mark.slow
def test_a_font_of_signs_alone_is_no_font_for_names(monkeypatch):
    """Beside a name stand English words, in the same line and font."""
    has = fonts._has
    monkeypatch.setattr(
        fonts, "_has", lambda font, text: has(font, text) and not set("is") & set(text)
    )
    fonts._is_built_in.cache_clear()
    assert drawable(("χαρά", "λύπη")) == ("class 1", "class 2")
    fonts._is_built_in.cache_clear()


def test_letters_that_must_be_joined_are_left_to_those_who_can(monkeypatch):
    monkeypatch.setattr(features, "check", lambda name: False)
    assert drawable(("فرح", "fear")) == ("class 1", "fear")


@pytest.mark.slow
@pytest.mark.usefixtures("no_fonts")
def test_numbers_are_explained_in_a_warning_or_beside_the_picture():
    names = ("高兴", "悲伤")
    assert legend(names) == "class 1: 高兴, class 2: 悲伤"
    with pytest.warns(UserWarning, match="number them: class 1: 高兴, class 2: 悲伤") as told:
        matrix_picture(torch.eye(2), names)
    assert told[0].filename == __file__
    faces = synthetic_faces(14, 7, 7)
    classes = ("高兴", *faces.classes[1:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # The oldest ipywidgets make the Comm that newer versions of ipykernel warn of.
        warnings.filterwarnings("ignore", ".*ipykernel.comm.Comm", DeprecationWarning)
        explorer = NoiseExplorer(replace(faces, classes=classes), shown=1)
    assert explorer.box.children[-1].value == "class 1: 高兴"


@pytest.mark.slow
@pytest.mark.usefixtures("no_fonts")
@pytest.mark.filterwarnings("ignore:no font here")
def test_every_picture_draws_the_numbers():
    """What is drawn with names that cannot be written is drawn with their numbers."""
    torch.manual_seed(0)
    names = ("高兴", "悲伤")
    image, maps = torch.zeros(1, 1, 48, 48, dtype=torch.uint8), torch.rand(1, 6, 6)
    look = Look(torch.tensor([1.0, 0.0]), torch.rand(2, 6, 6), torch.rand(2, 6, 6))
    losses, label = torch.rand(9), torch.tensor([0])

    def chart(names):
        empty = Chart.drawn(400, 200, Axis("x", 0, 1, [0]), Axis("y", 0, 1, [0]))
        empty.legend(dict.fromkeys(names, "#000000"))
        return empty.picture

    functions = {
        "class": [
            lambda names: face_sheet(image, label, 1 - label, names),
            lambda names: matrix_picture(torch.eye(2), names),
            lambda names: attention_view(image[0], {"eac": look}, PREDICTED, names),
        ],
        "run": [
            chart,
            lambda names: attention_view(
                image[0], dict.fromkeys(names, look), PREDICTED, ("a", "b"),
                curves={name: np.array([1.0, 2.0]) for name in names}, epoch=1,
            ),
            lambda names: loss_view(dict.fromkeys(names, losses), losses > 0.5, 1.0),
            lambda names: attention_sheet(image, dict.fromkeys(names, (maps, maps)), ["a"]),
        ],
        "row": [lambda names: picture_grid(dict.fromkeys(names, image))],
        "face": [lambda names: attention_sheet(image.expand(2, -1, -1, -1), {}, list(names))],
    }  # fmt: skip
    for word, drawing in functions.items():
        for draw in drawing:
            assert pixels(draw(names)) == pixels(draw((f"{word} 1", f"{word} 2"))), word
