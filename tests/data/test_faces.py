"""Prepared sets: what is written is what is read, and what is broken is refused."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import striped_faces
from hypothesis import given, settings
from hypothesis import strategies as st

from eacbook.data.faces import FaceSet, load_faces, take
from eacbook.data.format import sha256_of
from eacbook.data.prepared import LabelledImage, write_faces
from eacbook.errors import InputError

CLASSES = ("surprise", "fear", "disgust")
SHAPE = (4, 3, 1)


def image(split="train", label=0, file="a.png", value=7, votes=None, shape=SHAPE):
    return LabelledImage(split, label, file, np.full(shape, value, np.uint8), votes)


def write(folder, images, **changes):
    facts = {"classes": CLASSES, "image_shape": SHAPE, "source": "test", "licence": "MIT"}
    return write_faces(folder, images, **(facts | changes))


@pytest.fixture
def prepared(tmp_path):
    """Ten training, six validation and four test images; the value of the pixels is the row."""
    splits = ["train"] * 10 + ["validation"] * 6 + ["test"] * 4
    images = [
        image(split, row % 3, f"{row}.png", row, dict.fromkeys((*CLASSES, "unknown"), row))
        for row, split in enumerate(splits)
    ]
    write(tmp_path / "set", images, notes={"dropped": {"unknown": 3}})
    return tmp_path / "set"


@st.composite
def small_sets(draw):
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3])))
    splits = draw(st.lists(st.sampled_from(["train", "validation", "test"]), max_size=8))
    with_votes = draw(st.booleans())
    images = [
        LabelledImage(
            split,
            draw(st.integers(0, 2)),
            draw(st.text(st.sampled_from("aé \"',;\\/\n\r\t表🙂"), max_size=6)),
            np.frombuffer(
                draw(st.binary(min_size=(n := int(np.prod(shape))), max_size=n)), np.uint8
            ).reshape(shape),
            {name: draw(st.integers(0, 10)) for name in (*CLASSES, "unknown")}
            if with_votes
            else None,
        )
        for split in draw(st.permutations([*splits, "train", "test"]))
    ]
    return shape, images


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(small_sets())
def test_what_is_written_is_what_is_read(small_set):
    shape, images = small_set
    with tempfile.TemporaryDirectory() as scratch:
        description = write(Path(scratch) / "set", iter(images), image_shape=shape)
        data = load_faces(Path(scratch) / "set")
        for split in ("train", "validation", "test"):
            expected = [one for one in images if one.split == split]
            faces = getattr(data, split)
            if not expected:
                assert faces is None
                continue
            pixels = np.stack([one.pixels for one in expected]).transpose(0, 3, 1, 2)
            assert np.array_equal(faces.images.numpy(), pixels)
            assert faces.images.dtype == torch.uint8
            assert faces.labels.tolist() == [one.label for one in expected]
            assert faces.files == tuple(one.file for one in expected)
            if expected[0].votes is None:
                assert faces.votes is None
            else:
                votes = [[one.votes[name] for name in CLASSES] for one in expected]
                assert faces.votes.tolist() == votes
        assert data.classes == CLASSES
        train = np.stack([one.pixels for one in images if one.split == "train"]) / 255
        assert np.allclose(description["mean"], train.mean((0, 1, 2)), atol=1e-5)
        assert np.allclose(description["std"], train.std((0, 1, 2)), atol=1e-3)


def test_images_stay_on_disk_and_cannot_change_it(prepared):
    before = sha256_of(prepared / "images.npy")
    data = load_faces(prepared)
    # The splits are views of one mapping of the file, not copies.
    assert data.train.images.untyped_storage().data_ptr() == (
        data.test.images.untyped_storage().data_ptr()
    )
    data.train.images[0] = 0
    assert sha256_of(prepared / "images.npy") == before
    assert load_faces(prepared).train.images[1, 0, 0, 0] == 1


TRAIN_WITH_LITTLE_MEMORY = """
import math, resource, sys
import torch
import eacbook as eb
from eacbook.data import faces as module

torch.set_num_threads(1)
module.LARGE_BYTES = 1 << 29
faces = eb.load_faces(sys.argv[1])
noisy = eb.inject_noise(faces.train.labels, 0.2, 3)
network = eb.build_network("tiny", 3)
used = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (used + (500 << 20),) * 2)
run = eb.train(eb.Baseline(), network, faces, noisy, epochs=1, size=16, device="cpu")
print(len(run.rows), math.prod(faces.train.images.shape) >> 20)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
def test_a_set_that_is_larger_than_the_memory_trains(tmp_path):
    """A sparse file of 0.6 GB, and 0.5 GB for a training on it."""
    folder, shape = tmp_path / "large", (256, 256, 3)
    images = [image("train", number % 3, shape=shape) for number in range(4)]
    write(folder, [*images, image("test", shape=shape)], image_shape=shape)
    rows = 3000
    with (folder / "images.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (rows, *shape)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + rows * math.prod(shape))
    lines = [
        f"{row},{'train' if row < 2900 else 'test'},{row % 3},{row}.png" for row in range(rows)
    ]
    (folder / "labels.csv").write_text("\n".join(["row,split,label,file", *lines]) + "\n")
    description = json.loads((folder / "faceset.json").read_text())
    description["counts"] = {"train": 2900, "test": 100}
    description["checksums"]["labels.csv"] = sha256_of(folder / "labels.csv")
    (folder / "faceset.json").write_text(json.dumps(description))
    result = subprocess.run(
        [sys.executable, "-c", TRAIN_WITH_LITTLE_MEMORY, str(folder)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.stdout.split() == ["1", "543"], result.stderr[-2000:]


def test_description_tells_of_the_set(prepared):
    data = load_faces(str(prepared))
    assert (data.name, data.num_classes, data.image_size) == ("set", 3, 4)
    assert (len(data.train), len(data.validation), len(data.test)) == (10, 6, 4)
    assert (data.source, data.licence) == ("test", "MIT")
    description = json.loads((prepared / "faceset.json").read_text())
    assert description["notes"] == {"dropped": {"unknown": 3}}
    assert description["counts"] == {"train": 10, "validation": 6, "test": 4}


def test_the_fingerprint_follows_images_and_labels(tmp_path):
    test = image("test")
    variants = [[image(), test], [image(value=8), test], [image(label=1), test], [image(), test]]
    prints = []
    for number, images in enumerate(variants):
        write(tmp_path / str(number), images)
        prints.append(load_faces(tmp_path / str(number)).fingerprint)
    assert prints[0] == prints[3] and len(set(prints)) == 3


def test_limit_draws_the_same_faces_and_says_so(prepared):
    data = load_faces(prepared)
    few = data.limit(5, seed=3)
    assert (len(few.train), len(few.validation), len(few.test)) == (5, 5, 4)
    assert few.train.files == data.limit(5, seed=3).train.files
    assert few.train.files != data.limit(5, seed=4).train.files
    assert few.fingerprint != data.fingerprint != data.limit(5, seed=4).fingerprint
    rows = few.train.images[:, 0, 0, 0].tolist()
    assert few.train.files == tuple(f"{row}.png" for row in rows)
    assert few.train.labels.tolist() == [row % 3 for row in rows]
    assert few.train.votes.tolist() == [[row] * 3 for row in rows]
    assert data.limit(100).train.files == data.train.files
    fewer = data.limit(5, seed=3, held_out=2)
    assert fewer.train.files == few.train.files and len(fewer.test) == len(fewer.validation) == 2
    assert fewer.fingerprint != few.fingerprint
    with pytest.raises(InputError, match="at least 1"):
        data.limit(0)


def test_limit_without_validation(tmp_path):
    write(tmp_path / "set", [image(), image("test")])
    assert load_faces(tmp_path / "set").limit(1).validation is None


def test_take_keeps_order_and_repeats():
    faces = FaceSet(torch.arange(4).reshape(4, 1, 1, 1), torch.arange(4), ("a", "b", "c", "d"))
    some = take(faces, torch.tensor([3, 0, 3]))
    assert some.images.flatten().tolist() == some.labels.tolist() == [3, 0, 3]
    assert some.files == ("d", "a", "d") and some.votes is None and len(some) == 3


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([image(shape=(4, 4, 1))], r"a\.png: uint8 \(4, 4, 1\), expected uint8 \(4, 3, 1\)"),
        ([image("dev")], r"a\.png: split 'dev', expected one of"),
        ([image(label=3)], r"a\.png: label 3, expected 0 to 2"),
        ([image(label=-1)], r"a\.png: label -1, expected 0 to 2"),
        ([image()], "no image of the test split"),
        ([image("test")], "no image of the train split"),
        ([], "no image of the train split"),
        ([image(votes={"fear": 1}), image("test")], r"a\.png: votes for nothing, .* for fear"),
        ([image(), image("test", votes={"fear": 1})], r"a\.png: votes for fear, .* for nothing"),
    ],
)
def test_what_does_not_fit_is_not_written(tmp_path, images, message):
    with pytest.raises(InputError, match=message):
        write(tmp_path / "set", images)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_writer_leaves_nothing(tmp_path):
    def images():
        yield image()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "set", images())
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_left_alone(prepared):
    before = sha256_of(prepared / "faceset.json")
    with pytest.raises(InputError, match="exists already"):
        write(prepared, [image(), image("test")])
    assert sha256_of(prepared / "faceset.json") == before


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_pixel(path):
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


def edit(**changes):
    def change(path):
        description = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({key: value for key, value in description.items() if value}))

    return change


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("images.npy", Path.unlink, r"images\.npy is missing"),
        ("labels.csv", Path.unlink, r"labels\.csv is missing"),
        ("faceset.json", Path.unlink, r"not a prepared face set: faceset\.json is missing"),
        ("images.npy", truncate, r"images\.npy is not the file that was prepared"),
        ("images.npy", flip_a_pixel, r"images\.npy is not the file that was prepared"),
        ("labels.csv", truncate, r"labels\.csv is not the file that was prepared"),
        ("faceset.json", truncate, r"faceset\.json is not valid JSON|lacks"),
        ("faceset.json", lambda path: path.write_bytes(b"\xff\xfe\x00"), "is not valid JSON"),
        ("faceset.json", lambda path: path.write_text("[]"), r"faceset\.json lacks checksums"),
        ("faceset.json", edit(licence=None), r"faceset\.json lacks licence"),
        ("faceset.json", edit(format=99), r"has format 99, this eacbook reads format 1"),
        ("faceset.json", edit(counts={"train": 3, "test": 1}), r"has 20 rows.* counts 4"),
        ("faceset.json", edit(image_shape=[4, 4, 1]), r"expected uint8 \(20, 4, 4, 1\)"),
    ],
)
def test_a_damaged_set_is_refused(prepared, name, damage, message):
    damage(prepared / name)
    if name == "faceset.json" and damage is truncate:
        (prepared / name).write_text((prepared / name).read_text()[:50])
    with pytest.raises(InputError, match=message):
        load_faces(prepared)


def fit_checksums(folder):
    """Let ``faceset.json`` say that the files are as they were prepared."""
    description = json.loads((folder / "faceset.json").read_text())
    for name in ("images.npy", "labels.csv"):
        description["checksums"][name] = sha256_of(folder / name)
    (folder / "faceset.json").write_text(json.dumps(description))


DESCRIPTIONS = {
    "nested": "[" * 100_000,
    "digits": '{"format": ' + "9" * 5000 + "}",
    "format": {"format": True},
    "huge": {"format": 10**4000},
    "no classes": {"classes": None},
    "text": {"classes": "abc"},
    "numbers": {"classes": [1, 2, 3]},
    "none": {"classes": []},
    "double": {"classes": ["fear", "fear", "anger"]},
    "twice": {"classes": ["caf\u00e9", "cafe\u0301", "anger"]},
    "NUL": {"classes": ["fear", "a\0", "anger"]},
    "surrogate": {"classes": ["fear", "\ud800", "anger"]},
    "fewer": {"classes": ["fear"]},
    "two sides": {"image_shape": [4, 3]},
    "no sides": {"image_shape": None},
    "half": {"image_shape": [4.0, 3, 1]},
    "negative": {"image_shape": [-4, -3, 1]},
    "channels": {"image_shape": [4, 1, 3000000000]},
    "counts": {"counts": [10, 6, 4]},
    "many": {"counts": {"train": 10**30, "validation": 6, "test": 4}},
    "float": {"counts": {"train": 10.0, "validation": 6, "test": 4}},
    "minus": {"counts": {"train": 20, "validation": -4, "test": 4}},
    "split": {"counts": {"train": 10, "dev": 6, "test": 4}},
    "moved": {"counts": {"train": 11, "validation": 5, "test": 4}},
    "no test": {"counts": {"train": 20}},
    "checksums": {"checksums": ["a", "b"]},
    "checksum": {"checksums": {"images.npy": 1, "labels.csv": None}},
    "source": {"source": {"a": 1}},
    "licence": {"licence": "\udc80"},
    "notes": {"notes": [1]},
}


@pytest.fixture(params=["small", "large"])
def size(request, monkeypatch):
    """A large set is not held against its checksums."""
    if request.param == "large":
        monkeypatch.setattr("eacbook.data.faces.LARGE_BYTES", 10)
    return request.param


@pytest.mark.slow
@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_description_that_no_set_can_have_is_refused(prepared, name, size):
    path, change = prepared / "faceset.json", DESCRIPTIONS[name]
    if isinstance(change, dict):
        change = json.dumps(json.loads(path.read_text()) | change)
    path.write_text(change)
    with pytest.raises(InputError, match=r"faceset\.json|labels\.csv") as caught:
        load_faces(prepared)
    assert len(str(caught.value)) < 400 + 2 * len(str(path)) and "\n" not in str(caught.value)


def line(number, **changes):
    """Change the fields of a line, counted from 1; the header is line 1."""

    def change(lines):
        fields = dict(zip(lines[0].split(","), lines[number - 1].split(","), strict=True)) | changes
        lines[number - 1] = ",".join(fields.values())

    return change


def replace(number, text):
    def change(lines):
        lines[number - 1] = text

    return change


LINES = {
    "unknown split": (line(4, split="dev"), r"line 4: split 'dev', expected one of"),
    "test label": (line(21, label="3"), r"line 21: label '3', expected a whole number from 0 to 2"),
    "negative label": (line(4, label="-1"), "line 4: label '-1'"),
    "half label": (line(4, label="1.0"), "line 4: label '1.0'"),
    "huge label": (line(4, label="1" * 5000), "line 4: label '1+\\.\\.\\.1+'"),
    "other digits": (line(4, label="\u0661"), "line 4: label"),
    "no label": (line(4, label=""), "line 4: label ''"),
    "far row": (line(4, row="20"), "line 4: row 20, expected 0 to 19"),
    "negative row": (line(4, row="-1"), "line 4: row '-1'"),
    "double row": (line(4, row="1"), "line 4: row 1 occurs here for the second time"),
    "NUL": (line(4, file="a\0.png"), "line 4: (file|line contains NUL)"),
    "votes": (line(4, votes_fear="many"), "line 4: votes 'many'"),
    "negative votes": (line(4, votes_fear="-2"), "line 4: votes '-2'"),
    "few fields": (replace(4, "2,train,2"), "line 4: 3 fields, the header has 8"),
    "many fields": (replace(4, "2,train,2,a,1,1,1,1,1,1"), "line 4: 10 fields"),
    "quote": (replace(21, '"'), "line 21: unexpected end of data"),
    "long field": (replace(4, "a" * 200_000), "line 4: field larger than field limit"),
    "other split": (
        line(4, split="test"),
        r"9 train, 6 validation, 5 test\), faceset\.json counts 20",
    ),
    "a line less": (lambda lines: lines.pop(), "has 19 rows"),
    "no header": (lambda lines: lines.pop(0), "line 1: the header lacks row, split, label, file"),
    "empty": (lambda lines: lines.clear(), "line 1: the header lacks row"),
    "votes of another class": (
        lambda lines: lines.__setitem__(0, lines[0].replace("votes_fear", "votes_other")),
        "line 1: there are votes, but none for the class",
    ),
    "header twice": (replace(1, "row,split,label,file,file,votes_fear"), "names a column twice"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LINES)
def test_a_line_of_labels_that_no_set_can_have_is_refused(prepared, name, size):
    change, message = LINES[name]
    path = prepared / "labels.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    change(lines)
    path.write_text("\n".join(lines) + "\n" * bool(lines), encoding="utf-8")
    fit_checksums(prepared)
    with pytest.raises(InputError, match=message) as caught:
        load_faces(prepared)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 400 + len(str(path))


def test_labels_that_are_no_text_are_refused(prepared, size):
    path = prepared / "labels.csv"
    path.write_bytes(path.read_bytes().replace(b"5.png", b"\xff.png"))
    fit_checksums(prepared)
    with pytest.raises(InputError, match=r"labels\.csv is not a UTF-8 text"):
        load_faces(prepared)


BLACK = bytes(20 * math.prod(SHAPE))


def npy(header, version=1, length=None, data=BLACK):
    text = (header if isinstance(header, str) else str(header)).encode("latin-1") + b"\n"
    length = len(text) if length is None else length
    size = struct.pack("<H" if version == 1 else "<I", length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


GOOD = {"descr": "|u1", "fortran_order": False, "shape": (20, *SHAPE)}
HEADERS = {
    "fortran order": npy(GOOD | {"fortran_order": True}),
    "more images": npy(GOOD | {"shape": (21, *SHAPE)}),
    "fewer images": npy(GOOD | {"shape": (19, *SHAPE)}),
    "other sides": npy(GOOD | {"shape": (20, SHAPE[1], SHAPE[0], 1)}),
    "negative": npy(GOOD | {"shape": (-20, -SHAPE[0], *SHAPE[1:])}),
    "huge": npy(GOOD | {"shape": (2**62, 4, *SHAPE[1:])}),
    "beyond 64 bits": npy(GOOD | {"shape": (2**70, *SHAPE)}),
    "no pictures": npy(GOOD | {"shape": (0, *SHAPE)}),
    "no shape": npy(GOOD | {"shape": ()}),
    "a list": npy(GOOD | {"shape": [20, *SHAPE]}),
    "objects": npy(GOOD | {"descr": "|O"}),
    "floats": npy(GOOD | {"descr": "<f4"}, data=bytes(80 * math.prod(SHAPE))),
    "signed": npy(GOOD | {"descr": "|i1"}),
    "records": npy(GOOD | {"descr": [("a", "|u1")]}),
    "code": npy("__import__('os').system('false')"),
    "not a dictionary": npy("[1, 2]"),
    "nested": npy("(" * 5000),
    "indented": npy("{'a':\n  1\n x}"),
    "other keys": npy({"shape": (20, *SHAPE)}),
    "version 9": npy(GOOD, version=9),
    "a long header": npy(GOOD, version=2, length=2**32 - 1),
    "a longer header": npy(str(GOOD) + " " * 20_000, version=2),
    "cut": npy(GOOD)[:9],
    "empty": b"",
    "archive": b"PK\x03\x04" + bytes(100),
    "trailing": npy(GOOD) + b"x",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_lies_is_refused(prepared, name, size):
    (prepared / "images.npy").write_bytes(HEADERS[name])
    fit_checksums(prepared)
    with pytest.raises(InputError, match=r"images\.npy") as caught:
        load_faces(prepared)
    assert len(str(caught.value)) < 400 + len(str(prepared))


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_version_of_the_header_is_read(prepared, version, size):
    before = load_faces(prepared).train.images[:].clone()
    pixels = np.load(prepared / "images.npy")
    (prepared / "images.npy").write_bytes(npy(GOOD, version=version, data=pixels.tobytes()))
    fit_checksums(prepared)
    images = load_faces(prepared).train.images
    assert torch.equal(images[:], before)


def test_classes_are_compared_after_normalisation(tmp_path):
    votes = {"cafe\u0301": 2, "fear": 1}
    facts = {"image_shape": SHAPE, "source": "test", "licence": "MIT"}
    images = [image(split, votes=votes) for split in ("train", "test")]
    write_faces(tmp_path / "set", images, classes=["caf\u00e9", "fear"], **facts)
    data = load_faces(tmp_path / "set")
    assert data.classes == ("caf\u00e9", "fear") and data.train.votes.tolist() == [[2, 1]]


@pytest.mark.parametrize(
    "array", [np.array([{"a": 1}], dtype=object), np.zeros((20, *SHAPE), np.int64)]
)
def test_an_array_of_something_else_is_refused_and_never_unpickled(prepared, array):
    np.save(prepared / "images.npy", array, allow_pickle=True)
    fit_checksums(prepared)
    with pytest.raises(InputError, match=r"images\.npy"):
        load_faces(prepared)


@pytest.mark.parametrize("source", [None, 7, "a\0b", "a" * 5000, b"data", ""])
def test_what_is_no_folder_is_an_unknown_data_set(source):
    with pytest.raises(InputError, match="unknown data set"):
        load_faces(source)


def test_an_unknown_name_says_what_was_expected():
    with pytest.raises(InputError, match="unknown data set 'sinthetic': expected 'synthetic' or"):
        load_faces("sinthetic")


def test_only_some_training_faces_make_another_set():
    faces = striped_faces()
    rows = torch.tensor([5, 2, 90])
    some = faces.only(rows)
    assert torch.equal(some.train.images, faces.train.images[rows])
    assert torch.equal(some.train.labels, faces.train.labels[rows])
    assert some.test is faces.test and some.validation is faces.validation
    prints = {part.fingerprint for part in (faces, some, faces.only(rows[:2]), faces.only(rows))}
    assert len(prints) == 3, "equal rows, equal fingerprint"
