"""The files of a download: of a folder, a zip, a tar, or an archive inside another archive.

Archives are read in place and never unpacked. They are not trusted. An archive is refused if one entry
is a link or points outside, or if it decompresses to far more than was downloaded. File names and the
lines of tables are converted to the composed form of Unicode (NFC). So a name from a Mac is equal to
the same name from another system.
"""

from __future__ import annotations

import csv
import gzip
import io
import lzma
import os
import re
import stat
import tarfile
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar

from eacbook.checks import shortened
from eacbook.errors import InputError

Opener = Callable[[], BinaryIO]
K = TypeVar("K", bound=Hashable)

# zipfile raises a RuntimeError for an encrypted entry or an unknown compression.
DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error),
    *(EOFError, RuntimeError, lzma.LZMAError),
)

ARCHIVE = re.compile(r"\.(zip|tar|tar\.gz|tgz)$", re.IGNORECASE)
GZIPPED_TABLE = re.compile(r"(?<=\.csv|\.txt)\.gz$", re.IGNORECASE)
NOT_READ = {b"Rar!\x1a\x07": "RAR", b"7z\xbc\xaf\x27\x1c": "7z"}
HIDDEN = re.compile(r"(^|/)(\.|__MACOSX/)")  # macOS adds these to an archive

# One archive inside another is normal. A deeper nest or a growth by a factor of 100 is an attack.
DEEPEST, LARGEST_GROWTH = 2, 100
LONGEST_LINE, LONGEST_NAME = 1 << 16, 1000
MOST_LINKS = 3  # of folders, one inside the other


class Files(dict[str, Opener]):
    """Path of each file to the function that opens it.

    Attributes:
        folders: paths of all folders, also of empty ones.
        broken: paths of links whose target does not exist.
    """

    def __init__(self, files: Iterable[tuple[str, Opener]] = ()):
        super().__init__(files)
        self.folders: set[str] = set()
        self.broken: set[str] = set()


@contextmanager
def open_files(source: Path, enter: Callable[[str], bool] = lambda name: False) -> Iterator[Files]:
    """The files of a folder or an archive, in the order that reads fastest.

    Args:
        source: a folder, a zip, or a tar, gzipped or not.
        enter: says for the name of an archive inside the source whether it is read like a folder.
            An archive beside a folder of the same name was unpacked already, and is not read.

    Raises:
        InputError: the source does not exist, is damaged, is an attack, or is of another kind.
    """
    with ExitStack() as stack:
        with naming(str(source)):
            if source.is_dir():
                files, size = list_folder(source), None
            elif source.is_file():
                file = stack.enter_context(source.open("rb"))
                files, size = list_archive(file, str(source), stack), source.stat().st_size
            else:
                raise InputError(f"there is no file or folder {source}")
            files = Nest(str(source), stack, enter, size).read(files)
        yield files


def list_folder(folder: Path) -> Files:
    """The files of a folder. Links are followed; a link to a folder above it counts as empty."""
    files = Files()

    def walk(of: str, name: str, above: tuple[str, ...], links: int) -> None:
        try:
            with os.scandir(of) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise InputError(f"the folder {of} cannot be read ({error.strerror})") from error
        for entry in inside:
            path = name + normal(entry.name)
            if not os.path.exists(entry.path):  # noqa: PTH110 (300,000 files: a Path costs more)
                files.broken.add(path)
            elif entry.is_dir():
                files.folders.add(path)
                real = os.path.realpath(entry.path)
                deeper = links + entry.is_symlink()
                if deeper > MOST_LINKS:
                    raise InputError(
                        f"{shortened(entry.path)} is a link in a chain of more than {MOST_LINKS} "
                        "linked folders: give the folder itself"
                    )
                if real not in above:
                    walk(entry.path, path + "/", (*above, real), deeper)
            elif entry.is_file():
                if path in files:
                    raise InputError(
                        f"{folder} holds two files {shortened(path)!r}, whose names differ only in "
                        "how Unicode writes them: rename one"
                    )
                files[path] = partial(open, entry.path, "rb")

    walk(str(folder), "", (os.path.realpath(folder),), 0)
    return in_order(files)


def list_archive(file: BinaryIO, name: str, stack: ExitStack) -> Files:
    start = file.read(512)
    file.seek(0)
    is_tar, is_gzip = start[257:262] == b"ustar", start.startswith(b"\x1f\x8b")
    try:
        if is_gzip and b"\0" not in (table := gzip.GzipFile(fileobj=file).read(512)) and table:
            return gzipped_table(file, Path(name).name)
        file.seek(0)
        if is_gzip or is_tar:
            # The order of the archive is kept: going back in a gzip means reading it from the start.
            return list_entries(stack.enter_context(tarfile.open(fileobj=file)), name, tar_entries)
        # A zip may have other bytes before it, for example if it unpacks itself.
        if start.startswith(b"PK") or zipfile.is_zipfile(file):
            archive = stack.enter_context(zipfile.ZipFile(file))
            return in_order(list_entries(archive, name, zip_entries))
    except (InputError, *DAMAGED):
        raise
    except Exception as error:  # damaged headers can raise any error
        raise InputError(
            f"{name} is truncated, damaged or encrypted ({shortened(str(error))})"
        ) from error
    for magic, kind in NOT_READ.items():
        if start.startswith(magic):
            raise InputError(f"{name} is a {kind} archive: unpack it and give the folder")
    raise InputError(f"{name} is neither a folder, a zip, a tar nor a tar.gz")


def gzipped_table(file: BinaryIO, name: str) -> Files:
    """A single gzipped text. Its name is that of the file without ``.gz``."""

    def opener() -> BinaryIO:
        file.seek(0)
        return checked(gzip.GzipFile(fileobj=file), name)

    return Files([(name[:-3] if name.lower().endswith(".gz") else name, opener)])


def list_entries(archive, source: str, entries: Callable) -> Files:
    """The files of an archive. If a name occurs twice, the last entry counts, as in ``tar``."""
    files, written = Files(), {}
    for raw, is_plain, is_folder, opener in entries(archive):
        name = safe_name(raw, source, is_plain=is_plain)
        if is_folder:
            files.folders.add(name)
            continue
        if written.setdefault(name, raw) != raw:
            raise InputError(
                f"{source} holds the entries {shortened(written[name])!r} and {shortened(raw)!r}, "
                "which are the same name: expected one of them"
            )
        files.pop(name, None)  # so that it has the position of its last entry
        files[name] = partial(open_entry, opener, f"{source}: the entry {name}")
    files.folders.update(parent for name in files for parent in parents(name))
    return files


def zip_entries(archive: zipfile.ZipFile) -> Iterator[tuple[str, bool, bool, Opener]]:
    for entry in archive.infolist():
        is_link = stat.S_ISLNK(entry.external_attr >> 16)
        is_folder = entry.is_dir() or entry.filename.endswith("\\")
        yield entry.filename, not is_link, is_folder, partial(archive.open, entry)


def tar_entries(archive: tarfile.TarFile) -> Iterator[tuple[str, bool, bool, Opener]]:
    for entry in archive:
        is_plain = entry.isfile() or entry.isdir()
        yield entry.name, is_plain, entry.isdir(), partial(archive.extractfile, entry)


def safe_name(name: str, source: str, *, is_plain: bool) -> str:
    """The name of an entry, after a check that it is not an attack."""
    if len(name) > LONGEST_NAME:
        raise InputError(
            f"{source}: the entry {shortened(name)!r} has a name of {len(name):,} characters, "
            f"expected at most {LONGEST_NAME:,}: the archive is refused"
        )
    path = PurePosixPath(normal(name.replace("\\", "/")))
    if not is_plain or path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name):
        raise InputError(
            f"{source}: the entry {shortened(name)!r} is a link, a device or points outside the "
            "archive, expected plain files: the archive is refused"
        )
    return str(path)


def normal(text: str) -> str:
    """A text in the composed form of Unicode. macOS decomposes the letters of file names."""
    return unicodedata.normalize("NFC", text)


def in_order(files: Files) -> Files:
    ordered = Files(sorted(files.items(), key=lambda pair: pair[0]))
    ordered.folders, ordered.broken = files.folders, files.broken
    return ordered


def parents(name: str) -> list[str]:
    return [str(parent) for parent in PurePosixPath(name).parents[:-1]]


class Entry(io.RawIOBase):
    """An entry of an archive. The messages of its errors contain its name."""

    def __init__(self, stream: BinaryIO, name: str):
        self.stream, self.name = stream, name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        with naming(self.name):
            data = self.stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self.stream.close()
        super().close()


def open_entry(opener: Opener, name: str) -> BinaryIO:
    with naming(name):
        return checked(opener(), name)


def checked(stream: BinaryIO, name: str) -> BinaryIO:
    return io.BufferedReader(Entry(stream, name), 1 << 16)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Add the name of the entry to the errors of a damaged archive."""
    try:
        yield
    except NotImplementedError as error:  # Deflate64, for example
        raise InputError(
            f"{name} has a compression that cannot be read here ({shortened(str(error))}): unpack "
            "the archive and give the folder"
        ) from error
    except (*DAMAGED, OSError) as error:  # bz2 raises OSError
        raise InputError(
            f"{name} is truncated, damaged or encrypted ({shortened(str(error), 200)}): download it "
            "again"
        ) from error


@dataclass
class Nest:
    """Archives inside a source; they are read like folders.

    Attributes:
        source: the name of the source, for messages.
        stack: it closes the files that are opened.
        enter: says for the name of an archive whether it is read.
        size: bytes of the outermost archive; None if the source is a folder.
    """

    source: str
    stack: ExitStack
    enter: Callable[[str], bool]
    size: int | None

    def __post_init__(self):
        self.room = None if self.size is None else LARGEST_GROWTH * self.size

    def read(self, files: Files) -> Files:
        """All files. The path of a file in an inner archive begins with the archive's path."""
        found = Files()
        self.expand(files, found, "", 0)
        return found

    def expand(self, files: Files, found: Files, prefix: str, depth: int) -> None:
        for names, all_names in ((files.folders, found.folders), (files.broken, found.broken)):
            all_names.update(prefix + name for name in names if not HIDDEN.search(name))
        for name, opener in files.items():
            path = prefix + name
            if HIDDEN.search(name):
                continue
            table, is_gzipped = GZIPPED_TABLE.subn("", name)
            if is_gzipped and table not in files:
                found[prefix + table] = partial(gunzipped, opener, path)
                continue
            is_new = ARCHIVE.search(name) and ARCHIVE.sub("", name) not in files.folders
            if not is_new or not self.enter(path):
                found[path] = opener
                continue
            if depth == DEEPEST:
                raise InputError(
                    f"{self.source}: {path} is an archive in an archive in an archive: refused"
                )
            found.folders.add(path)
            self.inside(opener, found, path, depth)

    def inside(self, opener: Opener, found: Files, path: str, depth: int) -> None:
        if self.size is None:  # in a folder, this archive is the outermost one
            file = self.stack.enter_context(opener())
            nest = Nest(self.source, self.stack, self.enter, file.seek(0, io.SEEK_END))
            file.seek(0)
        else:
            file, nest = self.copy(opener, path), self
        try:
            files = list_archive(file, f"{self.source}/{path}", self.stack)
        except DAMAGED as error:
            raise InputError(
                f"{self.source}/{path} is damaged or encrypted ({shortened(str(error))})"
            ) from error
        nest.expand(files, found, f"{path}/", depth + 1)

    def copy(self, opener: Opener, path: str) -> BinaryIO:
        """A temporary copy of an entry: seeking in a compressed entry would read it again."""
        file = tempfile.TemporaryFile()  # noqa: SIM115 (the stack closes it)
        self.stack.enter_context(file)
        with opener() as entry:
            while chunk := entry.read(1 << 20):
                self.room -= len(chunk)
                if self.room < 0:
                    raise InputError(
                        f"{self.source}: {path} decompresses to over {LARGEST_GROWTH} times the "
                        "size of the download, as a decompression bomb does: refused"
                    )
                file.write(chunk)
        file.seek(0)
        return file


def gunzipped(opener: Opener, name: str) -> BinaryIO:
    return checked(gzip.GzipFile(fileobj=opener()), name)


def index(pairs: Iterable[tuple[K, str]], source: Path) -> dict[K, str]:
    """A dictionary of the pairs (key, path).

    Raises:
        InputError: two paths have the same key.
    """
    paths: dict[K, str] = {}
    for key, path in pairs:
        if key in paths:
            raise InputError(f"{source} holds {paths[key]} and {path}: expected one of them")
        paths[key] = path
    return paths


def read_lines(opener: Opener, name: str, most: int) -> Iterator[str]:
    """Lines of a UTF-8 text with their ends, one in memory at a time. Other bytes are replaced.

    Letters are composed (NFC), as in the names of files.

    Raises:
        InputError: there are more than ``most`` lines, or a line is far too long.
    """
    with io.TextIOWrapper(opener(), "utf-8-sig", errors="replace", newline="") as text:
        count = 0
        while line := text.readline(LONGEST_LINE):
            count += 1
            if len(line) == LONGEST_LINE:
                raise InputError(
                    f"{name}, line {count}: it has over {LONGEST_LINE} characters: this is not a list"
                )
            if count > most:
                raise InputError(f"{name} has over {most:,} lines: this is not the expected list")
            yield normal(line)


def read_csv(opener: Opener, name: str, most: int) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and fields without outer spaces, row by row; at most ``most`` lines."""
    rows = csv.reader(read_lines(opener, name, most))
    try:
        for row in filter(None, rows):
            yield rows.line_num, [field.strip() for field in row]
    except csv.Error as error:
        raise InputError(f"{name}, line {rows.line_num}: {error}, expected CSV") from error


def read_bytes(opener: Opener, name: str, most: int) -> bytes:
    """A whole file of at most ``most`` bytes. The size that its archive states is not trusted."""
    with opener() as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise InputError(f"{name} is larger than {most:,} bytes, expected a smaller file")
    return data
