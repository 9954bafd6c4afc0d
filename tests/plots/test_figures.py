"""Figures and pictures show what they are given."""

import io
import math

import numpy as np
import plotly.io
import pytest
import torch
from PIL import Image

from eacbook.book.pictures import saved
from eacbook.evaluation.attention import heat
from eacbook.noise.matrices import symmetric_matrix
from eacbook.plots import palette
from eacbook.plots.figures import (
    confusion_matrices,
    description,
    loss_film,
    loss_histograms,
    ranking_curves,
    rate_curves,
    still,
    training_curves,
    transition_matrix,
)
from eacbook.plots.pictures import (
    attention_sheet,
    captioned,
    described,
    face_picture,
    face_sheet,
    matrix_picture,
    overlay,
    picture_grid,
    png,
    side_by_side,
    tensor_pictures,
)
from eacbook.training.state import Run

CLASSES = ("surprise", "fear", "disgust")


def colour_count(picture, colour):
    """Opaque pixels of this colour."""
    wanted = np.array((*bytes.fromhex(colour[1:]), 255))
    return int((np.asarray(picture) == wanted).all(-1).sum())


def test_sheet_frames_the_wrong_labels_and_only_those():
    images = torch.full((4, 1, 48, 48), 128, dtype=torch.uint8)
    true = torch.tensor([0, 1, 2, 0])
    clean = face_sheet(images, true, true, CLASSES)
    one = face_sheet(images, torch.tensor([1, 1, 2, 0]), true, CLASSES)
    two = face_sheet(images, torch.tensor([1, 1, 0, 0]), true, CLASSES)
    counts = [colour_count(sheet, palette.WRONG) for sheet in (clean, one, two)]
    assert counts[0] == 0
    assert counts[1] > 1000 and counts[2] > 1.8 * counts[1]


def test_matrix_picture_colours_what_stays_and_what_goes():
    stays = matrix_picture(torch.eye(3), CLASSES)
    goes = matrix_picture(torch.eye(3).roll(1, 1), CLASSES)
    assert colour_count(stays, palette.RIGHT) > 3000 > colour_count(stays, palette.WRONG)
    assert colour_count(goes, palette.WRONG) > 3000 > colour_count(goes, palette.RIGHT)


def test_matrix_picture_tints_by_share_and_writes_percent():
    some, more = (matrix_picture(torch.full((3, 3), share), CLASSES) for share in (0.1, 0.4))
    assert some.size == more.size
    cell = some.width // 2, some.height - 20  # of the last row, below its number
    assert 0 < some.getpixel(cell)[3] < more.getpixel(cell)[3] < 255


def test_pictures_leave_the_ground_to_the_page_but_not_the_faces():
    images = torch.full((1, 1, 48, 48), 128, dtype=torch.uint8)
    label = torch.tensor([0])
    sheet = face_sheet(images, label, label, CLASSES, columns=1, cell=104)
    pictures = [
        sheet,
        picture_grid({"a": images}),
        matrix_picture(torch.eye(3), CLASSES),
        attention_sheet(images, {}, ["fear"]),
        side_by_side(sheet, sheet),
    ]
    for picture in pictures:
        assert picture.getpixel((0, 0))[3] == 0
    assert sheet.getpixel((sheet.width // 2, 60)) == (128, 128, 128, 255)


def test_labels_of_neighbours_never_touch():
    images = torch.zeros(2, 1, 48, 48, dtype=torch.uint8)
    names = ("happiness", "contempt")
    sheet = face_sheet(
        images, torch.tensor([1, 1]), torch.tensor([0, 0]), names, columns=2, cell=40
    )
    captions = np.asarray(sheet)[60:, :, 3].max(0) > 0
    starts = np.flatnonzero(np.diff(captions.astype(int)) == 1)
    gap = captions[sheet.width // 2 - 3 : sheet.width // 2 + 3]
    assert not gap.any() and len(starts) >= 2
    assert not captions[:3].any() and not captions[-3:].any(), "nothing is cut"


def test_overlay_is_grey_without_attention_and_hot_where_it_is():
    image = torch.full((3, 48, 48), 200, dtype=torch.uint8)
    heat_map = torch.zeros(96, 96)
    heat_map[:, 48:] = 1
    shown = np.asarray(overlay(face_picture(image, 96), heat_map), int)
    left, right = shown[:, :48], shown[:, 48:]
    assert np.ptp(left, axis=-1).max() <= 4, "grey: red, green and blue are alike"
    assert (left == 200).all(), "the face is seen through"
    assert (right[..., 0] - right[..., 2]).min() > 20, "pale yellow, over grey"


def test_views_come_back_as_the_pictures_they_were():
    from eacbook.augment.normalise import normalise

    images = torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8)
    assert torch.equal(tensor_pictures(normalise(images)), images)


def test_png_is_a_png_of_the_right_size():
    rows = {"a": torch.zeros(3, 1, 48, 48, dtype=torch.uint8)}
    picture = picture_grid(rows)
    assert Image.open(io.BytesIO(png(picture))).size == picture.size


def test_attention_sheet_has_a_pair_of_columns_for_each_method():
    images = torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8)
    maps = {"baseline": (torch.rand(2, 6, 6), torch.rand(2, 6, 6))}
    one = attention_sheet(images, maps, ["fear", "anger"])
    two = attention_sheet(images, maps | {"eac": maps["baseline"]}, ["fear", "anger"])
    assert two.width - one.width == one.width / 2


@pytest.fixture
def run():
    rows = [
        {"epoch": epoch, "test_accuracy": 0.1 * epoch, "memorised": 0.2 * epoch, "recovered": 0.0}
        for epoch in (1, 2, 3)
    ]
    return Run(torch.nn.Identity(), rows, None, {})


def test_curves_hold_the_figures_of_every_epoch(run):
    figure = training_curves({"baseline": run, "eac": run})
    assert [trace.name for trace in figure.data] == ["baseline", "baseline", "eac", "eac"]
    assert list(figure.data[0].x) == [1, 2, 3]
    assert np.allclose(figure.data[0].y, [0.1, 0.2, 0.3])
    assert np.allclose(figure.data[1].y, [0.2, 0.4, 0.6])
    assert figure.data[0].line.color == palette.METHODS["baseline"]
    assert figure.layout.xaxis.dtick == 1, "no half epochs"


def test_rate_curves_hold_every_mean_with_its_spread():
    panels = {
        "symmetric": {"eac": {0: (90, 1), 30: (80, 2)}, "scn": {0: (70, 4), 30: (60, 5)}},
        "annotators": {"eac": {17: (57, 3)}},
    }
    figure = rate_curves(panels)
    assert "eac (annotators): 57." in description(figure)
    first, other, point = figure.data
    assert (list(first.x), list(first.y), list(first.error_y.array)) == ([0, 30], [90, 80], [1, 2])
    assert (point.y[0], point.error_y.array[0], point.xaxis) == (57, 3, "x2")
    assert [trace.showlegend for trace in (first, other, point)] == [True, True, False]
    assert len({(trace.line.dash, trace.marker.symbol) for trace in (first, other)}) == 2


def test_histograms_hold_every_sample_once():
    losses = torch.tensor([0.1, 0.2, 0.1, 2.0, 3.0])
    flipped = torch.tensor([False, False, False, True, True])
    right, wrong = loss_histograms({"baseline": losses}, flipped).data
    assert np.isclose(sum(right.y), 1) and np.isclose(sum(wrong.y), 1)
    assert max(x for x, y in zip(right.x, right.y, strict=True) if y) < 0.3
    assert min(x for x, y in zip(wrong.x, wrong.y, strict=True) if y) > 1.9


@pytest.mark.parametrize(("largest", "last"), [(0.02, "1+"), (3.0, "3+"), (23.5, "24+")])
def test_last_tick_of_the_losses_says_that_there_is_more(largest, last):
    losses = torch.full((10,), largest)
    figure = loss_histograms({"eac": losses, "baseline": losses}, losses.bool())
    assert figure.layout.xaxis.ticktext[-1] == figure.layout.xaxis2.ticktext[-1] == last
    assert len(figure.layout.xaxis.ticktext) <= 9


def test_faces_that_did_not_come_are_left_out_and_counted():
    """A balanced epoch leaves losses that are not numbers."""
    losses = torch.tensor([0.1, math.nan, 2.0, math.nan, 3.0, 0.2])
    came, flipped = ~losses.isnan(), torch.tensor([0, 0, 1, 1, 1, 0]).bool()
    figure = loss_histograms({"eac": losses, "baseline": losses.nan_to_num()}, flipped)
    known = loss_histograms({"eac": losses[came]}, flipped[came])
    for one, other in zip(figure.data[:2], known.data, strict=True):
        assert list(one.y) == list(other.y) and sum(one.y) == pytest.approx(1)
    titles = [title.text for title in figure.layout.annotations]
    assert "2 faces were not used" in titles[0] and titles[1] == "baseline"
    film = loss_film({"eac": torch.stack([losses, losses, losses.nan_to_num()])}, flipped)
    assert len(film.frames) == 3
    assert "on average 1 faces were not used" in film.layout.annotations[0].text
    nothing = loss_histograms({"eac": torch.full((6,), math.nan)}, flipped)
    assert not any(map(sum, (trace.y for trace in nothing.data)))


def test_figures_are_transparent_and_name_their_axes(run):
    losses = {"eac": torch.tensor([0.1, 2.0])}
    for figure in (
        training_curves({"eac": run}),
        loss_histograms(losses, torch.tensor([0, 1]) > 0),
    ):
        template = figure.layout.template.layout
        assert template.paper_bgcolor == template.plot_bgcolor == palette.CLEAR
        assert figure.layout.xaxis.title.text and figure.layout.yaxis.title.text


def test_confusions_are_in_percent_of_the_true_class_with_a_panel_for_each_run():
    matrix = torch.tensor([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    figure = confusion_matrices({"baseline": matrix, "eac": matrix.flip(0)}, CLASSES)
    cells, numbers, _, of_eac = figure.data
    assert list(numbers.text) == ["75", "25", "0", "25", "75", "0", "", "", ""]
    assert list(of_eac.text[:3]) == [""] * 3, "a class without a face"
    assert (np.asarray(cells.customdata) == matrix.numpy()).all()
    assert ((np.asarray(cells.z)[:2] > 0) == np.eye(3, dtype=bool)[:2]).all()
    assert [title.text for title in figure.layout.annotations] == ["baseline", "eac"]
    assert figure.layout.yaxis.title.text == "true class (its faces in %)"
    assert figure.layout.xaxis2.title.text == "predicted class"


def test_matrix_figure_is_in_percent_and_tells_right_from_wrong():
    cells, numbers = transition_matrix(symmetric_matrix(0.3, 3), CLASSES).data
    assert np.allclose(np.diag(cells.customdata), 70)
    assert ((np.asarray(cells.z) > 0) == np.eye(3, dtype=bool)).all()
    assert list(numbers.text) == ["70", "15", "15", "15", "70", "15", "15", "15", "70"]


def test_a_picture_says_what_it_shows_and_the_file_keeps_it():
    images = torch.zeros((3, 1, 48, 48), dtype=torch.uint8)
    sheet = face_sheet(images, torch.tensor([1, 0, 0]), torch.tensor([2, 0, 0]), CLASSES)
    text = "3 faces with their given labels: fear (truly disgust), 2 x surprise."
    assert described(png(sheet)) == text
    matrix = matrix_picture(torch.tensor([[1, 0, 0], [0.25, 0.75, 0], [0, 0, 1]]), CLASSES)
    assert "fear: surprise 25, fear 75; disgust: disgust 100." in described(png(matrix))
    assert described(png(side_by_side(sheet, matrix))).startswith(text)
    maps = {"eac": (torch.ones(3, 6, 6), torch.ones(3, 6, 6))}
    assert "eac" in described(png(attention_sheet(images, maps, ["a", "b", "c"])))
    shown = captioned({"a face": sheet, "its map": matrix})
    assert described(png(shown)) == "Beside each other: a face, its map."
    assert shown.height > max(sheet.height, matrix.height)
    content, metadata = saved(png(sheet))
    assert described(content) == metadata["alt"] == text


def test_an_empty_map_says_so():
    face = face_picture(torch.full((1, 48, 48), 128, dtype=torch.uint8), 120)
    nothing = heat(torch.full((6, 6), -1.0).index_fill(0, torch.tensor([2]), -1e-3), 120)
    grey, empty = np.asarray(face), np.asarray(overlay(face, nothing))
    written = (grey != empty).any(-1)
    assert not nothing.any() and 200 < written.sum() < written.size / 5
    assert written[45:80].sum() == written.sum()  # in the middle
    assert not (np.asarray(overlay(face, nothing + 1)) == 255).all(-1).any()


def test_a_figure_says_what_it_shows():
    rows = [{"epoch": e, "test_accuracy": e / 4, "memorised": 0.5} for e in (1, 2, 3)]
    run = Run(torch.nn.Identity(), rows, None, {})
    text = description(training_curves({"eac": run}))
    assert "eac (test faces recognised): from 25% to 75%, highest 75% at 3." in text
    assert "Vertical: share of the test faces; share of the wrong labels." in text
    counts = torch.tensor([[3, 1], [0, 4]])
    text = description(confusion_matrices({"one": counts, "two": counts}, ("calm", "angry")))
    assert "(two). calm: calm 75, angry 25; angry: angry 100." in text
    figures = [
        confusion_matrices({"one": counts}, ("calm", "angry")),
        loss_film({"eac": torch.rand(3, 40)}, torch.arange(40) < 9),
        training_curves({"eac": run}),
    ]
    for figure in figures:  # in a saved notebook arrays are bytes
        again = plotly.io.from_json(figure.to_json(), skip_invalid=True)
        assert description(again) == description(figure)
        assert len(still(again).data) == len(still(figure).data)


def test_a_film_becomes_a_row_of_frames_where_it_cannot_play():
    losses = {"baseline": torch.rand(9, 40), "eac": torch.rand(9, 40)}
    film = loss_film(losses, torch.arange(40) < 9)
    shown = still(film)
    assert not shown.frames and not shown.layout.updatemenus and not shown.layout.sliders
    assert len(shown.data) == 5 * 2 * 2
    titles = [note.text for note in shown.layout.annotations]
    assert titles == [f"epoch {epoch}" for epoch in (1, 3, 5, 7, 9)]
    assert list(shown.data[-1].y) == list(film.frames[-1].data[-1].y)
    names = [trace.name for trace in shown.data if trace.showlegend]
    assert names == ["right labels", "wrong labels"]
    assert "A film of 9 epochs" in description(film)
    assert still(shown) is shown


def test_ranking_curves_are_precision_and_recall_at_every_place():
    best = torch.tensor([True, True, False, False])
    figure = ranking_curves({"eac": best, "baseline": best.flip(0)})
    lines = {(line.name, line.xaxis): list(line.y) for line in figure.data}
    assert lines["eac", "x"] == pytest.approx([1, 1, 2 / 3, 1 / 2])
    assert lines["eac", "x2"] == [0.5, 1, 1, 1]
    assert lines["baseline", "x"] == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert lines["chance", "x"] == [0.5, 0.5] and lines["chance", "x2"] == [0, 1]
    assert [line.showlegend for line in figure.data] == [True, False] * 3
