"""Kinds of malformed downloads: the data sets' own files, in folders and in archives of all sorts."""

from __future__ import annotations

import csv
import importlib
import io
import random
import shutil
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from eacbook.data.faces import SPLITS, load_faces

from .files import digest_of_faces
from .mutations import ODD_CELLS, change_bytes, change_table
from .trials import Trial, kind

SIZE = 16


def picture(rng: random.Random, side: int = 32, ending: str = "JPEG") -> bytes:
    """Any picture; no two are alike."""
    file = io.BytesIO()
    mode, channels = ("L", 1) if ending == "PNG" else ("RGB", 3)
    pixels = rng.randbytes(64 * channels)
    Image.frombytes(mode, (8, 8), pixels).resize((side, side)).save(file, ending)
    return file.getvalue()


def table(rows: list[list]) -> bytes:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue().encode()


def rafdb(rng: random.Random) -> dict[str, bytes]:
    names = {f"train_{n:05d}": n % 7 + 1 for n in range(1, 15)}
    names |= {f"test_{n:04d}": n % 7 + 1 for n in range(1, 8)}
    lines = "".join(f"{name}.jpg {label}\n" for name, label in names.items())
    files = {f"Image/aligned/{name}_aligned.jpg": picture(rng) for name in names}
    return {"EmoLabel/list_patition_label.txt": lines.encode(), **files}


VOTED = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"]
EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
USAGES = {"Training": 14, "PublicTest": 7, "PrivateTest": 7}


def ballots():
    """Usage, name, the choice of all ten people, and their votes."""
    number = 0
    for usage, count in USAGES.items():
        for _ in range(count):
            votes = [10 if place == number % 7 else 0 for place in range(10)]
            yield usage, f"fer{number:07d}.png", VOTED[number % 7], votes
            number += 1


def ferplus_folders(rng: random.Random) -> dict[str, bytes]:
    folders = {
        "Training": "FER2013Train",
        "PublicTest": "FER2013Valid",
        "PrivateTest": "FER2013Test",
    }
    files, rows = {}, {folder: [] for folder in folders.values()}
    for usage, name, _, votes in ballots():
        files[f"{folders[usage]}/{name}"] = picture(rng, 48, "PNG")
        rows[folders[usage]].append([name, "(0, 0, 48, 48)", *votes])
    return {f"{folder}/label.csv": table(of) for folder, of in rows.items()} | files


def fer2013(rng: random.Random) -> dict[str, bytes]:
    votes = [["Usage", "Image name", *VOTED, "unknown", "NF"]]
    pixels = [["emotion", "pixels", "Usage"]]
    for usage, name, choice, given in ballots():
        votes.append([usage, name, *given])
        pixels.append([EMOTIONS.index(choice), " ".join(map(str, rng.randbytes(48 * 48))), usage])
    return {"fer2013.csv": table(pixels), "fer2013new.csv": table(votes)}


def affectnet(rng: random.Random) -> dict[str, bytes]:
    files = {}
    for folder, count in (("train_set", 14), ("val_set", 7)):
        for number in range(count):
            label = io.BytesIO()
            np.save(label, np.array(str(number % 7)))
            files[f"{folder}/images/{number}.jpg"] = picture(rng)
            files[f"{folder}/annotations/{number}_exp.npy"] = label.getvalue()
    return files


def affectnet_lists(rng: random.Random) -> dict[str, bytes]:
    columns = ["subDirectory_filePath", "face_x", "face_y", "face_width", "face_height"]
    columns += ["facial_landmarks", "expression", "valence", "arousal"]
    files = {}
    for name, count in (("training", 14), ("validation", 7)):
        rows = [columns]
        for number in range(count):
            path = f"{number % 3}/{name}{number}.jpg"
            files[f"Manually_Annotated_Images/{path}"] = picture(rng, 40)
            rows.append([path, 4, 4, 30, 30, "1.5;2.5", number % 7, "-0.1", "0.2"])
        files[f"Manually_Annotated_file_lists/{name}.csv"] = table(rows)
    return files


def own_folders(rng: random.Random) -> dict[str, bytes]:
    names = ("happy", "sad", "angry")
    return {
        f"faces/{split}/{name}/{number}.{'png' if number % 2 else 'jpg'}": picture(
            rng, 24, "PNG" if number % 2 else "JPEG"
        )
        for split, count in (("train", 4), ("test", 2))
        for name in names
        for number in range(count)
    }


def write_folder(place: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return place


def zip_file(files: dict[str, bytes], **options) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def tar_file(files: dict[str, bytes], mode: str = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


PACKERS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "set.zip": zip_file,
    "set.tar": tar_file,
    "set.tar.gz": lambda files: tar_file(files, "w:gz"),
}


def odd_zip(rng: random.Random, files: dict[str, bytes]) -> tuple[bytes, str]:
    """An archive that no tool for zips would make of these files, or only a rare one."""
    name = rng.choice(tuple(files))
    other = rng.choice(tuple(files))
    odd = (
        *(
            f"../{name}",
            f"/{name}",
            name.replace("/", "\\"),
            f"C:{name}",
            f"a/../{name}",
            name + "/",
        ),
        *(f"./{name}", name.upper(), f"a\nb/{name}", "\x1b[2J.jpg", "x" * 60_000, "__MACOSX/._x"),
        *(name.replace("/", "//"), "con/" + name, f"高兴/{name}", f"e\u0301/{name}"),
    )
    change = rng.choice(
        ("twice", "twice", "named", "named", "lzma", "bzip2", "method", "checksum", "encrypted")
        + ("link", "size", "bomb", "comment", "prefix", "folder", "empty", "entries")
    )
    if change == "bomb":
        return zip_file(files | {name: bytes(80 << 20)}, compression=zipfile.ZIP_DEFLATED), "a bomb"
    if change in ("lzma", "bzip2"):
        method = {"lzma": zipfile.ZIP_LZMA, "bzip2": zipfile.ZIP_BZIP2}[change]
        content = zip_file(files, compression=method)
        if rng.random() < 0.6:
            content, words = change_bytes(rng, content)
            change += f", {words}"
        return content, change
    if change == "empty":
        return zip_file({}), "no entry at all"
    file = io.BytesIO(zip_file(files, compression=zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(file, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that come twice
        if change == "twice":
            archive.writestr(name, files[rng.choice((name, other))])
        elif change == "named":
            change = f"an entry {(new := rng.choice(odd))[:30]!r}"
            archive.writestr(new, files[other])
        elif change == "link":
            entry = zipfile.ZipInfo(rng.choice((name, "link.jpg")))
            entry.external_attr = 0o120777 << 16
            archive.writestr(entry, "/etc/passwd")
        elif change == "comment":
            archive.comment = rng.randbytes(60_000)
        elif change == "folder":
            archive.writestr(name + "/inside.jpg", b"")
        elif change == "entries":
            for number in range(2000):
                archive.writestr(f"{number}", b"")
    content = bytearray(file.getvalue())
    start = rng.choice([n for n in range(len(content) - 3) if content[n : n + 4] == b"PK\x01\x02"])
    if change == "method":  # 9 is Deflate64, 98 PPMd, 93 Zstandard
        method = rng.choice((9, 93, 98, 255)).to_bytes(2, "little")
        content[start + 10 : start + 12] = method
    elif change == "checksum":
        content[start + 16] ^= 1
    elif change == "encrypted":
        content[start + 8] |= 1
    elif change == "size":
        content[start + 24 : start + 28] = rng.choice(
            (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\1")
        )
    elif change == "prefix":
        content = bytearray(rng.randbytes(100)) + content
    return bytes(content), f"zip: {change}"


def odd_tar(rng: random.Random, files: dict[str, bytes]) -> tuple[bytes, str]:
    name = rng.choice(tuple(files))
    change = rng.choice(
        ("twice", "link", "hard link", "device", "fifo", "up", "root", "negative", "pax")
    )
    file = io.BytesIO(tar_file(files))
    with tarfile.open(fileobj=file, mode="a") as archive:
        entry = tarfile.TarInfo(name)
        content = files[rng.choice(tuple(files))]
        if change in ("link", "hard link"):
            entry.type = tarfile.SYMTYPE if change == "link" else tarfile.LNKTYPE
            entry.linkname, content = "/etc/passwd", b""
        elif change in ("device", "fifo"):
            entry.type, content = (tarfile.CHRTYPE if change == "device" else tarfile.FIFOTYPE), b""
        elif change == "up":
            entry.name = "../" + name
        elif change == "root":
            entry.name = "/" + name
        elif change == "pax":
            entry.pax_headers = {
                "path": rng.choice(("../x", "a\nb", "x" * 5000)),
                "size": "99999999",
            }
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    content = bytearray(file.getvalue())
    if change == "negative":
        content[124:136] = b"\xff" * 12
    return bytes(content), f"tar: {change}"


def download(name: str, files_of, script: str, tables: tuple[str, ...], options: dict):
    """A kind: the files of a data set, malformed in every way."""
    prepare = importlib.import_module(f"eacbook.data.prepare.{script}").prepare

    @kind(name)
    def setup(here: Path):
        files = files_of(random.Random(0))
        prepare(write_folder(here / "set", files), here / "out", **options)
        untouched = load_faces(here / "out")
        expected = digest_of_faces(untouched, words=False)
        of_table = [path for path in files if path.endswith(tables)]

        def make(rng: random.Random, place: Path) -> Trial:
            mine, source = dict(files), place / "set"
            what = rng.random()
            if what < 0.3 and of_table:  # the tables
                path = rng.choice(of_table)
                separator = " " if path.endswith(".txt") else ","
                text, words = change_table(rng, mine[path].decode("latin-1"), separator)
                mine[path], words = text.encode("utf-8", "surrogatepass"), f"{path}: {words}"
            elif what < 0.6:  # any file
                path = rng.choice(tuple(files))
                mine[path], words = change_bytes(rng, mine[path])
                words = f"{path}: {words}"
            elif what < 0.7:  # the names and the number of files
                path = rng.choice(tuple(files))
                content = mine.pop(path)
                words = f"{path} is missing"
                if rng.random() < 0.6:
                    other = f"{path.rpartition('/')[0]}/{rng.choice(ODD_CELLS)[:50]}".replace(
                        "\0", "0"
                    )
                    mine[other.rstrip("/")] = content
                    words = f"{path} has the name {other[-30:]!r}"
            else:
                words = None
            if words is None:
                odd = rng.choice((odd_zip, odd_zip, odd_tar, None))
                if odd:
                    content, words = odd(rng, files)
                else:
                    packer = rng.choice(tuple(PACKERS))
                    content, words = change_bytes(rng, PACKERS[packer](files))
                source = place / ("set.zip" if content[:2] == b"PK" else "set.tar")
                if rng.random() < 0.3:  # inside another one
                    source = write_folder(place / "outer", {source.name: content})
                    words += ", as a file of a folder"
                else:
                    source.write_bytes(content)
            else:
                packer = rng.choice((None, None, *PACKERS))
                if packer:
                    source = place / packer
                    source.write_bytes(PACKERS[packer](mine))
                    words += f", in {packer}"
                else:
                    try:
                        write_folder(source, mine)
                    except (OSError, ValueError):  # a name that this system does not take
                        shutil.rmtree(source)
                        source = place / "set.zip"
                        source.write_bytes(zip_file(mine))

            def attempt():
                prepare(source, place / "out", **options)
                return load_faces(place / "out")

            def accept(faces):
                if digest_of_faces(faces, words=False) == expected:
                    return "the result is that of the untouched input"
                return whole_set(faces, untouched)

            return Trial(
                words, attempt, (str(place), *files, "labels", "label.csv", " split "), accept
            )

        return make

    return setup


def whole_set(faces, untouched) -> str | None:
    """A set that other honest files would give as well: whole, and no picture of one colour."""
    if not set(faces.classes) <= set(untouched.classes):
        return None
    changed = 0
    for split in SPLITS:
        of, was = getattr(faces, split), getattr(untouched, split)
        if of is None:
            continue
        if not 0 <= of.labels.min() <= of.labels.max() < faces.num_classes:
            return None
        known = {name.rpartition("/")[2]: row for row, name in enumerate(was.files)}
        for row, name in enumerate(of.files):
            old = known.get(name.rpartition("/")[2])
            changed += old is None or not torch.equal(of.images[row], was.images[old])
    if changed:
        return (
            "pictures of other names, or that decode to other pixels: no table says what they were"
        )
    return "another list of the same pictures, read as it stands"


download("RAF-DB", rafdb, "rafdb", (".txt",), {"size": SIZE})
download("FERPlus, folders", ferplus_folders, "ferplus", ("label.csv",), {})
download("FERPlus, fer2013.csv", fer2013, "ferplus", (".csv",), {})
download("AffectNet", affectnet, "affectnet", (), {"size": SIZE})
download("AffectNet, older lists", affectnet_lists, "affectnet", (".csv",), {"size": SIZE})
download("own folders", own_folders, "own_faces", (), {"size": SIZE})
