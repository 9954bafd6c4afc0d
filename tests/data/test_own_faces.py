"""The script for one's own faces: classes by name, splits by folder, by file and by person."""

from __future__ import annotations

import importlib
import io
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from eacbook.classes import CLASSES
from eacbook.data.faces import load_faces
from eacbook.errors import InputError

own_faces = importlib.import_module("eacbook.data.prepare.own_faces")

ENGLISH = ("Happy", "sad", "ANGRY", "surprised", "neutral")
IN_ORDER = ("surprise", "happiness", "sadness", "anger", "neutral")


def picture(value, size=(40, 30), mode="RGB", kind="PNG"):
    file = io.BytesIO()
    colour = np.random.default_rng(value).integers(0, 256, 3).tolist()
    image = Image.new("RGB", size, tuple(colour)).convert(mode)
    image.save(file, kind)
    return file.getvalue()


def write_classes(root, folders=ENGLISH, count=10, first=0):
    """``S<person>_<picture>.png`` in every class folder, each with pixels of its own."""
    for place, folder in enumerate(folders):
        (root / folder).mkdir(parents=True)
        for number in range(count):
            data = picture(1000 * first + 100 * place + number)
            (root / folder / f"S{number // 2:02d}_{number}.png").write_bytes(data)
    return root


def write_splits(root, splits=("train", "test"), folders=ENGLISH):
    for first, split in enumerate(splits):
        write_classes(root / split, folders, 4 - first, first)
    return root


def zipped(folder, archive):
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*.png"), reverse=True):
            file.write(path, path.relative_to(folder))
    return archive


def names_of(faces, classes):
    return [Path(name).parent.name for name in faces.files], [classes[i] for i in faces.labels]


@pytest.mark.slow
@pytest.mark.parametrize(
    "form", ["folder", "around", "zip", "a zip for each class", "numbers before the names"]
)
def test_english_folders_become_the_classes_of_eacbook(tmp_path, form):
    root = write_classes(tmp_path / "in" / "faces")
    if form == "around":
        root = root.parent
    elif form == "zip":
        root = zipped(root.parent, tmp_path / "faces.zip")
    elif form == "a zip for each class":
        for name in ENGLISH:
            zipped(root / name, tmp_path / "in" / f"{name}.zip")
            for path in (root / name).iterdir():
                path.unlink()
            (root / name).rmdir()
        root.rmdir()
        root = tmp_path / "in"
    elif form == "numbers before the names":
        for number, name in enumerate(ENGLISH):
            (root / name).rename(root / f"{number}_{name}")
    own_faces.prepare(root, tmp_path / "out", size=24)
    data = load_faces(tmp_path / "out")
    assert data.classes == IN_ORDER  # the order of eacbook, without the classes that nobody has
    assert (len(data.train), len(data.test)) == (40, 10)
    for faces, each in ((data.train, 8), (data.test, 2)):
        assert faces.images.shape[1:] == (3, 24, 24)
        assert faces.labels.bincount().tolist() == [each] * 5
        for name, label in zip(faces.files, faces.labels, strict=True):
            folder = next(part for part in ENGLISH if part in name)
            assert own_faces.MEANING[folder.lower()] == data.classes[label]


def test_given_splits_are_kept(tmp_path):
    root = write_splits(tmp_path / "faces", ("Training", "val", "test"))
    description = own_faces.prepare(root, tmp_path / "out", size=16)
    assert description["counts"] == {"train": 20, "validation": 15, "test": 10}
    assert description["notes"]["split"] == "folders"
    assert all(name.startswith("val/") for name in load_faces(tmp_path / "out").validation.files)


FOLDERS = ("Freude", "Trauer", "Überraschung")


@pytest.mark.parametrize(
    ("classes", "order"),
    [
        ("Trauer,Freude,Überraschung", ("Trauer", "Freude", "Überraschung")),
        ("Trauer=a, Freude=b, Überraschung", ("a", "b", "Überraschung")),
        ("Freude=happiness,Trauer=sadness,Überraschung=surprise", ("surprise", *CLASSES[3:5])),
    ],
)
def test_folders_of_another_language_are_named_by_the_user(tmp_path, classes, order):
    root = write_classes(tmp_path / "faces", FOLDERS)
    own_faces.prepare(root, tmp_path / "out", classes=classes, size=16)
    data = load_faces(tmp_path / "out")
    assert data.classes == order
    meaning = own_faces.name_classes(set(FOLDERS), classes, root)
    folders, names = names_of(data.train, data.classes)
    assert [meaning[folder] for folder in folders] == names


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), test=st.floats(0.1, 0.5))
def test_no_person_is_in_two_splits(tmp_path_factory, seed, test):
    root = tmp_path_factory.mktemp("faces")
    pictures = [
        own_faces.Picture(None, "happy", f"happy/S{number % 10:02d}_{number}.png")
        for number in range(60)
    ]
    persons = own_faces.find_persons(pictures, r"S(\d+)_")
    splits, again = (
        own_faces.split_pictures(pictures, [0] * 60, persons, test, seed, root) for _ in range(2)
    )
    assert splits == again
    of = {
        split: {p for p, s in zip(persons, splits, strict=True) if s == split} for split in splits
    }
    assert set(of) == {"train", "test"} and not of["train"] & of["test"]
    assert len(of["test"]) == pytest.approx(10 * test, abs=1)


def test_the_split_depends_on_the_seed_alone(tmp_path):
    root = write_classes(tmp_path / "in" / "faces")
    archive = zipped(root, tmp_path / "faces.zip")
    tests = []
    for number, (source, seed) in enumerate([(root, 0), (archive, 0), (root, 1)]):
        own_faces.prepare(source, tmp_path / str(number), size=16, seed=seed)
        tests.append(load_faces(tmp_path / str(number)).test.files)
    assert tests[0] == tests[1] != tests[2]


def test_the_middle_square_is_taken_upright_and_in_colour(tmp_path):
    wide = Image.new("RGB", (90, 30), "red")
    wide.paste((0, 0, 255), (30, 0, 60, 30))
    inside = np.asarray(own_faces.middle(wide, 16))[:, 1:-1]  # the edge is smoothed
    assert (inside == (0, 0, 255)).all()
    root = write_classes(tmp_path / "faces", ("happy", "sad"), 5)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    turned = Image.new("RGB", (40, 40), "black")
    turned.paste("white", (0, 0, 40, 20))
    turned.save(root / "happy" / "S00_0.jpg", exif=exif, quality=95)
    for number, mode in enumerate(("L", "P", "RGBA", "LA", "1")):
        (root / "sad" / f"S00_{number}.png").write_bytes(picture(number, mode=mode))
    own_faces.prepare(root, tmp_path / "out", size=16, test=0.3)
    data = load_faces(tmp_path / "out")
    images = {
        name: image
        for faces in (data.train, data.test)
        for name, image in zip(faces.files, faces.images, strict=True)
    }
    photograph = images["happy/S00_0.jpg"].float().mean(0)
    assert photograph[:, :8].mean() < 10 and photograph[:, 8:].mean() > 245
    grey = images["sad/S00_0.png"]
    assert (grey[0] == grey[1]).all() and (grey[1] == grey[2]).all()


def test_what_is_unusual_is_counted_and_said(tmp_path, capsys):
    root = write_splits(tmp_path / "faces")
    for name in ("train/Happy", "test/sad"):
        (root / name / "copy.png").write_bytes(picture(1))
    (root / "notes.txt").write_text("text")
    (root / "train" / "stray.png").write_bytes(picture(2))
    (root / "train" / "sad" / "broken.jpg").write_bytes(b"broken")
    own_faces.main(
        [str(root), "--out", str(tmp_path / "out"), "--skip-broken", "--size", "16"], "own_faces.py"
    )
    out, err = capsys.readouterr()
    rows = {tuple(line.split()) for line in out.splitlines()}
    assert ("kept", "21", "0", "16") in rows and ("dropped", "1", "0", "0") in rows
    assert "2 files are no images in class folders and were left out" in err
    assert "1 pictures are, byte for byte, in more than one split" in err


# Each makes a source, with options, that is refused, and says with which words.


def german(here, **options):
    return write_classes(here / "faces", FOLDERS), options


def spoiled(here, name, data):
    root = write_classes(here / "faces")
    (root / name).write_bytes(data)
    return root, {}


def with_link_out(here):
    archive = zipped(write_classes(here / "in"), here / "faces.zip")
    with zipfile.ZipFile(archive, "a") as file:
        entry = zipfile.ZipInfo("happy/x.png")
        entry.external_attr = 0o120777 << 16
        file.writestr(entry, "/etc/passwd")
    return archive, {}


def class_and_split(here):
    write_classes(here / "faces" / "train")
    write_classes(here / "faces", ("happy",))
    return here / "faces", {}


def without_training_images(here):
    root = write_splits(here / "faces")
    for path in (root / "train" / "sad").iterdir():
        path.unlink()
    return root, {}


REFUSED = {
    "nothing": (lambda here: (here / "x", {}), "there is no file or folder"),
    "no folders": (lambda here: spoiled_root(here), "holds no image in a folder: expected a fold"),
    "another language": (
        german,
        r"none of the class folders are names .* not: Freude, Trauer, Überraschung\. Name all "
        "folders in label order, --classes Freude,Trauer,Überraschung, or give their meanings",
    ),
    "numbers": (
        lambda here: (write_classes(here / "faces", ("0", "1", "2")), {}),
        "none of the class folders .* these are not: 0, 1, 2. Name all",
    ),
    "some known": (
        lambda here: (write_classes(here / "faces", ("happy", "sad", "bored")), {}),
        "only some of the class folders .* these are not: bored. Name all",
    ),
    "other classes": (
        lambda here: german(here, classes="Freude,Trauer"),
        "--classes names Freude, Trauer; .* has the class folders Freude, Trauer, Überr.*each of",
    ),
    "class twice": (
        lambda here: german(here, classes="Freude,Trauer,Überraschung,Freude"),
        "expected each of them once",
    ),
    "splits beside classes": (class_and_split, "holds the folders happy, train: expected either"),
    "train alone": (
        lambda here: (write_splits(here / "faces", ("train",)), {}),
        "holds train, and no test images in class folders: expected train and test",
    ),
    "no training folder": (
        lambda here: (write_splits(here / "faces", ("val", "test")), {}),
        "holds test, val, and no train images in class folders: expected train and test",
    ),
    "validation twice": (
        lambda here: (write_splits(here / "faces", ("train", "val", "valid")), {}),
        "holds val, valid, which mean the same split: expected one of them",
    ),
    "untrained class": (without_training_images, r"no picture was taken from train/sad \(no file"),
    "one class": (
        lambda here: (write_classes(here / "faces", ("happy",)), {}), "only happiness, expected",
    ),
    "one picture": (
        lambda here: (write_classes(here / "faces", count=1), {}),
        "cannot be split into train and test: class .* has 1 picture, expected at least 2",
    ),
    "one person": (
        lambda here: (write_classes(here / "faces", count=2), {"person": r"S(\d+)_"}),
        "cannot be split into train and test",
    ),
    "nobody": (
        lambda here: (write_classes(here / "faces"), {"person": r"P(\d+)_"}),
        r"ANGRY/S00_0\.png: --person 'P\(\\\\d\+\)_' finds no person in this path",
    ),
    "no expression": (
        lambda here: (write_classes(here / "faces"), {"person": "S("}), "is not a regular expression",
    ),
    "no group": (
        lambda here: (write_classes(here / "faces"), {"person": "S"}), "has 0 groups, expected",
    ),
    "person in two splits": (
        lambda here: (write_splits(here / "faces"), {"person": r"S(\d+)_"}),
        "the person '00' is in test and in train, expected every person in one split",
    ),
    "truncated": (
        lambda here: spoiled(here, "sad/S00_0.png", picture(1)[:60]),
        r"sad/S00_0\.png does not decode as .*--skip-broken",
    ),
    "PDF": (
        lambda here: spoiled(here, "sad/S00_0.jpg", b"%PDF-1.4"), r"sad/S00_0\.jpg does not decode",
    ),
    "link": (with_link_out, r"faces\.zip: the entry 'happy/x\.png' is a link.*refused"),
}  # fmt: skip


def spoiled_root(here):
    (here / "face.png").write_bytes(picture(1))
    return here, {}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_clear_is_refused_and_nothing_is_left(tmp_path, case):
    (tmp_path / "source").mkdir()
    make, message = REFUSED[case]
    source, options = make(tmp_path / "source")
    with pytest.raises(InputError, match=message) as caught:
        own_faces.prepare(source, tmp_path / "out", size=16, **options)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_linked_folders_are_entered_and_those_that_lead_back_are_not(tmp_path):
    root = write_classes(tmp_path / "faces", ("happy",))
    write_classes(tmp_path / "elsewhere", ("sad",), first=1)
    (root / "sad").symlink_to("../elsewhere/sad", target_is_directory=True)
    (root / "happy" / "round").symlink_to(root, target_is_directory=True)
    description = own_faces.prepare(root, tmp_path / "out", size=16)
    assert description["counts"] == {"train": 16, "test": 4}


def only(folder, data, *names):
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(data)


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        *(("JPEG", ".jfif"), ("JPEG", ".jpe"), ("JPEG", ""), ("GIF", ".gif"), ("PNG", ".picture")),
        *(("TIFF", ".TIF"), ("WEBP", ".jpg"), ("AVIF", ".avif")),
    ],
)
def test_pictures_are_known_by_what_is_in_them(tmp_path, kind, suffix):
    if kind == "AVIF" and kind not in Image.registered_extensions().values():
        pytest.skip("this Pillow was built without AVIF")
    root = write_classes(tmp_path / "faces", ("happy",), 5)
    (root / "fear").mkdir()
    for number in range(5):
        (root / "fear" / f"{number}{suffix}").write_bytes(picture(50 + number, kind=kind))
    description = own_faces.prepare(root, tmp_path / "out", size=16)
    assert description["classes"] == ["fear", "happiness"]
    assert sum(description["counts"].values()) == 10


def linked_to_nothing(folder):
    folder.symlink_to("nowhere")


def linked_round(folder):
    folder.symlink_to(folder.name)


LOST = {
    "empty": (Path.mkdir, r"anger \(no file in it\)"),
    "HEIC": (
        lambda folder: only(folder, b"\0\0\0\x18ftypheic", "1.heic", "2.heic"),
        r"anger \(2 files, such as .*anger/1\.heic\)",
    ),
    "text": (lambda folder: only(folder, b"text", "1"), r"anger \(1 files, such as .*anger/1\)"),
    "broken link": (linked_to_nothing, r"anger \(a link that leads nowhere\)"),
    "link to itself": (linked_round, r"anger \(a link that leads nowhere\)"),
    "link to the folder around": (lambda folder: folder.symlink_to("."), r"anger \(no file in it\)"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", LOST)
@pytest.mark.parametrize("layout", ["classes", "splits", "splits below", "around", "zip"])
def test_no_class_vanishes_in_silence(tmp_path, kind, layout):
    make, message = LOST[kind]
    root = tmp_path / "faces"
    if layout == "splits":
        write_splits(root)
        make(root / "train" / "anger")
    elif layout == "splits below":
        for place, name in enumerate(("happy", "sad")):
            write_classes(root / name, ("train", "test"), 4, place)
        make(root / "anger")
    else:
        write_classes(root)
        make(root / "anger")
    source = root
    if layout == "around":
        (tmp_path / "in").mkdir()
        source = (root.rename(tmp_path / "in" / "faces")).parent
    elif layout == "zip":
        if "link" in kind:
            pytest.skip("a link in an archive condemns it")
        source = tmp_path / "faces.zip"
        with zipfile.ZipFile(source, "w") as file:
            for path in sorted(root.rglob("*")):
                file.write(path, path.relative_to(root))
    with pytest.raises(InputError, match="no picture was taken from .*" + message):
        own_faces.prepare(source, tmp_path / "out", size=16)
    assert not (tmp_path / "out").exists()


LAYOUTS = {
    "POSTER_V2's RAF-DB": ("train", "valid"),
    "Kaggle's AffectNet": ("Train", "VAL"),
    "Kaggle's FER2013": ("images/train", "images/validation"),
    "train and test": ("train", "test"),
    "Training, PublicTest, PrivateTest": ("Training", "PrivateTest", "PublicTest"),
    "FERPlus's": ("FER2013Train", "FER2013Test", "FER2013Valid"),
    "sets": ("train_set", "test_set", "val_set"),
    "AffectNet by class": ("train_class", "val_class"),
    "images": ("train_images", "test_images", "dev_images"),
    "data": ("Training Data", "eval-data"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("below", [False, True], ids=["split/class", "class/split"])
def test_an_official_split_is_kept_and_said(tmp_path, name, below, capsys):
    splits, numbers = LAYOUTS[name], [str(number) for number in range(12)]
    root = write_splits(tmp_path / "faces", splits, numbers)
    if below:
        for split in splits:
            for number in numbers:
                (root / number).mkdir(exist_ok=True)
                (root / split / number).rename(root / number / Path(split).name)
            (root / split).rmdir()
        if "/" in splits[0]:
            (root / "images").rmdir()
    with pytest.raises(InputError, match="--classes 0,1,2,3,4,5,6,7,8,9,10,11, or"):
        own_faces.prepare(root, tmp_path / "out", size=16)
    classes = ",".join(f"{number}=class {number}" for number in numbers)
    own_faces.main(
        [str(root), "--out", str(tmp_path / "out"), "--size=16", "--classes", classes],
        "own_faces.py",
    )
    data = load_faces(tmp_path / "out")
    assert data.classes == tuple(f"class {number}" for number in numbers)
    counts = [48, 36, 24][: len(splits)]
    found = [len(data.train), len(data.test), len(data.validation or ())]
    assert found[: len(splits)] == counts and (len(splits) == 3 or data.validation is None)
    said = capsys.readouterr().out
    for split, became in zip(splits, ("train", "test", "validation"), strict=False):
        assert f"{Path(split).name} became {became}" in said


def test_a_name_is_the_same_however_unicode_writes_it(tmp_path):
    root = write_classes(tmp_path / "faces", ("Freude", unicodedata.normalize("NFD", "Ärger")), 5)
    description = own_faces.prepare(root, tmp_path / "out", size=16, classes="Freude,Ärger")
    assert description["classes"] == ["Freude", "Ärger"]
    composed, apart = (
        root / f"Freude/{unicodedata.normalize(form, 'é')}.png" for form in ("NFC", "NFD")
    )
    composed.write_bytes(picture(1))
    apart.write_bytes(picture(2))
    if len(list((root / "Freude").glob("*"))) == 7:  # a Mac's disk takes them for one
        with pytest.raises(InputError, match="holds two files 'Freude/é.png', whose names differ"):
            own_faces.prepare(root, tmp_path / "again", size=16, classes="Freude,Ärger")


@pytest.mark.parametrize("value", ["0", "1", "-0.2", "nan", "a fifth"])
def test_a_share_is_a_share(value, tmp_path, capsys):
    with pytest.raises(SystemExit):
        own_faces.main([str(tmp_path), "--out", "x", f"--test={value}"], "own_faces.py")
    assert f"{value!r}, expected a share such as 0.2" in capsys.readouterr().err
