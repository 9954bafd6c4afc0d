"""Decisions to a corrected copy: exactly the decided changes, and one sentence for any other line."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import pytest
import torch
from conftest import prepare_stripes
from hypothesis import given, settings
from hypothesis import strategies as st

from eacbook import cli
from eacbook.audit.decisions import CHANGES, HEADER, apply_decisions, read_decisions
from eacbook.data.faces import fingerprint_of, load_all, load_faces
from eacbook.data.format import read_description, read_labels
from eacbook.errors import InputError


@pytest.fixture(scope="module")
def stripes(tmp_path_factory):
    return Path(prepare_stripes(tmp_path_factory.mktemp("set") / "stripes", train=12, votes=True))


def decide(path, folder, *lines, header=HEADER):
    """Write decisions: ``(row, decision, label)`` with set and file of the row, or whole lines."""
    whole, _ = load_all(folder)
    mark = fingerprint_of(read_description(folder / "faceset.json"))
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(header)
        for line in lines:
            row, *rest = line
            short = len(line) == 3
            table.writerow([mark, row, whole.files[row], *rest] if short else line)
    return path


def content(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_the_copy_has_exactly_the_decided_changes(stripes, tmp_path):
    before = content(stripes)
    decisions = decide(
        tmp_path / "decisions.csv", stripes,
        (0, "relabel", "class 2"), (3, "drop", ""), (4, "keep", ""), (5, "unsure", ""),
        (7, "relabel", "class 1"), (20, "relabel", "class 0"), (70, "drop", ""),
    )  # fmt: skip
    applied = apply_decisions(decisions, tmp_path / "clean", source=stripes)
    assert content(stripes) == before
    old, _ = load_all(stripes)
    new = load_faces(tmp_path / "clean")
    kept = [row for row in range(12) if row != 3]
    assert torch.equal(new.train.images, old.images[kept])
    expected = old.labels[kept].clone()
    expected[0] = 2
    assert torch.equal(new.train.labels, expected)
    assert torch.equal(new.train.votes, old.votes[kept])
    assert torch.equal(new.test.labels, load_faces(stripes).test.labels)
    lines = list(csv.DictReader((tmp_path / "clean" / CHANGES).open(encoding="utf-8")))
    # Row 7 is of class 1 already; rows 20 and 70 are not in the training split.
    assert [(line["row"], line["from"], line["to"], line["applied"]) for line in lines] == [
        ("0", "class 0", "class 2", "yes"),
        ("3", "class 0", "", "yes"),
        ("20", old_name(old, 20), "class 0", "no"),
        ("70", old_name(old, 70), "", "no"),
    ]
    said = str(applied)
    assert "labels changed: 1, pictures dropped: 1" in said
    assert "validation: 1 decision not applied" in said and "--splits train test" in said
    notes = json.loads((tmp_path / "clean" / "faceset.json").read_text())["notes"]
    assert notes["corrected"]["relabelled"] == 1 and notes["corrected"]["dropped"] == 1

    apply_decisions(decisions, tmp_path / "all", source=stripes, splits=("train", "test"))
    assert len(load_faces(tmp_path / "all").test) == 47
    assert torch.equal(
        load_faces(tmp_path / "all").validation.labels, load_faces(stripes).validation.labels
    )


def old_name(whole, row):
    return f"class {int(whole.labels[row])}"


MARK = "set"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([("0", "drop")], "line 2: 2 fields, expected 5"),
        ([("elsewhere", "0", "train_0.png", "drop", "")], "about the set 'elsewhere', expected"),
        ([(MARK, "108", "train_0.png", "drop", "")], "row '108', expected a number from 0 to 107"),
        ([(MARK, "-1", "train_0.png", "drop", "")], "row '-1', expected a number from 0 to 107"),
        ([(MARK, "²", "train_0.png", "drop", "")], "expected a number from 0 to 107"),
        ([(MARK, "1", "train_0.png", "drop", "")], "row 1 is 'train_1.png', and the line names"),
        ([(MARK, "0", "train_0.png", "burn", "")], "decision 'burn', expected one of keep"),
        ([(MARK, "0", "train_0.png", "relabel", "dog")], "the class 'dog' is unknown"),
        ([(MARK, "0", "train_0.png", "relabel", "")], "the class '' is unknown"),
        ([(MARK, "0", "train_0.png", "drop", "class 1")], "drop with the label 'class 1'"),
        ([(0, "drop", ""), (0, "keep", "")], "line 3: row 0 is decided here for the second time"),
        (
            [(row, "relabel", "class 0") for row in (1, 4, 7, 10)],
            "leave no training picture of the class class 1",
        ),
    ],
)
def test_a_bad_line_gets_one_sentence_and_writes_nothing(stripes, tmp_path, lines, expected):
    mark = fingerprint_of(read_description(stripes / "faceset.json"))
    lines = [tuple(mark if field is MARK else field for field in line) for line in lines]
    decisions = decide(tmp_path / "decisions.csv", stripes, *lines)
    with pytest.raises(InputError) as error:
        apply_decisions(decisions, tmp_path / "clean", source=stripes)
    assert expected in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["decisions.csv"]


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda path: path.write_bytes(b""), "line 1: the header is '', expected set,row,file"),
        (lambda path: path.write_text("a,b\n"), "line 1: the header is 'a,b', expected"),
        (lambda path: path.write_bytes(b"\xff\xfe\0"), "is not a UTF-8 text"),
        (lambda path: path.write_text('set,row,file,decision,label\n"a'), "is not a CSV file"),
        (lambda path: path.write_text(",".join(HEADER) + "\n" + "x" * 200_000), "not a CSV file"),
        (lambda path: path.mkdir(), "is a folder, expected the file decisions.csv"),
        (lambda path: None, "cannot be read"),
    ],
)
def test_a_file_that_holds_no_decisions_gets_one_sentence(
    stripes, tmp_path, write, expected, capsys
):
    write(tmp_path / "d.csv")
    arguments = ["audit", stripes, "--apply", tmp_path / "d.csv", "--out", tmp_path / "clean"]
    assert cli.main([str(argument) for argument in arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert expected in error and "\n" not in error
    assert not (tmp_path / "clean").exists()


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40), st.binary(max_size=40))
def test_any_file_is_refused_or_read(stripes, tmp_path_factory, line, junk):
    description = read_description(stripes / "faceset.json")
    rows = read_labels(stripes / "labels.csv", description)
    path = tmp_path_factory.mktemp("junk") / "d.csv"
    for data in (junk, (",".join(HEADER) + "\n" + line).encode("utf-8", "surrogatepass")):
        path.write_bytes(data)
        try:
            found = read_decisions(path, rows, description["classes"], "mark")
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert found == []


def test_the_audit_is_found_beside_the_decisions_or_named(stripes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    decisions = decide(tmp_path / "decisions.csv", stripes, (0, "drop", ""))
    with pytest.raises(InputError, match="there is no finished audit in .* or audit"):
        apply_decisions(decisions, "clean")
    with pytest.raises(InputError, match="there is no finished audit in nowhere"):
        apply_decisions(decisions, "clean", source="nowhere")
    from eacbook.files import write_json

    (tmp_path / "audit").mkdir()
    write_json(tmp_path / "audit" / "audit.json", {"fingerprint": "", "set": str(stripes)})
    apply_decisions(decisions, "clean")
    assert len(load_faces("clean").train) == 11
    with pytest.raises(InputError, match="clean exists already"):
        apply_decisions(decisions, "clean")
    with pytest.raises(InputError, match="unknown split 'tset'"):
        apply_decisions(decisions, "other", splits=["tset"])
