"""Going on after an interruption: the same set to the last byte, and nothing of another one."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eacbook.data import prepared
from eacbook.data.faces import load_faces
from eacbook.data.prepared import LabelledImage, find_unfinished, write_faces
from eacbook.errors import InputError

COUNT = 40
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 4, 6, 3), dtype=np.uint8)
FACTS = {
    "classes": ("one", "two"), "image_shape": (4, 6, 3), "source": "test", "licence": "none"
}  # fmt: skip


def images(start=0, stop=COUNT):
    for row in range(start, stop):
        split = "train" if row < 30 else "test"
        name = f'{row},"\r\n.jpg'  # a name that needs its quotes
        yield LabelledImage(split, row % 2, name, PIXELS[row])


def interrupted(at, error):
    yield from images(0, at)
    raise error


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(at=st.integers(0, COUNT), note=st.integers(1, 12), torn=st.integers(0, 100))
def test_a_set_that_was_interrupted_is_the_same_set(tmp_path_factory, at, note, torn):
    here = tmp_path_factory.mktemp("prepared")
    write_faces(here / "whole", images(), **FACTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepared, "ROWS_A_NOTE", note)
        with pytest.raises(KeyboardInterrupt):
            unfinished = find_unfinished(here / "set", "key")
            write_faces(
                here / "set", interrupted(at, KeyboardInterrupt()), unfinished=unfinished, **FACTS
            )
        partial = here / "set.partial"
        assert not (here / "set").exists() and partial.exists() == (at >= note)
        if at >= note:  # what a kill in the middle of a row leaves behind the last note
            for name in ("images.npy", "labels.csv"):
                with (partial / name).open("ab") as file:
                    file.write(b'"' * torn)
        unfinished = find_unfinished(here / "set", "key")
        assert unfinished.rows == at // note * note
        write_faces(here / "set", images(unfinished.rows), unfinished=unfinished, **FACTS)
    assert contents(here / "set") == contents(here / "whole")
    assert not partial.exists()
    assert np.array_equal(
        load_faces(here / "set").train.images.permute(0, 2, 3, 1).numpy(), PIXELS[:30]
    )


@pytest.fixture
def beginning(tmp_path, monkeypatch):
    """Where a set is half written."""
    monkeypatch.setattr(prepared, "ROWS_A_NOTE", 4)
    with pytest.raises(InputError, match="a broken image"):
        write_faces(
            tmp_path / "set",
            interrupted(10, InputError("a broken image")),
            unfinished=find_unfinished(tmp_path / "set", "key"),
            **FACTS,
        )
    return tmp_path / "set"


def test_the_beginning_of_another_set_is_neither_continued_nor_lost(beginning):
    before = contents(beginning.with_name("set.partial"))
    with pytest.raises(InputError, match=r"set\.partial is the beginning of a set from another so"):
        find_unfinished(beginning, "another key")
    with pytest.raises(InputError, match=r"set\.partial is the beginning of another set"):
        write_faces(beginning, images(), **FACTS)
    assert contents(beginning.with_name("set.partial")) == before


@pytest.mark.parametrize("name", ["images.npy", "labels.csv"])
def test_files_that_are_shorter_than_noted_are_refused(beginning, name):
    path = beginning.with_name("set.partial") / name
    path.write_bytes(path.read_bytes()[:100])
    unfinished = find_unfinished(beginning, "key")
    with pytest.raises(InputError, match=rf"{name} is shorter than progress\.json"):
        write_faces(beginning, images(8), unfinished=unfinished, **FACTS)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"rows": 1, "other": 2}',
        "\0",
        "[" * 100_000,
        {"rows": "4"},
        {"rows": -4},
        {"label_bytes": 1.5},
        {"counts": []},
        {"counts": {"dev": [4, 0]}},
        {"counts": {"train": 4}},
        {"counts": {"train": [1]}},
        {"last": None},
        {"histogram": [[1, 2], [3]]},
        {"histogram": [[1, 2, 3]]},
        {"histogram": "much"},
    ],
    ids=str,
)
def test_a_damaged_note_is_refused(beginning, text):
    note = beginning.with_name("set.partial") / "progress.json"
    if isinstance(text, dict):
        text = json.dumps(json.loads(note.read_text()) | text)
    note.write_text(text)
    with pytest.raises(InputError, match=r"progress\.json is damaged.* remove .*set\.partial"):
        write_faces(beginning, images(8), unfinished=find_unfinished(beginning, "key"), **FACTS)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("one", "one"), "'one' occurs twice"),
        (("Freude\u0301", "Freud\u00e9"), "occurs twice"),
        (("one", "t\0wo"), r"'t\\x00wo' holds a letter that cannot be shown"),
        (("one", ""), "expected a list of names"),
        ("one", "expected a list of names"),
    ],
)
def test_classes_that_cannot_be_told_apart_are_refused(classes, message, tmp_path):
    with pytest.raises(InputError, match=message):
        write_faces(tmp_path / "set", images(), **FACTS | {"classes": classes})
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_no_text_is_refused(tmp_path):
    image = LabelledImage("train", 0, "a\udcff.jpg", PIXELS[0])
    with pytest.raises(InputError, match=r"'a\\udcff.jpg' is not UTF-8"):
        write_faces(tmp_path / "set", [image], **FACTS)
    assert not list(tmp_path.iterdir())
