"""The stand-in for FERPlus is packed as FERPlus is, voted on as people vote, and says what it is."""

import csv
import importlib
import io
import json
import os
import zipfile
from pathlib import Path

import pytest
import torch
from conftest import NOTEBOOKS, ROOT, read_notebook

from eacbook.book import stand_in
from eacbook.book.stand_in import answer_odds, cast_votes, name_stand_in, pack_stand_in
from eacbook.classes import CLASSES
from eacbook.data.faces import load_faces
from eacbook.experiments.published import find_published
from eacbook.noise.matrices import SINGLE_VOTES

SAVED = [NOTEBOOKS / place / "08_real_faces.ipynb" for place in ("", "solutions")]
FERPLUS = Path(os.environ.get("EACBOOK_SHARED", ROOT.parent / "shared")) / "data" / "ferplus.zip"

ferplus = importlib.import_module("eacbook.data.prepare.ferplus")

FACES = {"train": 140, "validation": 40, "test": 60}


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    path = tmp_path_factory.mktemp("stand-in") / "stand-in.zip"
    pack_stand_in(path, FACES)
    return path


@pytest.fixture(scope="module")
def prepared(packed):
    folder = packed.with_suffix("")
    description = ferplus.prepare(packed, folder)
    return folder, description["notes"]


def lines_of(path, split):
    with zipfile.ZipFile(path) as archive:
        content = archive.read(f"{stand_in.FOLDERS[split]}/label.csv").decode()
    return list(csv.reader(io.StringIO(content)))


@pytest.mark.slow
def test_the_same_seed_packs_the_same_bytes_and_another_one_others(packed, tmp_path):
    again, other = tmp_path / "again.zip", tmp_path / "other.zip"
    pack_stand_in(again, FACES)
    pack_stand_in(other, FACES, seed=1)
    assert again.read_bytes() == packed.read_bytes() != other.read_bytes()


def test_it_has_the_layout_of_ferplus(packed):
    assert tuple(name.replace("not a face", "not_a_face") for name in stand_in.COLUMNS) == (
        ferplus.CHOICES
    )
    assert stand_in.FOLDERS == ferplus.FOLDERS
    for split, count in FACES.items():
        lines = lines_of(packed, split)
        assert len(lines) == count
        assert all(len(line) == 12 and sum(map(int, line[2:])) == 10 for line in lines)
    assert lines_of(packed, "train")[0][:2] == ["fer0000000.png", "(0, 0, 48, 48)"]
    assert lines_of(packed, "validation")[0][0] == "fer0000140.png"


@pytest.mark.slow
@pytest.mark.skipif(not FERPLUS.is_file(), reason="no ferplus.zip: needs the reader's own copy")
def test_a_line_reads_as_in_the_real_archive(packed):
    def form(path):
        with zipfile.ZipFile(path) as archive, archive.open("FER2013Train/label.csv") as lines:
            line = next(csv.reader([lines.readline().decode()]))
        return len(line), line[:2], sum(map(int, line[2:]))

    assert form(FERPLUS) == form(packed)


def test_the_script_prepares_it_with_all_that_is_awkward_in_ferplus(prepared):
    folder, notes = prepared
    faces = load_faces(folder)
    assert faces.classes == CLASSES[:7] and faces.train.images.shape[1:] == (1, 48, 48)
    assert faces.train.votes.shape == (len(faces.train), 7)
    assert set(faces.train.labels.tolist()) == set(range(7))
    kept = sum(sum(counts.values()) for counts in notes["kept"].values())
    assert 0.85 * sum(FACES.values()) < kept < sum(FACES.values())
    assert notes["dropped"]["no_majority"]["train"] and notes["dropped"]["not_a_face"]["train"]
    seen = {image.numpy().tobytes() for image in faces.train.images}
    assert len(seen) < len(faces.train), "the training split should repeat itself"
    assert any(image.numpy().tobytes() in seen for image in faces.test.images)


def test_a_prepared_stand_in_says_that_it_is_one(prepared):
    folder, _ = prepared
    before = load_faces(folder)
    name_stand_in(folder)
    faces = load_faces(folder)
    assert faces.source == stand_in.SOURCE and faces.licence == stand_in.LICENCE
    assert faces.fingerprint == before.fingerprint
    assert find_published(before) and find_published(faces) is None, "the paper is not about it"


def test_annotators_err_as_people_do_and_the_more_the_fainter_the_face():
    labels = torch.arange(7).repeat_interleave(4000)
    faintness = torch.linspace(0, 1, 4000).repeat(7)
    odds = answer_odds(labels, faintness)
    assert torch.allclose(odds.sum(1), torch.ones(len(odds), dtype=torch.float64))
    assert odds.min() >= 0
    emotions = odds[:, [stand_in.COLUMNS.index(name) for name in CLASSES[:7]]]
    emotions = emotions / emotions.sum(1, keepdim=True)
    for label in range(7):
        average = emotions[labels == label].mean(0)
        row = torch.tensor(SINGLE_VOTES[label], dtype=torch.float64)
        assert torch.allclose(average, row, atol=2e-3)
        certain = emotions[labels == label][:, label]
        assert certain[0] == 1 and (certain.diff() <= 0).all()


def test_votes_follow_their_odds():
    odds = torch.tensor([[0.5, 0.5, 0, 0, 0, 0, 0, 0, 0, 0]], dtype=torch.float64).repeat(2000, 1)
    votes = cast_votes(odds, torch.Generator().manual_seed(0))
    assert (votes.sum(1) == 10).all() and not votes[:, 2:].any()
    assert abs(votes[:, 0].double().mean() - 5) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.parent.name)
def test_what_is_saved_of_the_notebook_was_made_with_the_stand_in(path):
    """No saved output may hold a real face."""
    saved = read_notebook(path)
    texts = [o.text for cell in saved.cells for o in cell.get("outputs", []) if "text" in o]
    assert any("STAND-IN" in text for text in texts)
    assert "stand-in: 1,122 to train" in "".join(texts)


def test_the_description_is_whole(prepared):
    folder, notes = prepared
    name_stand_in(folder)
    assert json.loads((folder / "faceset.json").read_text())["notes"] == json.loads(
        json.dumps(notes)
    )
