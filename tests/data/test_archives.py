"""Archives of every kind are read, or refused in one sentence that names the entry."""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import struct
import tarfile
import unicodedata
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eacbook.errors import InputError

sources = importlib.import_module("eacbook.data.prepare.archives")

CONTENT = {
    f"{name}/{number}.txt": np.random.default_rng(number).bytes(300) + 100 * b"same "
    for name in ("happy", "sad")
    for number in range(3)
}


def zip_of(content=CONTENT, method=zipfile.ZIP_DEFLATED, **options):
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method, **options) as archive:
        warnings.simplefilter("ignore")  # of names that come twice
        for name, data in content.items() if isinstance(content, dict) else content:
            archive.writestr(name, data)
    return file.getvalue()


def tar_of(content=CONTENT, mode="w", **options):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode, **options) as archive:
        for name, data in content.items() if isinstance(content, dict) else content:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def read(data, tmp_path, name="a.zip", enter=True):
    """All files of the archive with what is in them."""
    path = tmp_path / name
    path.write_bytes(data)
    with sources.open_files(path, enter=lambda name: enter) as files:
        return {name: sources.read_bytes(opener, name, 1 << 20) for name, opener in files.items()}


def sparse_tar():
    """Of GNU's old kind: ten bytes at 1000, nothing before."""
    entry = tarfile.TarInfo("happy/0.txt")
    entry.type, entry.size = tarfile.GNUTYPE_SPARSE, 10
    header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0%011o\0" % (1000, 10)
    header[483:495] = b"%011o\0" % 1010
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"x" * 10 + bytes(502) + bytes(1024)


READ = {
    "stored": lambda: zip_of(method=zipfile.ZIP_STORED),
    "BZIP2": lambda: zip_of(method=zipfile.ZIP_BZIP2),
    "LZMA": lambda: zip_of(method=zipfile.ZIP_LZMA),
    "something before": lambda: b"#!/bin/sh\n" + bytes(1000) + zip_of(),
    "something behind": lambda: zip_of() + bytes(1000),
    "tar": tar_of,
    "pax tar": lambda: tar_of(format=tarfile.PAX_FORMAT),
    "tar.gz": lambda: tar_of(mode="w:gz"),
    "tar.gz in two members": lambda: gzip.compress(tar_of()[:1000]) + gzip.compress(tar_of()[1000:]),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_every_kind_of_archive_is_read(name, tmp_path):
    assert read(READ[name](), tmp_path) == CONTENT


def test_sparse_files_are_filled_with_zeros(tmp_path):
    assert read(sparse_tar(), tmp_path) == {"happy/0.txt": bytes(1000) + b"x" * 10}


def test_zip64_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    data = zip_of()
    monkeypatch.undo()
    assert b"PK\6\6" in data and read(data, tmp_path) == CONTENT


@pytest.mark.parametrize("make", [zip_of, tar_of, lambda entries: tar_of(entries, "w:gz")])
def test_the_last_of_two_entries_of_a_name_counts(make, tmp_path):
    entries = [*CONTENT.items(), ("happy/0.txt", b"newer"), ("happy/0.txt", b"newest")]
    assert read(make(entries), tmp_path) == CONTENT | {"happy/0.txt": b"newest"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("happy/0.txt", "happy\\0.txt"),
        ("happy/é.txt", unicodedata.normalize("NFD", "happy/é.txt")),
        ("happy/0.txt", "./happy/0.txt"),
        ("happy/0.txt", "happy//0.txt"),
    ],
)
@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_two_spellings_of_one_name_are_refused(make, one, other, tmp_path):
    with pytest.raises(InputError, match="which are the same name: expected one of them") as caught:
        read(make([(one, b"1"), (other, b"2")]), tmp_path)
    assert repr(one) in str(caught.value) and repr(other) in str(caught.value)


def test_names_that_differ_in_case_are_two_names(tmp_path):
    content = {"happy/a.txt": b"1", "happy/A.txt": b"2"}
    assert read(zip_of(content), tmp_path) == content


def patched(data, entry, place, value, method=zipfile.ZIP_DEFLATED):
    """A zip with two bytes changed in both headers of an entry, local and central."""
    data = bytearray(data)
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        local = archive.getinfo(entry).header_offset
    central = data.rindex(entry.encode()) - 46
    data[local + place : local + place + 2] = struct.pack("<H", value)
    data[central + place + 2 : central + place + 4] = struct.pack("<H", value)
    return bytes(data)


def spoiled(method, where=150):
    """Bytes changed in the middle of what is compressed."""
    data = bytearray(zip_of(method=method))
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        start = archive.getinfo("sad/1.txt").header_offset
    data[start + where : start + where + 30] = bytes(
        value ^ 255 for value in data[start + where :][:30]
    )
    return bytes(data)


def last_disk_of_several():
    """The central directory, and the entries at its end alone."""
    data = bytearray(zip_of()[1500:])
    end = data.rindex(b"PK\5\6")
    data[end + 4 : end + 8] = b"\1\0\1\0"
    return bytes(data)


REFUSED = {
    "Deflate64": (lambda: patched(zip_of(), "sad/1.txt", 8, 9), "the entry sad/1.txt has a compression"),
    "unknown method": (lambda: patched(zip_of(), "sad/1.txt", 8, 77), "the entry sad/1.txt has a compr"),
    "encrypted": (lambda: patched(zip_of(), "sad/1.txt", 6, 1), "the entry sad/1.txt .*encrypted"),
    "wrong CRC": (lambda: spoiled(zipfile.ZIP_STORED), "the entry sad/1.txt is .*CRC"),
    "spoiled Deflate": (lambda: spoiled(zipfile.ZIP_DEFLATED), "the entry sad/1.txt is truncated, dam"),
    "spoiled BZIP2": (lambda: spoiled(zipfile.ZIP_BZIP2), "the entry sad/1.txt is truncated, dam"),
    "spoiled LZMA": (lambda: spoiled(zipfile.ZIP_LZMA), "the entry sad/1.txt is truncated, dam"),
    "several disks": (last_disk_of_several, "a.zip.* is truncated, damaged or encrypted"),
    "truncated zip": (lambda: zip_of()[:-100], "a.zip is truncated, damaged or encrypted"),
    "truncated tar.gz": (lambda: tar_of(mode="w:gz")[:-50], "a.zip is truncated, damaged or enc"),
    "hard link": (
        lambda: hard_link(), "the entry 'sad/link.txt' is a link",
    ),
    "long name": (
        lambda: zip_of({"x" * 5000 + ".txt": b""}),
        r"the entry 'x{77}\.\.\.' has a name of 5,004 characters, expected at most 1,000",
    ),
    "very long name": (
        lambda: tar_of({"x" * 1_000_000: b""}, format=tarfile.PAX_FORMAT),
        r"the entry 'x{77}\.\.\.' has a name of 1,000,000 characters",
    ),
    "bzip2": (lambda: bz2.compress(tar_of()), "is neither a folder, a zip, a tar nor a tar.gz"),
}  # fmt: skip


def hard_link():
    file = io.BytesIO(tar_of())
    with tarfile.open(fileobj=file, mode="a") as archive:
        entry = tarfile.TarInfo("sad/link.txt")
        entry.type, entry.linkname = tarfile.LNKTYPE, "sad/0.txt"
        archive.addfile(entry)
    return file.getvalue()


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_in_one_sentence(name, tmp_path):
    make, message = REFUSED[name]
    with pytest.raises(InputError, match=message) as caught:
        read(make(), tmp_path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


STARTS = {
    "zip": zip_of(),
    "stored": zip_of(method=zipfile.ZIP_STORED),
    "tar": tar_of(),
    "tar.gz": tar_of(mode="w:gz"),
}


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(sorted(STARTS)))
def test_damaged_archives_are_read_or_refused(tmp_path_factory, data, form):
    content = bytearray(STARTS[form])
    # Half of the damage in the headers, where readers trust most.
    place = st.integers(0, 60) | st.integers(-120, -1) | st.integers(0, len(content) - 1)
    for where, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=6)):
        content[where] = value
    end = data.draw(st.just(len(content)) | st.integers(0, len(content)))
    try:
        read(bytes(content[:end]), tmp_path_factory.getbasetemp())
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 600


@pytest.mark.parametrize("inside", ["folder", "zip", "tar.gz", "by itself"])
def test_gzipped_tables_are_read_under_their_own_name(inside, tmp_path):
    content = {"lists/labels.csv.gz": gzip.compress(b"a,b\n1,2\n"), "b.gz": b"else"}
    if inside == "by itself":
        assert read(content["lists/labels.csv.gz"], tmp_path, "labels.csv.gz") == {
            "labels.csv": b"a,b\n1,2\n"
        }
        return
    if inside == "folder":
        (tmp_path / "in" / "lists").mkdir(parents=True)
        for name, data in content.items():
            (tmp_path / "in" / name).write_bytes(data)
        with sources.open_files(tmp_path / "in") as files:
            found = {name: list(sources.read_lines(files[name], name, 9)) for name in files}
    else:
        make = zip_of if inside == "zip" else lambda content: tar_of(content, "w:gz")
        found = read(make(content), tmp_path)
        found = {name: data.decode().splitlines(keepends=True) for name, data in found.items()}
    assert found == {"lists/labels.csv": ["a,b\n", "1,2\n"], "b.gz": ["else"]}


def test_a_damaged_gzipped_table_is_refused(tmp_path):
    data = gzip.compress(b"a,b\n" * 1000)[:-20]
    with pytest.raises(InputError, match=r"labels\.csv.* is truncated, damaged or encrypted"):
        read(zip_of({"labels.csv.gz": data}), tmp_path)


def test_folders_that_multiply_by_links_are_refused(tmp_path):
    for level in range(6):
        (tmp_path / str(level)).mkdir()
        if level:
            for name in ("a", "b"):
                (tmp_path / str(level - 1) / name).symlink_to(f"../{level}")
    with (
        pytest.raises(InputError, match="is a link in a chain of more than 3 linked folders"),
        sources.open_files(tmp_path / "0"),
    ):
        pass
