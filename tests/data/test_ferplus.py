"""The FERPlus script: every form gives the same set, every broken one a clear refusal."""

from __future__ import annotations

import csv
import gzip
import importlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import pack
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from eacbook.classes import CLASSES
from eacbook.data.faces import load_faces
from eacbook.errors import InputError

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "data_scripts" / "ferplus.py"
SHARED = Path(os.environ.get("EACBOOK_SHARED", ROOT.parent / "shared")) / "data"

ferplus = importlib.import_module("eacbook.data.prepare.ferplus")

COLUMNS = (
    *("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"),
    *("unknown", "NF"),
)
# Usage, image name, votes, majority label, most-voted label; None is dropped.
ROWS = [
    ("Training", "fer0000000.png", (1, 9, 0, 0, 0, 0, 0, 0, 0, 0), "happiness", "happiness"),
    ("Training", "", (0, 0, 0, 0, 0, 0, 0, 0, 0, 10), None, None),
    ("Training", "fer0000002.png", (5, 0, 0, 5, 0, 0, 0, 0, 0, 0), None, "neutral"),
    ("Training", "fer0000003.png", (2, 0, 0, 0, 0, 0, 0, 8, 0, 0), "contempt", "contempt"),
    ("Training", "fer0000004.png", (1, 0, 0, 2, 0, 0, 0, 0, 7, 0), None, None),
    ("Training", "fer0000005.png", (0, 0, 0, 0, 4, 0, 0, 0, 0, 6), None, None),
    ("Training", "fer0000007.png", (0, 0, 9, 0, 1, 0, 0, 0, 0, 0), None, None),  # repeated below
    ("Training", "fer0000006.png", (1, 1, 0, 1, 1, 4, 1, 1, 0, 0), "disgust", "disgust"),
    ("Training", "fer0000007.png", (2, 0, 0, 0, 8, 0, 0, 0, 0, 0), "anger", "anger"),
    ("PublicTest", "fer0000008.png", (0, 0, 0, 10, 0, 0, 0, 0, 0, 0), "sadness", "sadness"),
    ("PublicTest", "fer0000009.png", (0, 0, 4, 0, 0, 0, 4, 0, 0, 2), None, "surprise"),
    ("PrivateTest", "fer0000010.png", (0, 0, 0, 0, 0, 0, 6, 0, 4, 0), "fear", "fear"),
    ("PrivateTest", "fer0000011.png", (10, 0, 0, 0, 0, 0, 0, 0, 0, 0), "neutral", "neutral"),
]
PIXELS = np.random.default_rng(0).integers(0, 256, (len(ROWS), 48, 48), dtype=np.uint8)
FOLDERS = {
    "Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"
}  # fmt: skip


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_votes(path, rows=ROWS):
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["Usage", "Image name", *COLUMNS])
        table.writerows([usage, name, *votes] for usage, name, votes, *_ in rows)
    return path


def emotion_of(votes):
    """FER2013's own label, as if it were that of most voters; neutral where it has none for it."""
    choice = ferplus.most_voted(votes)
    return ferplus.EMOTIONS.index(choice if choice in ferplus.EMOTIONS else "neutral")


def write_pixels(path, rows=ROWS, pixels=PIXELS):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{emotion_of(row[2])},{' '.join(map(str, image.ravel().tolist()))},{row[0]}"
        for row, image in zip(rows, pixels, strict=True)
    ]
    path.write_text("\n".join(["emotion,pixels,Usage", *lines]) + "\n")
    return path


def write_folders(root, box=True):
    """As the tools of FERPlus do: a later image of the same name replaces the file."""
    for usage, folder in FOLDERS.items():
        (root / folder).mkdir(parents=True)
        with (root / folder / "label.csv").open("w", newline="") as file:
            for row, image in zip(ROWS, PIXELS, strict=True):
                if row[0] == usage and row[1]:
                    (root / folder / row[1]).write_bytes(png(image))
                    where = ["(0, 0, 48, 48)"] if box else []
                    csv.writer(file).writerow([row[1], *where, *row[2]])
    return root


def clone_of_the_repository(here):
    """Its label.csv files come without images; the user has put fer2013.csv beside them."""
    root = write_folders(here / "FERPlus" / "data").parent
    for path in root.rglob("*.png"):
        path.unlink()
    write_pixels(root / "fer2013.csv")
    write_votes(root / "fer2013new.csv")
    (root / "FER+vsFER.png").write_bytes(b"an illustration")
    return root


def zip_from_a_mac(here):
    root = write_folders(here / "in")
    (root / "__MACOSX" / "FER2013Train").mkdir(parents=True)
    (root / "__MACOSX" / "FER2013Train" / "._fer0000000.png").write_bytes(b"\0")
    (root / "FER2013Train" / "._fer0000000.png").write_bytes(b"\0")
    (root / "FER2013Train" / ".DS_Store").write_bytes(b"\0")
    return pack(root, here / "ferplus.zip")


def kaggle_tar(here):
    write_pixels(here / "in" / "fer2013" / "fer2013.csv")
    (here / "in" / "fer2013" / "README").write_text("readme")
    write_votes(here / "fer2013new.csv")
    return pack(here / "in", here / "fer2013.tar.gz")


def newer_kaggle_csv(here):
    """icml_face_data.csv: other order of columns, and blanks in the header."""
    text = write_pixels(here / "fer2013.csv").read_text().splitlines()
    rows = [line.split(",") for line in text[1:]]
    (here / "fer2013.csv").unlink()
    lines = [f'{emotion},{usage},"{pixels}"' for emotion, pixels, usage in rows]
    write_votes(here / "fer2013new.csv")
    path = here / "icml_face_data.csv"
    path.write_text("\ufeff" + "\r\n".join(["emotion, Usage, pixels", *lines]))
    return path


def csv_with_votes(here):
    write_votes(here / "fer2013new.csv")
    return write_pixels(here / "fer2013.csv")


def zip_of_both_tables(here):
    (here / "in").mkdir()
    csv_with_votes(here / "in")
    return pack(here / "in", here / "a.zip")


def zip_without_ending(here):
    """What a file is shows in its content, not in its name."""
    return pack(write_folders(here / "in"), here / "a.zip").rename(here / "ferplus.download")


FORMS = {
    "folder": lambda here: write_folders(here / "ferplus"),
    "folder of newer tools": lambda here: write_folders(here / "ferplus", box=False),
    "folder in a folder": lambda here: write_folders(here / "in" / "ferplus").parent,
    "zip": lambda here: pack(write_folders(here / "in"), here / "ferplus.zip"),
    "zip from a Mac": zip_from_a_mac,
    "zip in a folder": lambda here: pack(
        write_folders(here / "in" / "ferplus").parent, here / "ferplus.zip"
    ),
    "zip without ending": zip_without_ending,
    "tar": lambda here: pack(write_folders(here / "in"), here / "ferplus.tar"),
    "tgz": lambda here: pack(write_folders(here / "in"), here / "ferplus.tgz"),
    "fer2013.csv": csv_with_votes,
    "folder of tables": lambda here: csv_with_votes(here).parent,
    "zip of tables": zip_of_both_tables,
    "fer2013.tar.gz": kaggle_tar,
    "icml_face_data.csv": newer_kaggle_csv,
    "clone of the repository": clone_of_the_repository,
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_set(tmp_path, form):
    (tmp_path / "source").mkdir()
    source = FORMS[form](tmp_path / "source")
    ferplus.prepare(source, tmp_path / "out")
    data = load_faces(tmp_path / "out")
    assert data.classes == CLASSES[:7]
    splits = {"Training": data.train, "PublicTest": data.validation, "PrivateTest": data.test}
    for usage, faces in splits.items():
        rows = [row for row in range(len(ROWS)) if ROWS[row][0] == usage]
        rows = [row for row in rows if ROWS[row][3] not in (None, "contempt")]
        rows.sort(key=lambda row: ROWS[row][1])
        assert np.array_equal(faces.images[:, 0].numpy(), PIXELS[rows])
        assert faces.files == tuple(ROWS[row][1] for row in rows)
        assert [CLASSES[label] for label in faces.labels] == [ROWS[row][3] for row in rows]
        votes = [[ROWS[row][2][COLUMNS.index(name)] for name in CLASSES[:7]] for row in rows]
        assert faces.votes.tolist() == votes
    with (tmp_path / "out" / "labels.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    # All ten votes stay on disk, in the order of FERPlus.
    assert [int(first[f"votes_{name}"]) for name in ferplus.CHOICES] == list(ROWS[0][2])


def test_votes_can_be_given(tmp_path):
    pixels = write_pixels(tmp_path / "pixels" / "fer2013.csv")
    votes = write_votes(tmp_path / "elsewhere.csv")
    ferplus.prepare(pixels, tmp_path / "out", votes=votes)
    assert len(load_faces(tmp_path / "out").train) == 3


def test_each_split_may_use_the_same_names(tmp_path):
    root = write_folders(tmp_path / "in")
    expected = ferplus.prepare(root, tmp_path / "expected")["notes"]["kept"]
    for folder in FOLDERS.values():
        table = root / folder / "label.csv"
        text = table.read_text()
        for number, path in enumerate(sorted((root / folder).glob("*.png"))):
            path.rename(root / folder / f"{number}.png")
            text = text.replace(path.name, f"{number}.png")
        table.write_text(text)
    assert ferplus.prepare(root, tmp_path / "out")["notes"]["kept"] == expected
    assert len(load_faces(tmp_path / "out").train) == sum(n["train"] for n in expected.values())


@pytest.mark.parametrize("labels", ["majority", "most-voted"])
@pytest.mark.parametrize("num_classes", [7, 8])
def test_what_is_kept_and_dropped_is_counted(tmp_path, labels, num_classes):
    description = ferplus.prepare(
        csv_with_votes(tmp_path), tmp_path / "out", labels=labels, num_classes=num_classes
    )
    assert json.loads((tmp_path / "out" / "faceset.json").read_text()) == description
    expected = [row[3 if labels == "majority" else 4] for row in ROWS]
    expected = [name for name in expected if name and (num_classes == 8 or name != "contempt")]
    notes = description["notes"]
    assert (notes["rule"], notes["classes"]) == (labels, num_classes)
    kept = Counter({name: sum(counts.values()) for name, counts in notes["kept"].items()})
    assert kept == Counter(expected)
    assert list(kept) == list(description["classes"]) == list(CLASSES[:num_classes])
    dropped = {name: sum(counts.values()) for name, counts in notes["dropped"].items()}
    only_once = {"unnamed": 1, "repeated": 1, "unknown": 1, "not_a_face": 1, "broken": 0}
    assert dropped == {
        "no_majority": 2 if labels == "majority" else 0,
        **({"contempt": 1} if num_classes == 7 else {}),
        **only_once,
    }
    assert sum(kept.values()) + sum(dropped.values()) == len(ROWS)


@pytest.mark.slow
@given(st.tuples(*[st.integers(0, 10)] * 10))
@example((0,) * 10)
@example((1,) * 10)
@example((5, 5, 0, 0, 0, 0, 0, 0, 0, 0))
@example((0, 0, 0, 0, 1, 1, 1, 2, 0, 0))
def test_the_rules_say_what_the_paper_says(votes):
    remaining = {name: votes[i] for i, name in enumerate(ferplus.CHOICES) if votes[i] != 1}
    winners = [
        name
        for name, count in remaining.items()
        if count > sum(remaining.values()) - count  # more than all others together
    ]
    assert len(winners) <= 1
    assert ferplus.majority(votes) == (winners[0] if winners else "no_majority")
    best = "no_majority"
    for name, count in zip(ferplus.CHOICES, votes, strict=True):
        if count > (votes[ferplus.CHOICES.index(best)] if best in ferplus.CHOICES else 0):
            best = name
    assert ferplus.most_voted(votes) == best


# Each makes a source that is refused, and says with which words.


def without_image(here):
    root = write_folders(here / "ferplus")
    (root / "FER2013Train" / "fer0000003.png").unlink()
    return root, r"FER2013Train/label\.csv, line 3: there is no image FER2013Train/fer0000003\.png"


def without_label(here):
    root = write_folders(here / "ferplus")
    (root / "FER2013Test" / "fer9999999.png").write_bytes(png(PIXELS[0]))
    return root, r"FER2013Test/label\.csv has no line for FER2013Test/fer9999999\.png"


def without_a_folder(here):
    root = write_folders(here / "ferplus")
    (root / "FER2013Valid" / "label.csv").unlink()
    return root, r"FER2013Valid/label\.csv is missing"


def twice_the_same_folder(here):
    write_folders(here / "in" / "a")
    write_folders(here / "in" / "b")
    return here / "in", "a/FER2013Train/label.csv and b/FER2013Train/label.csv were found"


def changed_labels(here, old, new, message):
    root = write_folders(here / "ferplus")
    path = root / "FER2013Valid" / "label.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return root, message


def changed_pixels(here, old, new, message):
    path = csv_with_votes(here)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    return path, message


def changed_votes(here, old, new, message):
    source = csv_with_votes(here)
    path = here / "fer2013new.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    return source, message


def changed_image(here, content, message):
    root = write_folders(here / "ferplus")
    (root / "FER2013Train" / "fer0000006.png").write_bytes(content)
    return root, r"FER2013Train/fer0000006\.png " + message + ".*--skip-broken"


def truncated(here, name, share, message):
    archive = pack(write_folders(here / "in"), here / name)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * share)])
    return archive, message


def damaged_zip(here):
    archive = pack(write_folders(here / "in"), here / "ferplus.zip")
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        start = file.getinfo("FER2013Train/fer0000006.png").header_offset
    content[start + 500] ^= 255
    archive.write_bytes(content)
    return archive, "truncated, damaged or encrypted .*fer0000006"


def junk(here, content, message, name="ferplus.zip"):
    (here / name).write_bytes(content)
    return here / name, message


def png_of_declared_size(side):
    """A header that promises side x side pixels over next to no data: a decompression bomb."""
    content = bytearray(png(PIXELS[0]))
    content[16:24] = side.to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    return bytes(content)


FIRST_ROW = " ".join(map(str, PIXELS[0].ravel().tolist()))
REFUSED = {
    "missing": lambda here: (here / "nothing.zip", "there is no file or folder .*nothing.zip"),
    "empty folder": lambda here: (here, "holds neither FER2013Train/.*nor fer2013.csv"),
    "text": lambda here: junk(here, b"hello", "is neither a folder, a zip, a tar"),
    "empty file": lambda here: junk(here, b"", "is neither a folder, a zip, a tar"),
    "zip without magic": lambda here: junk(here, b"PK\3\4junk", "truncated, damaged or encrypted"),
    "gzip of no tar": lambda here: junk(here, b"\x1f\x8b junk", "truncated, damaged or encrypted"),
    "votes alone": lambda here: (write_votes(here / "fer2013new.csv"), "is neither a folder"),
    "truncated zip": lambda here: truncated(here, "a.zip", 0.7, "truncated, damaged"),
    "truncated tar": lambda here: truncated(here, "a.tar", 0.4, "truncated, damaged"),
    "truncated tar.gz": lambda here: truncated(here, "a.tar.gz", 0.7, "truncated, damaged"),
    "damaged zip": damaged_zip,
    "label without image": without_image,
    "image without label": without_label,
    "folder without label.csv": without_a_folder,
    "two copies": twice_the_same_folder,
    "votes of folder": lambda here: changed_labels(
        here, ",10,", ",ten,", r"FER2013Valid/label.csv, line 1: votes are .*ten.*10 whole numbers"
    ),
    "line in two": lambda here: changed_labels(here, ",10,0", "", r"line 1: votes are"),
    "votes missing": lambda here: (
        write_pixels(here / "fer2013.csv"),
        "fer2013new.csv is neither in nor beside .*microsoft/FERPlus on GitHub.*--votes",
    ),
    "header of votes": lambda here: changed_votes(
        here, "neutral,happiness", "happiness,neutral", "fer2013new.csv, line 1: .*expected Usage,"
    ),
    "no integer": lambda here: changed_votes(
        here, "1,9,0", "1,9.0,0", r"fer2013new.csv, line 2: votes are '1,9.0,0"
    ),
    "negative": lambda here: changed_votes(here, "1,9,0", "1,-9,0", r"line 2: votes are '1,-9,0"),
    "short row": lambda here: changed_votes(here, ",1,9,0", "", "line 2: votes are"),
    "usage of votes": lambda here: changed_votes(
        here, "PublicTest", "Public", "line 11: Usage is 'Public', expected one of Training, Pub"
    ),
    "fewer pixels rows": lambda here: changed_votes(
        here, "PrivateTest,fer0000011.png", "PrivateTest,fer0000012.png,0,0,0,0,0,0,0,0,0,0\n"
        "PrivateTest,fer0000011.png", "fer2013.csv has only 13 rows, fer2013new.csv has 14"
    ),
    "more pixels rows": lambda here: changed_votes(
        here, "PrivateTest,fer0000011.png,10,0,0,0,0,0,0,0,0,0\n", "",
        "fer2013.csv has more than 12 rows, fer2013new.csv has 12"
    ),
    "other usage": lambda here: changed_votes(
        here, "PublicTest", "Training", "fer2013.csv, line 11: Usage is PublicTest, but .*train"
    ),
    "pixels columns": lambda here: changed_pixels(
        here, "emotion,pixels,Usage", "emotion,pixels", "line 1: 'emotion,pixels', expected the col"
    ),
    "row of a column": lambda here: changed_pixels(here, "\n3,", "\n", "line 2: 2 columns, expected 3"),
    "no emotion": lambda here: changed_pixels(
        here, "\n3,", "\n7,", "line 2: the emotion is '7', expected 0 to 6"
    ),
    "too few pixels": lambda here: changed_pixels(
        here, FIRST_ROW, FIRST_ROW.rsplit(" ", 1)[0], "line 2 .fer0000000.png.: 2303 pixels, expec"
    ),
    "too many pixels": lambda here: changed_pixels(
        here, FIRST_ROW, FIRST_ROW + " 0", "2305 pixels, expected 2304"
    ),
    "no pixels": lambda here: changed_pixels(here, FIRST_ROW, "", "line 2 .*pixels"),
    "bright pixel": lambda here: changed_pixels(
        here, FIRST_ROW, "256 " + FIRST_ROW.split(" ", 1)[1], "to 256, expected 0 to 255"
    ),
    "dark pixel": lambda here: changed_pixels(
        here, FIRST_ROW, "-1 " + FIRST_ROW.split(" ", 1)[1], "pixels -1 to 25., expected 0 to 255"
    ),
    "no number": lambda here: changed_pixels(
        here, FIRST_ROW, FIRST_ROW + " x", "the pixels are not all whole numbers"
    ),
    "half a pixel": lambda here: changed_pixels(
        here, FIRST_ROW, "0.5 " + FIRST_ROW.split(" ", 1)[1], "the pixels are not all whole numbers"
    ),
    "endless line": lambda here: changed_pixels(
        here, FIRST_ROW, "0 " * 40_000, "it has over 65536 characters"
    ),
    "no image": lambda here: changed_image(here, b"not a picture", "does not decode as PNG"),
    "half an image": lambda here: changed_image(here, png(PIXELS[0])[:900], "does not decode as P"),
    "other size": lambda here: changed_image(
        here, png(np.zeros((50, 48), np.uint8)), "has 48x50 pixels, expected 48x48"
    ),
    "other kind": lambda here: changed_image(here, b"GIF89a" + bytes(20), "does not decode as PNG"),
    "decompression bomb": lambda here: changed_image(
        here, png_of_declared_size(60_000), "does not decode as PNG .*decompression bomb"
    ),
    "small bomb": lambda here: changed_image(here, png_of_declared_size(5_000), "has 5000x5000"),
    "large file": lambda here: changed_image(here, bytes(2 << 20), "is larger than 1,048,576"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_ferplus_is_refused_and_nothing_is_left(tmp_path, case):
    (tmp_path / "source").mkdir()
    source, message = REFUSED[case](tmp_path / "source")
    with pytest.raises(InputError, match=message) as caught:
        ferplus.prepare(source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


# Rows whose own label is that of the votes in two of three, as FER2013's is about; and reorderings.


def many_rows(count, agreement=0.65, chance=None):
    """Usage, emotion and votes of rows in the order of FERPlus."""
    chance = chance or np.random.default_rng(0)
    usages = np.repeat(list(FOLDERS), [count * 8 // 10, count // 10, count - count * 9 // 10])
    seen = chance.choice(7, count, p=(0.085, 0.005, 0.022, 0.289, 0.12, 0.127, 0.352))
    own = np.where(chance.random(count) < agreement, seen, chance.integers(0, 7, count))
    votes = [
        tuple(8 if name == ferplus.EMOTIONS[label] else 0 for name in ferplus.CHOICES)
        for label in seen
    ]
    return usages, own, votes


def refusal(usages, own, votes):
    """What is said of such a table, or None."""
    faces = [
        ferplus.Face(ferplus.USAGES[usage], f"fer{row:07d}.png", vote)
        for row, (usage, vote) in enumerate(zip(usages, votes, strict=True))
    ]
    lines = [f"{emotion},0,{usage}" for usage, emotion in zip(usages, own, strict=True)]
    table = "\n".join(["emotion,pixels,Usage", *lines]).encode()
    try:
        assert len(list(ferplus.read_pixels(lambda: io.BytesIO(table), "f.csv", faces))) == len(own)
    except InputError as error:
        return str(error)
    return None


def moved(own, start, length, by):
    """A block of rows cut out and put in ``by`` rows further down."""
    return np.concatenate(
        [own[:start], own[start + length : start + length + by], own[start : start + length],
         own[start + length + by :]]
    )  # fmt: skip


REORDERINGS = {
    "shuffled": lambda own: np.random.default_rng(1).permutation(own),
    "sorted": np.sort,
    "shifted by one": lambda own: np.roll(own, 1),
    "reversed": lambda own: own[::-1],
    "a block moved": lambda own: moved(own, len(own) // 4, len(own) // 10, len(own) // 10),
    "one row lost, one doubled": lambda own: np.concatenate([own[:9], own[10:], own[-1:]]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REORDERINGS)
@pytest.mark.parametrize("count", [1000, 5000])
def test_rows_in_another_order_than_the_votes_are_refused(name, count):
    usages, own, votes = many_rows(count)
    message = refusal(usages, reordered_within(usages, own, REORDERINGS[name]), votes)
    assert re.search(
        r"f\.csv: in lines \d+ to \d+ the emotion is that of the votes in only [\d,]+ of [\d,]+ rows, "
        r"where about 65 % are usual and \d+% come by chance",
        message,
    )


def reordered_within(usages, own, change):
    """The Usage of a row stays, as it is compared by itself."""
    parts = [own[usages == usage] for usage in FOLDERS]
    return np.concatenate([change(parts[0]), *parts[1:]])


@pytest.mark.slow
@pytest.mark.parametrize("agreement", [0.5, 0.6, 0.7, 1])
def test_the_same_order_is_taken_however_well_people_agreed(agreement):
    # The share that agrees by chance comes on top: the true one of 0.5 is 0.57 here.
    chance = np.random.default_rng(1)
    assert not [r for _ in range(10) if (r := refusal(*many_rows(3000, agreement, chance)))]


@pytest.mark.parametrize("name", REORDERINGS)
def test_small_tables_of_one_mind_are_told_from_reordered_ones(name):
    usages, own, votes = many_rows(400, 1)
    assert refusal(usages, own, votes) is None
    reordered = reordered_within(usages, own, REORDERINGS[name])
    assert "in the same order as in fer2013new.csv" in refusal(usages, reordered, votes)


@pytest.mark.parametrize("gzipped", ["pixels", "votes", "both in a tar"])
def test_gzipped_tables_are_read(tmp_path, gzipped):
    source = csv_with_votes(tmp_path)
    names = {"pixels": ["fer2013.csv"], "votes": ["fer2013new.csv"]}
    for name in names.get(gzipped, ["fer2013.csv", "fer2013new.csv"]):
        path = tmp_path / name
        Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    if gzipped == "both in a tar":
        source = pack(tmp_path, tmp_path.parent / f"{tmp_path.name}.tar")
    elif gzipped == "pixels":
        source = tmp_path / "fer2013.csv.gz"
    ferplus.prepare(source, tmp_path / "out")
    assert len(load_faces(tmp_path / "out").train) == 3


def test_votes_for_folders_are_refused(tmp_path):
    source = write_folders(tmp_path / "ferplus")
    with pytest.raises(InputError, match="--votes .* is for pixels in a CSV"):
        ferplus.prepare(source, tmp_path / "out", votes=write_votes(tmp_path / "votes.csv"))


def test_tables_without_end_are_not_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(ferplus, "MOST_ROWS", 10)
    with pytest.raises(InputError, match=r"fer2013new\.csv has over 10 lines"):
        ferplus.prepare(csv_with_votes(tmp_path), tmp_path / "out")


HOSTILE_NAMES = ["../evil.png", "a/../../evil", "/etc/evil", "C:\\evil.png", "C:evil", "..\\evil"]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_hostile_entry_condemns_the_archive(tmp_path, name, kind):
    archive = pack(write_folders(tmp_path / "in"), tmp_path / f"ferplus.{kind}")
    if kind == "zip":
        with zipfile.ZipFile(archive, "a") as file:
            file.writestr(name, b"")
    else:
        with tarfile.open(archive, "a") as file:
            file.addfile(tarfile.TarInfo(name))
    with pytest.raises(InputError) as caught:
        ferplus.prepare(archive, tmp_path / "out")
    assert f"the entry {name!r} is" in str(caught.value) and "refused" in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_a_link_or_a_device_condemns_the_archive(tmp_path, kind):
    archive = pack(write_folders(tmp_path / "in"), tmp_path / "ferplus.tar")
    with tarfile.open(archive, "a") as file:
        entry = tarfile.TarInfo("FER2013Train/fer9999999.png")
        entry.type, entry.linkname = kind, "/etc/passwd"
        file.addfile(entry)
    with pytest.raises(InputError, match=r"fer9999999\.png' is a link, a device"):
        ferplus.prepare(archive, tmp_path / "out")


def test_a_link_in_a_zip_condemns_it(tmp_path):
    archive = pack(write_folders(tmp_path / "in"), tmp_path / "ferplus.zip")
    with zipfile.ZipFile(archive, "a") as file:
        entry = zipfile.ZipInfo("FER2013Train/fer9999999.png")
        entry.external_attr = 0o120777 << 16
        file.writestr(entry, "/etc/passwd")
    with pytest.raises(InputError, match=r"fer9999999\.png' is a link"):
        ferplus.prepare(archive, tmp_path / "out")


def test_skip_broken_counts_and_goes_on(tmp_path, capsys):
    source, _ = changed_image(tmp_path, b"broken", "")
    description = ferplus.prepare(source, tmp_path / "out", skip_broken=True)
    assert description["notes"]["dropped"]["broken"] == {"train": 1}
    assert description["counts"] == {"train": 2, "validation": 1, "test": 2}
    assert "skipped: FER2013Train/fer0000006.png does not decode" in capsys.readouterr().err


# The command.


def test_the_command_ends_with_a_table(tmp_path, capsys):
    ferplus.main([str(csv_with_votes(tmp_path)), "--out", str(tmp_path / "out")], "ferplus.py")
    text = capsys.readouterr().out
    rows = {tuple(line.split()) for line in text.splitlines()}
    assert ("train", "validation", "test") in rows
    assert ("anger", "1", "0", "0") in rows and ("sadness", "0", "1", "0") in rows
    assert ("kept", "3", "1", "2") in rows and ("dropped", "6", "1", "0") in rows
    assert ("no", "choice", "has", "a", "majority", "1", "1", "0") in rows
    assert "Barsoum" in text and "load_faces" in text


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit) as done:
        ferplus.main(["--help"], "ferplus.py")
    assert done.value.code == 0
    assert "ferplus.py ferplus.zip --out" in capsys.readouterr().out


def test_an_existing_folder_is_an_error(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    with pytest.raises(SystemExit) as done:
        ferplus.main([str(csv_with_votes(tmp_path)), "--out", str(tmp_path / "out")], "ferplus.py")
    assert done.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("ferplus.py: error: ") and "exists already" in error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_leaves_nothing(tmp_path, capsys, monkeypatch):
    (tmp_path / "source").mkdir()
    source = csv_with_votes(tmp_path / "source")
    really_open = Path.open

    def open_on_a_full_disk(path, *args, **kwargs):
        return really_open(
            Path("/dev/full") if path.name == "images.npy" else path, *args, **kwargs
        )

    monkeypatch.setattr(Path, "open", open_on_a_full_disk)
    with pytest.raises(SystemExit) as done:
        ferplus.main([str(source), "--out", str(tmp_path / "out")], "ferplus.py")
    assert done.value.code == 2
    assert "error: [Errno 28] No space left on device" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


KILLED_AT_THE_LAST_IMAGE = """
import os, runpy, signal, sys
from eacbook.data import prepared
check = prepared._check
def check_and_die(image, *rest):
    if image.file == "fer0000011.png":
        os.kill(os.getpid(), signal.SIGKILL)
    check(image, *rest)
prepared._check = check_and_die
sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_a_kill_leaves_no_set_and_the_next_run_succeeds(tmp_path):
    source, out = csv_with_votes(tmp_path), tmp_path / "out"
    command = [sys.executable, "-c", KILLED_AT_THE_LAST_IMAGE, SCRIPT, source, "--out", out]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    assert not out.exists()
    with pytest.raises(InputError, match="unknown data set"):
        load_faces(out)
    with pytest.raises(InputError, match="not a prepared face set"):
        load_faces(tmp_path / "out.partial")
    ferplus.prepare(source, out)
    assert len(load_faces(out).test) == 2
    assert not (tmp_path / "out.partial").exists()


def test_an_error_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as done:
        ferplus.main([str(tmp_path / "nothing.zip"), "--out", str(tmp_path / "out")], "ferplus.py")
    assert done.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("ferplus.py: error: there is no file or folder")


# The real faces.

REAL = {name: SHARED / name for name in ("ferplus.zip", "fer2013new.csv")}
needs_the_real_faces = pytest.mark.skipif(
    not all(path.is_file() for path in REAL.values()),
    reason="FERPlus is not here: put ferplus.zip and fer2013new.csv in ../shared/data "
    "or name the folder above data in EACBOOK_SHARED",
)


def independent_labels(votes):
    """The majority rule again, for a table at once; -1 where there is none."""
    kept = np.where(votes == 1, 0, votes)
    share = kept.max(1) / np.maximum(kept.sum(1), 1)
    return np.where(share > 0.5, kept.argmax(1), -1)


def real_labels():
    with zipfile.ZipFile(REAL["ferplus.zip"]) as archive:
        tables = {
            usage: pd.read_csv(io.BytesIO(archive.read(f"{folder}/label.csv")), header=None)
            for usage, folder in FOLDERS.items()
        }
    return pd.concat(tables, names=["usage"]).reset_index("usage").reset_index(drop=True)


@pytest.mark.slow
@needs_the_real_faces
def test_the_real_faces_in_both_forms(tmp_path):
    description = ferplus.prepare(REAL["ferplus.zip"], tmp_path / "zip")
    data = load_faces(tmp_path / "zip")
    table = real_labels()
    assert len(table) == 28_558 + 3_579 + 3_573
    votes = table[list(range(2, 12))].to_numpy()
    labels = independent_labels(votes)
    kept = (labels >= 0) & (labels < 7)
    for usage, split in ferplus.USAGES.items():
        faces, rows = getattr(data, split), kept & (table["usage"] == usage)
        assert faces.files == tuple(table[0][rows])
        columns = [COLUMNS[label] for label in labels[rows]]
        assert [CLASSES[label] for label in faces.labels] == columns
        assert np.array_equal(
            faces.votes.numpy(), votes[rows][:, [COLUMNS.index(name) for name in CLASSES[:7]]]
        )
        dropped = {
            name: sum((labels == label) & (table["usage"] == usage))
            for name, label in {
                "no_majority": -1,
                "contempt": 7,
                "unknown": 8,
                "not_a_face": 9,
            }.items()
        }
        assert {name: description["notes"]["dropped"][name][split] for name in dropped} == dropped

    # Every thirtieth image again, as pixels in a table: the same faces under the same labels.
    some = table.iloc[::30]
    with zipfile.ZipFile(REAL["ferplus.zip"]) as archive:
        pixels = [
            np.asarray(Image.open(archive.open(f"{FOLDERS[row.usage]}/{row[2]}")))
            for row in some.itertuples()
        ]
    rows = [(row.usage, row[2], tuple(row[4:])) for row in some.itertuples()]
    write_pixels(tmp_path / "fer2013.csv", rows, pixels)
    write_votes(tmp_path / "fer2013new.csv", rows)
    ferplus.prepare(tmp_path / "fer2013.csv", tmp_path / "csv")
    again = load_faces(tmp_path / "csv")
    for split in ("train", "validation", "test"):
        faces, whole = getattr(again, split), getattr(data, split)
        position = {name: row for row, name in enumerate(whole.files)}
        names = [name for _, name, _ in rows if name in position]
        assert faces.files == tuple(names)
        index = [position[name] for name in names]
        assert np.array_equal(faces.images.numpy(), whole.images[index].numpy())
        assert faces.labels.tolist() == whole.labels[index].tolist()
        assert faces.votes.tolist() == whole.votes[index].tolist()


@pytest.mark.slow
@needs_the_real_faces
def test_the_real_votes():
    path = REAL["fer2013new.csv"]
    faces = ferplus.read_votes(lambda: path.open("rb"), path.name)
    table = pd.read_csv(path)
    assert [face.file for face in faces] == table["Image name"].fillna("").tolist()
    votes = table[list(COLUMNS)].to_numpy()
    names = [*ferplus.CHOICES, "no_majority"]
    assert [ferplus.majority(face.votes) for face in faces] == [
        names[label] for label in independent_labels(votes)
    ]
    assert [ferplus.most_voted(face.votes) for face in faces] == [
        names[label] for label in votes.argmax(1)
    ]
    # What the README says of this file: rows without a name, and names that come twice.
    assert table["Image name"].isna().sum() == 173
    assert table["Image name"].dropna().duplicated().sum() == 4
