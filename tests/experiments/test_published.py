"""The paper's numbers: where they are found, and where there are none."""

from dataclasses import replace

import pytest

from eacbook.experiments.published import (
    RATES,
    TABLE,
    differences,
    find_published,
    published_accuracy,
)
from eacbook.training.recipe import Recipe


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("rafdb", "my photographs", "RAF-DB"),
        ("faces", "RAF-DB, basic expressions", "RAF-DB"),
        ("ferplus-most-voted", "FERPlus", "FERPlus"),
        ("AffectNet_7", "somewhere", "AffectNet"),
    ],
)
def test_sets_are_known_by_source_or_name(faces, name, source, expected):
    assert find_published(replace(faces, name=name, source=source)).name == expected


def test_drawn_faces_are_no_set_of_the_paper(faces):
    assert find_published(faces) is None
    assert published_accuracy(None, "eac", 0.1) is None


def test_numbers_stand_only_beside_what_was_measured():
    rafdb = TABLE["rafdb"]
    assert published_accuracy(rafdb, "eac", 0.1) == pytest.approx(0.8802)
    for method, rate, kind in (
        ("eac", 0.4, "symmetric"),
        ("eac", 0.1, "pair"),
        ("eac:weight=2", 0.1, "symmetric"),
        ("coteaching", 0.1, "symmetric"),
    ):
        assert published_accuracy(rafdb, method, rate, kind) is None


def test_table_is_whole_and_falls_with_the_noise():
    for published in TABLE.values():
        assert set(published.accuracy) == {"baseline", "scn", "rul", "eac"}
        for accuracies in published.accuracy.values():
            assert len(accuracies) == len(RATES)
            assert list(accuracies) == sorted(accuracies, reverse=True)


def test_the_papers_own_setting_differs_in_nothing_but_the_images(faces):
    recipe = Recipe(epochs=60, batch_size=32, size=224, balanced=True)
    seven = replace(faces, classes=tuple("abcdefg"))
    assert differences(TABLE["affectnet"], seven, "resnet18", "MS-Celeb-1M faces", recipe) == []
    told = differences(TABLE["rafdb"], seven, "resnet18", "imagenet", recipe)
    assert told == [
        "first weights: imagenet (paper: MS-Celeb-1M faces)",
        "sampler: class-balanced (paper: every face once)",
        "training faces: 96 (paper: 12,271)",
    ]
