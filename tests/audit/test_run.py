"""The audit as a user calls it: class folders in, page out, decisions applied; and bad input."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import prepare_stripes, striped_faces
from PIL import Image

from eacbook import cli
from eacbook.audit import scores as scores_module
from eacbook.audit.files import COLUMNS
from eacbook.audit.run import audit
from eacbook.audit.source import load_set
from eacbook.data.faces import load_faces
from eacbook.data.format import LABELS
from eacbook.errors import InputError
from eacbook.experiments import runs as runs_module

NAMES = ("a cat", "Hund", "птица")
"""Classes that are no expressions, with a space and in another script."""

SHORT = ("--quick", "--epochs", "8", "--device", "cpu")


def write_folders(root, count=60, wrong=(), persons=False):
    """Striped pictures in class folders; those in ``wrong`` lie in the folder of the next class."""
    faces = striped_faces(train=count).train
    for row, (image, label) in enumerate(zip(faces.images, faces.labels.tolist(), strict=True)):
        folder = root / NAMES[(label + (row in wrong)) % 3]
        folder.mkdir(parents=True, exist_ok=True)
        name = f"P{row // 4:02d}_{row}.png" if persons else f"{row:03d}.png"
        Image.fromarray(image[0].numpy()).save(folder / name)
    return root


def run(*arguments):
    return cli.main(["audit", *map(str, arguments)])


def digests(out, names=("audit.csv", "audit.json", "index.html")):
    return {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in names}


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """Class folders with four wrong labels, and their audit."""
    root = tmp_path_factory.mktemp("audit")
    folder = write_folders(root / "zoo", wrong=(5, 17, 23, 40))
    assert run(folder, *SHORT, "--out", root / "audit") == 0
    return folder, root / "audit"


@pytest.mark.slow
def test_every_picture_is_in_the_table_and_the_wrong_ones_lead_it(audited):
    _, out = audited
    with (out / "audit.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert tuple(lines[0]) == COLUMNS and COLUMNS[:6] == (
        "file", "split", "given", "suggested", "score", "rank",
    )  # fmt: skip
    assert len(lines) == 60 and [int(line["rank"]) for line in lines] == list(range(1, 61))
    scores = [float(line["score"]) for line in lines]
    assert scores == sorted(scores, reverse=True) and scores[-1] >= 0 and scores[0] <= 1
    first = {Path(line["file"]).stem for line in lines[:6]}
    assert {"005", "017", "023", "040"} <= first
    assert {line["split"] for line in lines} == {"train", "test"}
    assert all(line["mean_loss"] for line in lines)  # the split is ours, so all are trained on
    assert all(line["given"] == Path(line["file"]).parent.name for line in lines)
    facts = json.loads((out / "audit.json").read_text())
    assert facts["set"] == "data" and facts["classes"] == sorted(NAMES)
    tested = facts["self_test"]
    assert {*tested["found"]} == {"0.05", "0.1", "0.2"} and {*tested["by_class"]} <= {*NAMES}
    for share, found in tested["found"].items():
        of_classes = [own["found"][share]["count"] for own in tested["by_class"].values()]
        assert sum(of_classes) == found["count"] and found["low"] <= found["high"]
    assert "<title>" in (out / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_second_call_trains_nothing_and_writes_the_same_bytes(audited, monkeypatch, capsys):
    folder, out = audited
    before = digests(out)

    def no_training(*arguments, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr(runs_module, "train", no_training)
    assert run(folder, *SHORT, "--out", out) == 0
    assert digests(out) == before
    said = capsys.readouterr().out
    assert "60 pictures, 60 of them to train on, 3 classes" in said
    assert "seconds" in said and "GB of memory" in said
    assert "3 labels were made wrong on purpose" in said and "Preparing" not in said


@pytest.mark.slow
def test_an_interrupted_audit_goes_on_to_the_same_bytes(audited, tmp_path, monkeypatch):
    folder, out = audited
    steps = iter(range(7))
    on_batch_end = scores_module.Progress.on_batch_end

    def interrupt(self, training):
        on_batch_end(self, training)
        if next(steps, None) is None:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(scores_module.Progress, "on_batch_end", interrupt)
        assert run(folder, *SHORT, "--out", tmp_path / "audit") == 130
    assert not (tmp_path / "audit" / "audit.csv").exists()
    assert run(folder, *SHORT, "--out", tmp_path / "audit") == 0
    assert digests(tmp_path / "audit") == digests(out)


@pytest.mark.slow
def test_three_decisions_change_exactly_three_rows(audited, tmp_path, capsys):
    _, out = audited
    found = load_set(out / "data")
    rows = [row for row, split in enumerate(found.splits) if split == "train"][:3]
    lines = [["set", "row", "file", "decision", "label"]]
    lines += [
        [found.fingerprint, row, found.pictures.files[row], "relabel", found.classes[label]]
        for row in rows
        if (label := (int(found.given[row]) + 1) % 3) >= 0
    ]
    decisions = out / "decisions.csv"
    with decisions.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    assert run("--apply", decisions, "--out", tmp_path / "clean") == 0
    assert "labels changed: 3, pictures dropped: 0" in capsys.readouterr().out
    old, new = load_faces(out / "data"), load_faces(tmp_path / "clean")
    assert (old.train.labels != new.train.labels).nonzero().squeeze(1).tolist() == rows
    assert torch.equal(old.train.images, new.train.images)
    assert torch.equal(old.test.labels, new.test.labels)
    decisions.unlink()


@pytest.mark.slow
def test_a_set_that_stays_in_its_file_gives_the_same_audit(tmp_path, monkeypatch):
    prepare_stripes(tmp_path / "stripes")
    options = {"quick": True, "epochs": 2, "device": "cpu"}
    report = audit(tmp_path / "stripes", tmp_path / "one", **options)
    counts = dict.fromkeys(("train", "validation", "test"), 0)
    for suspect in report.suspects:
        counts[suspect.split] += 1
        assert (suspect.mean_loss is None) == (suspect.split != "train")
    assert counts == {"train": 96, "validation": 48, "test": 48}
    monkeypatch.setattr("eacbook.data.faces.LARGE_BYTES", 0)
    audit(tmp_path / "stripes", tmp_path / "two", **options)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


@pytest.mark.slow
def test_persons_are_known_from_the_paths_and_folds_respect_them(tmp_path, capsys):
    folder = write_folders(tmp_path / "zoo", persons=True)
    arguments = (folder, "--quick", "--epochs", 1, "--device", "cpu", "--out", tmp_path / "audit")
    assert run(*arguments, "--person", r"(P\d+)_", "--folds", 2) == 0
    assert "audit with tiny, epochs: 1, 2 trainings out of fold each, no person in two folds." in (
        capsys.readouterr().out
    )
    found = load_set(tmp_path / "audit" / "data")
    assert found.persons is not None and len(set(found.persons)) == 15
    of_split = {}
    for person, split in zip(found.persons, found.splits, strict=True):
        assert of_split.setdefault(person, split) == split


def broken(root):
    write_folders(root)
    (root / NAMES[0] / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing else")


def no_folders(root):
    root.mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(root / "one.png")


def one_class(root):
    write_folders(root)
    for name in NAMES[1:]:
        shutil.rmtree(root / name)


def small_class(root):
    write_folders(root)
    for path in sorted((root / NAMES[1]).iterdir())[2:]:
        path.unlink()


def no_pictures(root):
    for name in NAMES:
        (root / name).mkdir(parents=True)
        (root / name / "notes.txt").write_text("nothing")


def edited(change):
    """A prepared set with another ``labels.csv``, which its description knows."""

    def make(root):
        prepare_stripes(root)
        table, facts = root / LABELS, root / "faceset.json"
        table.write_text(change(table.read_text()))
        description = json.loads(facts.read_text())
        checksum = hashlib.sha256(table.read_bytes()).hexdigest()
        description["checksums"][LABELS] = checksum
        facts.write_text(json.dumps(description))

    return make


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (no_folders, "holds no image in a folder: expected a folder for every class"),
        (no_pictures, "holds no image in a folder: expected a folder for every class"),
        (one_class, "only a cat, expected at least two classes"),
        (small_class, "the class Hund has 2 pictures, expected at least 3"),
        (broken, "a cat/bad.png does not decode"),
        (edited(lambda text: text.replace("train_7.png", "")), "row 7 names no file"),
        (edited(lambda text: text.replace("191,test", "192,test")), "row 192, expected 0 to 191"),
        (edited(lambda text: text + "192,test,0,more.png\n"), "has 193 rows"),
        (lambda root: None, "there is no file or folder"),
        (lambda root: root.write_text("not an archive"), "zoo"),
    ],
)
def test_a_source_that_cannot_be_audited_gets_one_sentence(tmp_path, make, expected, capsys):
    make(tmp_path / "zoo")
    assert run(tmp_path / "zoo", *SHORT, "--out", tmp_path / "audit") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("eacbook: error: ") and expected in error
    assert not (tmp_path / "audit" / "audit.csv").exists()
    assert not (tmp_path / "audit" / "data").exists()


def test_two_classes_left_by_labels_get_one_sentence(tmp_path):
    with pytest.raises(InputError, match="the class class 2 has 0 training pictures"):
        edited(lambda text: text.replace("train,2", "train,1"))(tmp_path / "set")
        audit(tmp_path / "set", tmp_path / "audit", quick=True, device="cpu")


@pytest.mark.slow
def test_the_folder_of_an_audit_belongs_to_one_set(audited, tmp_path, capsys):
    folder, out = audited
    other = write_folders(tmp_path / "zoo", count=30)
    assert run(other, *SHORT, "--out", out) == 2
    assert "was made from other pictures" in capsys.readouterr().err
    assert run(folder, *SHORT, "--out", out, "--seed", "1") == 2
    assert "was made with seed=0, and now it is 1: remove it" in capsys.readouterr().err
    prepare_stripes(tmp_path / "set")
    assert run(tmp_path / "set", *SHORT, "--out", out) == 2
    assert "holds the audit of another set" in capsys.readouterr().err
    for inside in (folder, folder / "audit"):
        assert run(folder, *SHORT, "--out", inside) == 2
        assert "is inside" in capsys.readouterr().err
    assert run("--out", tmp_path / "x") == 2 and "needs SOURCE" in capsys.readouterr().err
    assert run(other, "--out", tmp_path / "x", "--splits", "test") == 2
    assert "--splits belongs to --apply" in capsys.readouterr().err


def test_broken_pictures_can_be_left_out(tmp_path):
    broken(tmp_path / "zoo")
    from eacbook.audit.source import prepare_folders

    prepare_folders(tmp_path / "zoo", tmp_path / "data", person=None, skip_broken=True, seed=0)
    assert len(load_set(tmp_path / "data")) == 60
