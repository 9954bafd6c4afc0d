"""The AffectNet script, on stand-ins in both layouts: read, refused, killed and continued."""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from eacbook.classes import CLASSES
from eacbook.data.faces import load_faces
from eacbook.errors import InputError

SCRIPT = Path(__file__).parents[2] / "data_scripts" / "affectnet.py"
affectnet = importlib.import_module("eacbook.data.prepare.affectnet")

NAMES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
SIZE = 32


def jpeg(grey, side=48):
    file = io.BytesIO()
    Image.new("L" if grey % 2 else "RGB", (side, side), grey if grey % 2 else (grey,) * 3).save(
        file, "JPEG", quality=95
    )
    return file.getvalue()


def npy(value):
    file = io.BytesIO()
    np.save(file, value)
    return file.getvalue()


FORMS_OF_A_LABEL = (
    *(str, int, float),
    lambda value: np.bytes_(str(value)),
    lambda value: np.array([value]),
)


def write_numbered(root, train=22, val=11, flat=False):
    """The layout of 2021; image n has expression n % 11 and the grey 20 * (n % 11)."""
    for name, count in (("train_set", train), ("val_set", val)):
        images, labels = (
            (root / name,) * 2 if flat else (root / name / "images", root / name / "annotations")
        )
        for folder in {images, labels}:
            folder.mkdir(parents=True)
        for number in range(count):
            expression = number % 11
            (images / f"{number}.jpg").write_bytes(jpeg(20 * expression))
            form = FORMS_OF_A_LABEL[number % len(FORMS_OF_A_LABEL)]
            (labels / f"{number}_exp.npy").write_bytes(npy(form(expression)))
            (labels / f"{number}_lnd.npy").write_bytes(npy(np.zeros(136)))
            (labels / f"{number}_val.npy").write_bytes(npy("-0.5"))
    return root


def write_lists(root, header=True):
    """The older layout: photographs, and lists that say where in them the face is."""
    images, lists = root / "Manually_Annotated_Images", root / "Manually_Annotated_file_lists"
    lists.mkdir(parents=True)
    for name, count in (("training", 22), ("validation", 11)):
        with (lists / f"{name}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            if header or name == "training":
                table.writerow(affectnet.COLUMNS)
            for number in range(count):
                expression = number % 11
                path = f"{number % 3}/{name}{number}.{'JPG' if number % 2 else 'png'}"
                (images / path).parent.mkdir(parents=True, exist_ok=True)
                picture = Image.new("RGB", (90, 70), (255, 0, 0))
                picture.paste((20 * expression,) * 3, (30, 10, 70, 50))
                picture.save(images / path, quality=95)
                box = (30, 10, 40, 40) if expression < 8 else ("NULL",) * 4
                table.writerow([path, *box, "1.5;2.5;3", expression, "-0.1", "0.2"])
    return root


def zipped_sets(here):
    """A zip for each set, as people pass them on, and one of them unpacked as well."""
    root = write_numbered(here / "in")
    for name in ("train_set", "val_set"):
        with zipfile.ZipFile(root / f"{name}.zip", "w") as file:
            for path in sorted((root / name).rglob("*.*")):
                file.write(path, path.relative_to(root / name))
                if name == "train_set":
                    path.unlink()
    for path in sorted((root / "train_set").rglob("*"), reverse=True):
        path.rmdir()
    (root / "train_set").rmdir()
    return root


def zip_of_all(here):
    root = write_numbered(here / "in" / "AffectNet").parent
    with zipfile.ZipFile(here / "affectnet.zip", "w") as file:
        for path in root.rglob("*.*"):
            file.write(path, path.relative_to(root))
    return here / "affectnet.zip"


FORMS = {
    "2021": lambda here: write_numbered(here / "AffectNet"),
    "2021, flat": lambda here: write_numbered(here / "AffectNet", flat=True),
    "2021, zip": zip_of_all,
    "2021, a zip for each set": zipped_sets,
    "lists": lambda here: write_lists(here / "AffectNet"),
    "lists, one without header": lambda here: write_lists(here / "AffectNet", header=False),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("num_classes", [7, 8])
def test_every_form_gives_the_same_faces(tmp_path, form, num_classes):
    source = FORMS[form](tmp_path)
    description = affectnet.prepare(source, tmp_path / "out", num_classes=num_classes, size=SIZE)
    data = load_faces(tmp_path / "out")
    assert data.classes == CLASSES[:num_classes] and data.validation is None
    for faces, rounds in ((data.train, 2), (data.test, 1)):
        assert faces.images.shape[1:] == (3, SIZE, SIZE)
        # The grey of a picture is its expression, whatever was cut away around it.
        grey = (faces.images.float().mean((1, 2, 3)) / 20).round().int().tolist()
        assert [NAMES[value] for value in grey] == [CLASSES[label] for label in faces.labels]
        assert sorted(grey) == sorted(list(range(num_classes)) * rounds)
        assert len(set(faces.files)) == len(faces)
    dropped = description["notes"]["dropped"]
    left_out = {"none", "uncertain", "no_face"} | ({"contempt"} if num_classes == 7 else set())
    assert {name: dict(counts) for name, counts in dropped.items() if counts} == {
        name: {"train": 2, "test": 1} for name in left_out
    }


# Each makes a source that is refused, and says with which words.


def changed(here, path, data, message):
    root = write_numbered(here / "AffectNet")
    (root / path).write_bytes(data)
    return root, path.replace(".", r"\.") + message


def list_changed(here, old, new, message):
    root = write_lists(here / "AffectNet")
    path = root / "Manually_Annotated_file_lists" / "training.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return root, r"Manually_Annotated_file_lists/training\.csv, line " + message


def without(here, *paths, message, write=write_numbered):
    root = write(here / "AffectNet")
    for pattern in paths:
        for path in list(root.glob(pattern)):
            path.unlink()
    return root, message


class Trap:
    """Pickled, it would run a command when it is loaded."""

    def __reduce__(self):
        return os.system, ("touch executed",)


def pickled():
    file = io.BytesIO()
    np.save(file, np.array(Trap(), dtype=object), allow_pickle=True)
    return file.getvalue()


def npz():
    file = io.BytesIO()
    np.savez(file, label=np.array(1))
    return file.getvalue()


def huge_npy():
    file = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**15,)}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def png_of_declared_size(side):
    """A header that promises side x side pixels over next to no data: a decompression bomb."""
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "PNG")
    content = bytearray(file.getvalue())
    content[16:24] = side.to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    return bytes(content)


LABEL, IMAGE = "train_set/annotations/3_exp.npy", "train_set/images/3.jpg"
REFUSED = {
    "empty folder": lambda here: (here, "holds neither images with their _exp.npy files .*training"),
    "one set alone": lambda here: (
        write_numbered(here / "AffectNet") / "train_set",
        "is neither in train_set nor in val_set: give the folder that holds both",
    ),
    "no val_set": lambda here: without(
        here, "val_set/*/*", message="no image of the test split was found"
    ),
    "no image": lambda here: without(
        here, IMAGE, message="there is no image for 3.jpg of the train split.*--skip-broken"
    ),
    "no label": lambda here: without(
        here, LABEL, message=r"has no _exp.npy file for train_set/images/3\.jpg \(1 such"
    ),
    "one list": lambda here: without(
        here, "*/validation.csv", write=write_lists, message="nor training.csv with validation.csv"
    ),
    "image of a list": lambda here: without(
        here, "*/0/training3.JPG", write=write_lists, message="no image for 0/training3.JPG of the"
    ),
    "pickle": lambda here: changed(
        here, LABEL, pickled(), " is not a .npy file of a number .Object arrays cannot be loaded"
    ),
    "bare pickle": lambda here: changed(here, LABEL, pickle.dumps(Trap()), " is not a .npy file of"),
    "npz": lambda here: changed(here, LABEL, npz(), " is not a .npy file of a number"),
    "huge array": lambda here: changed(here, LABEL, huge_npy(), " is not a .npy file of a number"),
    "empty label": lambda here: changed(here, LABEL, b"", " is not a .npy file of a number"),
    "large label": lambda here: changed(
        here, LABEL, bytes(5000), " is larger than 4,096 bytes"
    ),
    "two labels": lambda here: changed(here, LABEL, npy([1, 2]), " holds 2 values, expected one"),
    "unknown label": lambda here: changed(
        here, LABEL, npy("11"), ": the expression is '11', expected 0 to 10"
    ),
    "half a label": lambda here: changed(here, LABEL, npy(1.5), ": the expression is '1.5', exp"),
    "truncated JPEG": lambda here: changed(
        here, IMAGE, jpeg(9)[:300], " does not decode as JPEG.*--skip-broken"
    ),
    "decompression bomb": lambda here: changed(
        here, IMAGE, png_of_declared_size(60_000), " does not decode .*decompression bomb"
    ),
    "small bomb": lambda here: changed(
        here, IMAGE, png_of_declared_size(9_000), " has 9000x9000 pixels, expected at most 64,000,0"
    ),
    "header": lambda here: list_changed(here, "face_x", "x", "1: 'subDirectory.*expected subDirec"),
    "columns": lambda here: list_changed(here, ",-0.1,0.2", "", "2: 7 columns, expected 9"),
    "expression": lambda here: list_changed(
        here, "1.5;2.5;3,3", "1.5;2.5;3,three", "5: the expression is 'three', expected 0 to 10"
    ),
    "box": lambda here: list_changed(
        here, "training0.png,30,10", "training0.png,NULL,10", "2: the box is 'NULL,10,40,40', exp"
    ),
    "box outside": lambda here: (
        list_changed(here, "training0.png,30,10", "training0.png,300,10", "")[0],
        r"0/training0\.png has 90x70 pixels, and none of them is in the box \(300, 10, 340, 50\)",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_affectnet_is_refused_and_nothing_is_left(tmp_path, case, monkeypatch):
    (tmp_path / "source").mkdir()
    monkeypatch.chdir(tmp_path)
    source, message = REFUSED[case](tmp_path / "source")
    with pytest.raises(InputError, match=message) as caught:
        affectnet.prepare(source, tmp_path / "out", size=SIZE)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]  # nothing was executed either


@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda end: npy("1")[:90] + end))
def test_any_label_file_is_read_or_refused(data):
    try:
        assert affectnet.read_expression(lambda: io.BytesIO(data), "1_exp.npy") in range(11)
    except InputError as error:
        assert str(error).startswith("1_exp.npy")


def test_what_is_missing_or_broken_can_be_left_out(tmp_path):
    source, _ = changed(tmp_path, IMAGE, b"broken", "")
    (source / "train_set/images/5.jpg").unlink()
    (source / "val_set/annotations/1_exp.npy").unlink()
    description = affectnet.prepare(source, tmp_path / "out", size=SIZE, skip_broken=True)
    dropped = description["notes"]["dropped"]
    assert (dropped["broken"], dropped["missing"]) == ({"train": 1}, {"train": 1})
    assert dropped["unlabelled"] == {"test": 1}
    assert description["counts"] == {"train": 12, "test": 6}


# Interruptions.

# Forks rather than starts a process for each kill: they have nothing in common but what is imported.
KILLED = """
import os, runpy, signal, sys
from eacbook.data import prepared
prepared.ROWS_A_NOTE = 8
check, count = prepared._check, 0
def check_and_die(*args):
    global count
    count += 1
    if count == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    check(*args)
prepared._check = check_and_die
moments, sys.argv = map(int, sys.argv[1].split(",")), sys.argv[2:]
sys.path[0] = os.path.dirname(sys.argv[0])
for kill_at in moments:
    if not (child := os.fork()):
        runpy.run_path(sys.argv[0], run_name="__main__")
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert not os.path.exists(sys.argv[sys.argv.index("--out") + 1])
    print("killed at", kill_at, file=sys.stderr, flush=True)
"""


@pytest.mark.slow
def test_a_killed_preparation_goes_on_to_the_very_same_set(tmp_path):
    source = write_numbered(tmp_path / "in", 110, 22)
    for image in (IMAGE, "val_set/images/1.jpg"):
        (source / image).write_bytes(b"broken")
    undisturbed = affectnet.prepare(source, tmp_path / "whole", size=SIZE, skip_broken=True)

    moments = "30,45,17"  # the last one in the test split
    command = [sys.executable, "-c", KILLED, moments, SCRIPT, source, "--out", tmp_path / "out"]
    command += ["--size", str(SIZE), "--skip-broken"]
    killed = subprocess.run(command, capture_output=True, text=True)
    assert killed.returncode == 0, killed.stderr
    last_start = killed.stderr.partition("killed at 45")[2]
    assert "continuing after 64 images of an earlier start" in last_start
    with pytest.raises(InputError, match=r"out\.partial is the beginning of a set from another"):
        affectnet.prepare(source, tmp_path / "out", size=SIZE, num_classes=8, skip_broken=True)
    done = json.loads((tmp_path / "out.partial" / "progress.json").read_text())["rows"]
    assert done == 80

    continued = affectnet.prepare(source, tmp_path / "out", size=SIZE, skip_broken=True)
    assert continued == undisturbed
    assert continued["notes"]["dropped"]["broken"] == {"train": 1, "test": 1}
    for name in ("images.npy", "labels.csv", "faceset.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out", "whole"}


DECODE_ALL = affectnet.decode_all


def interrupted_after(count, faces, change, notes):
    for row, image in enumerate(DECODE_ALL(faces, change, notes, skip_broken=False)):
        if row == count:
            raise KeyboardInterrupt
        yield image


def test_ctrl_c_is_one_line_that_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    source = write_numbered(tmp_path / "in", 110)
    monkeypatch.setattr("eacbook.data.prepared.ROWS_A_NOTE", 8)

    with monkeypatch.context() as patch:
        patch.setattr(affectnet, "decode_all", lambda *args, **_: interrupted_after(20, *args))
        with pytest.raises(SystemExit) as done:
            affectnet.main(
                [str(source), "--out", str(tmp_path / "out"), "--size", str(SIZE)], "affectnet.py"
            )
    assert done.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("affectnet.py: error: interrupted")
    assert "out.partial is kept, and the same command continues" in error
    affectnet.main(
        [str(source), "--out", str(tmp_path / "out"), "--size", str(SIZE)], "affectnet.py"
    )
    out, err = capsys.readouterr()
    assert ("kept", "70", "0", "7") in {tuple(line.split()) for line in out.splitlines()}
    assert "gave 70 training and 7 validation images, AffectNet has 283,901 training" in err
