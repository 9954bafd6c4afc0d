"""The RAF-DB script, on stand-ins in its layout: every form, every mistake, every trap."""

from __future__ import annotations

import importlib
import io
import zipfile

import pytest
from conftest import pack
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from eacbook.classes import CLASSES
from eacbook.data.faces import load_faces
from eacbook.errors import InputError
from eacbook.noise.inject import noise_from_file

rafdb = importlib.import_module("eacbook.data.prepare.rafdb")

LABELS = {f"train_{row:05d}.jpg": row % 7 + 1 for row in range(1, 10)} | {
    f"test_{row:04d}.jpg": row % 7 + 1 for row in range(1, 4)
}
TRAIN = [name for name in LABELS if name.startswith("train")]
LIST = "EmoLabel/list_patition_label.txt"


def jpeg(label, side=100):
    file = io.BytesIO()
    Image.new("RGB", (side, side), (30 * label, 90, 10)).save(file, "JPEG", quality=95)
    return file.getvalue()


def aligned(name):
    return name.replace(".jpg", "_aligned.jpg")


def write_list(root, labels=LABELS):
    (root / LIST).parent.mkdir(parents=True, exist_ok=True)
    (root / LIST).write_text("".join(f"{name} {label}\n" for name, label in labels.items()))


def write_folder(root, images=("aligned",)):
    write_list(root)
    for folder in images:
        (root / "Image" / folder).mkdir(parents=True)
        for name, label in LABELS.items():
            name = aligned(name) if folder == "aligned" else name
            (root / "Image" / folder / name).write_bytes(jpeg(label))
    return root


def as_downloaded(here, kind="zip", keep=False):
    """The faces in an archive of their own inside ``Image``, beside that of the photographs."""
    root = write_folder(here / "in" / "basic")
    images = root / "Image"
    (here / "faces" / "aligned").mkdir(parents=True)
    for path in (images / "aligned").iterdir():
        (here / "faces" / "aligned" / path.name).write_bytes(path.read_bytes())
        if not keep:
            path.unlink()
    if not keep:
        (images / "aligned").rmdir()
    pack(here / "faces", images / f"aligned.{kind}")
    (images / "original.zip").write_bytes(b"PK and then nothing that could be read")
    return root.parent


def zip_of_zip_of_zip(here):
    pack(as_downloaded(here), here / "in" / "basic.zip")
    for path in sorted((here / "in" / "basic").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (here / "in" / "basic").rmdir()
    return pack(here / "in", here / "raf.zip")


FORMS = {
    "folder": lambda here: write_folder(here / "basic"),
    "folder in a folder": lambda here: write_folder(here / "raf" / "basic").parent,
    "zip": lambda here: pack(write_folder(here / "in"), here / "basic.zip"),
    "tar": lambda here: pack(write_folder(here / "in"), here / "basic.tar"),
    "tar.gz": lambda here: pack(write_folder(here / "in"), here / "basic.tar.gz"),
    "folder with aligned.zip": as_downloaded,
    "folder with aligned.tar.gz": lambda here: as_downloaded(here, "tar.gz"),
    "unpacked, the archive still there": lambda here: as_downloaded(here, keep=True),
    "zip in a zip": lambda here: pack(as_downloaded(here), here / "basic.zip"),
    "zip in a tar.gz": lambda here: pack(as_downloaded(here), here / "basic.tar.gz"),
    "zip in a zip in a zip": zip_of_zip_of_zip,
    "photographs too": lambda here: write_folder(here / "basic", ("aligned", "original")),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_set(tmp_path, form):
    (tmp_path / "source").mkdir()
    rafdb.prepare(FORMS[form](tmp_path / "source"), tmp_path / "out")
    data = load_faces(tmp_path / "out")
    assert data.classes == CLASSES[:7]
    assert data.train.files == tuple(TRAIN)
    assert data.test.files == tuple(name for name in LABELS if name.startswith("test"))
    for faces in (data.train, data.test):
        assert faces.images.shape[1:] == (3, 100, 100)
        assert faces.labels.tolist() == [LABELS[name] - 1 for name in faces.files]
        red = faces.images[:, 0].float().mean((1, 2)) / 30
        assert red.round().int().tolist() == [LABELS[name] for name in faces.files]


def test_noisy_label_files_of_papers_fit(tmp_path):
    rafdb.prepare(write_folder(tmp_path / "basic"), tmp_path / "out")
    train = load_faces(tmp_path / "out").train
    lines = [f"{name} {LABELS[name]}" for name in TRAIN]
    lines[2] = f"{TRAIN[2]} 7"
    (tmp_path / "noise01.txt").write_text("\n".join(lines))  # without a last line end, as theirs
    noisy = noise_from_file(tmp_path / "noise01.txt", train.files, train.labels, 7)
    assert noisy.wrong.nonzero().flatten().tolist() == [2]
    assert noisy.given[2] == 6


def test_another_size_and_images_without_a_line(tmp_path):
    root = write_folder(tmp_path / "basic")
    write_list(root, {name: label for name, label in LABELS.items() if name != TRAIN[0]})
    description = rafdb.prepare(root, tmp_path / "out", size=64)
    assert description["image_shape"] == [64, 64, 3]
    assert description["notes"]["dropped"]["unlisted"] == {"train": 1}
    assert description["counts"] == {"train": 8, "test": 3}


# Each makes a source that is refused, and says with which words.


def labels_changed(here, change, message):
    root = write_folder(here / "basic")
    text = (root / LIST).read_text()
    assert change(text) != text
    (root / LIST).write_text(change(text))
    return root, LIST + message


def image_changed(here, data, message):
    root = write_folder(here / "basic")
    (root / "Image/aligned/train_00003_aligned.jpg").write_bytes(data)
    return root, r"Image/aligned/train_00003_aligned\.jpg " + message + ".*--skip-broken"


def with_entry(here, name, mode=None, nested=False):
    """A hostile entry, in the download or in the aligned.zip inside it."""
    root = as_downloaded(here) if nested else write_folder(here / "in")
    archive = root / "basic/Image/aligned.zip" if nested else pack(root, here / "basic.zip")
    with zipfile.ZipFile(archive, "a") as file:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = (mode or 0o100644) << 16
        file.writestr(entry, "/etc/passwd")
    where = r"basic/Image/aligned\.zip" if nested else r"basic\.zip"
    return pack(root, here / "all.zip") if nested else archive, f"{where}: the entry .* refused"


def bomb(here):
    """An honest list beside an aligned.zip of zeros that would fill the disk."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:  # stored, so that it is as large as its zeros
        file.writestr("aligned/train_00001_aligned.jpg", bytes(30 << 20))
    write_list(here / "in")
    (here / "in" / "Image").mkdir()
    (here / "in" / "Image" / "aligned.zip").write_bytes(inner.getvalue())
    return pack(here / "in", here / "basic.zip"), r"Image/aligned\.zip decompresses to over 100 tim"


def endless_nest(here):
    archive = write_folder(here / "in")
    for level in range(4):
        (here / str(level)).mkdir()
        archive = pack(archive, here / str(level) / "basic.zip").parent
    return archive / "basic.zip", r"basic\.zip/basic\.zip is an archive in an archive in an archi"


def damaged_nested(here):
    root = as_downloaded(here)
    path = root / "basic/Image/aligned.zip"
    path.write_bytes(path.read_bytes()[:-200])
    return root, r"Image/aligned\.zip is damaged or encrypted"


def only_photographs(here):
    return write_folder(here / "basic", ("original",)), (
        r"holds only the photographs \(Image/original/test_0001\.jpg\): expected the aligned faces"
    )


def only_the_archive_of_photographs(here):
    root = as_downloaded(here)
    (root / "basic/Image/aligned.zip").unlink()
    return root, r"holds only the photographs \(basic/Image/original\.zip\): expected the aligned"


def no_list(here):
    root = write_folder(here / "basic")
    (root / LIST).unlink()
    return root, "holds no list of labels: expected one EmoLabel/list_patition_label.txt"


def missing_images(here):
    root = write_folder(here / "basic")
    for name in TRAIN[1:3]:
        (root / "Image/aligned" / aligned(name)).unlink()
    return root, LIST + r", line 2: there is no image train_00002_aligned\.jpg \(2 such lines\)"


def two_copies(here):
    write_folder(here / "in" / "one")
    write_folder(here / "in" / "two")
    return here / "in", "holds one/Image/aligned/.* and two/Image/aligned/.*: expected one of them"


def rar(here):
    (here / "basic.rar").write_bytes(b"Rar!\x1a\x07\x01\x00" + bytes(600))
    return here / "basic.rar", r"basic\.rar is a RAR archive: unpack it"


def from_zero(text):
    return "".join(f"{line[:-1]}{int(line[-1]) - 1}\n" for line in text.splitlines())


REFUSED = {
    "missing": lambda here: (here / "nothing", "there is no file or folder .*nothing"),
    "empty folder": lambda here: (here, "holds no image of RAF-DB: expected the aligned faces"),
    "only photographs": only_photographs,
    "only original.zip": only_the_archive_of_photographs,
    "no list": no_list,
    "image missing": missing_images,
    "two copies": two_copies,
    "RAR": rar,
    "labels from 0": lambda here: labels_changed(
        here, from_zero, ", line 7: label 0, but RAF-DB counts from 1 .surprise. to 7 .neutral."
    ),
    "compound label": lambda here: labels_changed(
        here, lambda text: text.replace(" 7", " 11"), ", line 6: label 11, expected 1 to 7"
    ),
    "no label": lambda here: labels_changed(
        here, lambda text: text.replace(".jpg 3", ".jpg"), ", line 2: found 'train_00002.jpg', exp"
    ),
    "other name": lambda here: labels_changed(
        here, lambda text: text.replace("test_0001", "t1"), ", line 10: the name is 't1.jpg', exp"
    ),
    "name twice": lambda here: labels_changed(
        here, lambda text: text + "train_00001.jpg 2\n", ", line 13: train_00001.jpg occurs here"
    ),
    "endless line": lambda here: labels_changed(
        here, lambda text: "x" * 70_000, ", line 1: it has over 65536 characters"
    ),
    "endless list": lambda here: labels_changed(
        here, lambda text: "\n" * 100_001, " has over 100,000 lines"
    ),
    "truncated JPEG": lambda here: image_changed(here, jpeg(1)[:300], "does not decode as JPEG"),
    "no image": lambda here: image_changed(here, b"<html>", "does not decode as JPEG"),
    "PostScript": lambda here: image_changed(here, b"%!PS-Adobe-3.0 EPSF-3.0\n", "does not deco"),
    "large file": lambda here: image_changed(here, bytes((1 << 26) + 1), "is larger than 67,108,8"),
    "entry outside": lambda here: with_entry(here, "../evil.jpg"),
    "absolute entry": lambda here: with_entry(here, "/etc/evil.jpg"),
    "link": lambda here: with_entry(here, "a.jpg", 0o120777),
    "entry outside, nested": lambda here: with_entry(here, "..\\evil.jpg", nested=True),
    "link, nested": lambda here: with_entry(here, "a.jpg", 0o120777, nested=True),
    "zip bomb, nested": bomb,
    "endless nest": endless_nest,
    "damaged, nested": damaged_nested,
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_rafdb_is_refused_and_nothing_is_left(tmp_path, case):
    (tmp_path / "source").mkdir()
    source, message = REFUSED[case](tmp_path / "source")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message) as caught:
        rafdb.prepare(source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


@given(st.text(max_size=40))
def test_any_line_is_read_or_refused(line):
    try:
        name, label = rafdb.parse_line(line, "list, line 1")
    except InputError as error:
        assert str(error).startswith("list, line 1: ")
    else:
        assert name.startswith(("train_", "test_")) and label in range(7)


def test_the_command_counts_and_warns_of_an_unusual_number(tmp_path, capsys):
    root, _ = image_changed(tmp_path, b"broken", "")
    rafdb.main(
        [str(root), "--out", str(tmp_path / "out"), "--size", "32", "--skip-broken"], "rafdb.py"
    )
    out, err = capsys.readouterr()
    rows = {tuple(line.split()) for line in out.splitlines()}
    assert ("kept", "8", "0", "3") in rows and ("dropped", "1", "0", "0") in rows
    assert "skipped: Image/aligned/train_00003_aligned.jpg does not decode" in err
    assert "gave 8 training and 3 test images, RAF-DB has 12,271 training and 3,068 test" in err
    with pytest.raises(SystemExit):
        rafdb.main([str(root), "--out", "x", "--size", "5"], "rafdb.py")
    assert "'5' pixels, expected 16 to 1024" in capsys.readouterr().err
