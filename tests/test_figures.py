"""Figures and pictures show what they are given."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from eacbook import palette
from eacbook.figures import loss_histograms, training_curves, transition_matrix
from eacbook.noise import symmetric_matrix
from eacbook.pictures import (
    attention_sheet,
    face_sheet,
    matrix_picture,
    overlay,
    picture_grid,
    png,
    tensor_pictures,
)
from eacbook.train import Run

CLASSES = ("surprise", "fear", "disgust")


def colour_count(picture, colour):
    wanted = np.array(tuple(bytes.fromhex(colour[1:])))
    return int((np.asarray(picture.convert("RGB")) == wanted).all(-1).sum())


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


def test_overlay_is_grey_without_attention_and_hot_where_it_is():
    image = torch.full((3, 48, 48), 200, dtype=torch.uint8)
    heat_map = torch.zeros(96, 96)
    heat_map[:, 48:] = 1
    shown = np.asarray(overlay(image, heat_map, 96), int)
    left, right = shown[:, :48], shown[:, 48:]
    assert np.ptp(left, axis=-1).max() <= 4, "grey: red, green and blue are alike"
    assert right.mean() > 2 * left.mean()


def test_views_come_back_as_the_pictures_they_were():
    from eacbook.augment import normalise

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


def test_histograms_hold_every_sample_once():
    losses = torch.tensor([0.1, 0.2, 0.1, 2.0, 3.0])
    flipped = torch.tensor([False, False, False, True, True])
    right, wrong = loss_histograms({"baseline": losses}, flipped).data
    assert np.isclose(sum(right.y), 1) and np.isclose(sum(wrong.y), 1)
    assert max(x for x, y in zip(right.x, right.y, strict=True) if y) < 0.3
    assert min(x for x, y in zip(wrong.x, wrong.y, strict=True) if y) > 1.9


def test_matrix_figure_is_in_percent():
    figure = transition_matrix(symmetric_matrix(0.3, 3), CLASSES, "title")
    assert np.allclose(np.diag(figure.data[0].z), 70)
